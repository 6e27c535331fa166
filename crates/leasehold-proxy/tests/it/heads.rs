//! What of a head goes through, and what does not.

use std::time::Duration;

use crate::origin::{OK, Origin};
use crate::rig::{CHECKOUT_KEY, KEY_HEADER, Setup};

#[test]
fn the_path_and_query_go_through_byte_by_byte_to_the_upstreams_own_host() {
    let (origin, seen) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    let target = "/a%20b/%C3%A9;v=1//x?q=%2F..%2f&b=a+b&&=~'%zz";
    let answer = rig.connect().get(target, "X-Kept: Va lue\r\n");
    assert_eq!((answer.status(), answer.text()), ("200", "ok"));
    let request = seen.next();
    assert!(
        request
            .head
            .starts_with(&format!("GET {target} HTTP/1.1\r\n")),
        "{}",
        request.head
    );
    assert_eq!(request.all("host"), [origin.address.to_string()]);
    assert_eq!(request.all("x-kept"), ["Va lue"]);
}

#[test]
fn an_absolute_target_goes_on_as_a_path() {
    let (origin, seen) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer.send("GET http://API.example/x?y HTTP/1.1\r\nHost: api.example\r\n\r\n");
    assert_eq!(consumer.receive().status(), "200");
    assert!(seen.next().head.starts_with("GET /x?y HTTP/1.1\r\n"));
}

#[test]
fn what_is_meant_for_the_gateway_does_not_go_on() {
    let (origin, seen) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    let more = format!(
        "Connection: keep-alive, X-Secret-Hop\r\nX-Secret-Hop: 1\r\nKeep-Alive: 5\r\n\
         Proxy-Authorization: Basic x\r\nProxy-Connection: close\r\nTE: trailers\r\n\
         Upgrade: websocket\r\n{KEY_HEADER}: {CHECKOUT_KEY}\r\n\
         Accept: */*\r\n"
    );
    assert_eq!(rig.connect().get("/closed/x", &more).status(), "200");
    let request = seen.next();
    let names: Vec<_> = request
        .head
        .lines()
        .skip(1)
        .filter_map(|it| it.split(':').next())
        .collect();
    assert_eq!(names, ["host", "accept", "traceparent"], "{}", request.head);
    assert!(!request.head.contains(CHECKOUT_KEY));
}

#[test]
fn a_trace_is_passed_on_and_recorded() {
    let (origin, seen) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let more = format!("traceparent: 00-{trace}-b7ad6b7169203331-01\r\ntracestate: v=1\r\n");
    rig.connect().get("/", &more);
    let request = seen.next();
    let parent = request.all("traceparent").concat();
    assert!(parent.starts_with(&format!("00-{trace}-")), "{parent}");
    assert!(
        !parent.contains("b7ad6b7169203331"),
        "the gateway is the parent: {parent}"
    );
    assert_eq!(request.all("tracestate"), ["v=1"]);
    assert_eq!(rig.record()["trace_id"], trace);
}

#[test]
fn an_answer_keeps_its_head_but_for_what_is_between_upstream_and_gateway() {
    let (origin, _seen) = Origin::answering(
        "HTTP/1.1 299 Own Words\r\nConnection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\
         Content-Length: 2\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\nok",
    );
    let rig = Setup::to(&[origin.url()]).start();
    let answer = rig.connect().get("/", "");
    assert!(
        answer.head.starts_with("HTTP/1.1 299 Own Words\r\n"),
        "{}",
        answer.head
    );
    assert_eq!(answer.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(answer.all("date"), ["Thu, 01 Jan 1970 00:00:00 GMT"]);
    for name in [
        "connection",
        "x-hop",
        "keep-alive",
        "proxy-authenticate",
        "upgrade",
    ] {
        assert_eq!(answer.all(name).len(), 0, "{name}");
    }
    assert_eq!(rig.record()["status"], 299);
}

#[test]
fn an_answer_framed_in_two_ways_is_framed_in_one() {
    let (origin, _seen) = Origin::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n\
         5\r\nhello\r\n0\r\n\r\n",
    );
    let rig = Setup::to(&[origin.url()]).start();
    let answer = rig.connect().get("/", "");
    assert_eq!(answer.all("content-length").len(), 0, "{}", answer.head);
    assert_eq!(answer.text(), "hello");
}

#[test]
fn answers_without_a_body_keep_the_connection_and_their_heads() {
    for (method, answer, length) in [
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n",
            &["1234"][..],
        ),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", &[]),
        ("GET", "HTTP/1.1 304 Not Modified\r\nETag: x\r\n\r\n", &[]),
        (
            "GET",
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            &["0"],
        ),
    ] {
        let (origin, _seen) = Origin::answering(answer);
        let rig = Setup::to(&[origin.url()]).start();
        let mut consumer = rig.connect();
        for _ in 0..2 {
            consumer.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"));
            let head = consumer.head().expect("a head");
            let message = crate::consumer::Message {
                head,
                body: Vec::new(),
                trailers: String::new(),
            };
            assert_eq!(message.all("content-length"), length, "{}", message.head);
        }
        assert_eq!(origin.connections(), 1, "{answer}");
        for record in rig.records(2) {
            assert!(record["reason"].is_null(), "{record}");
            assert_eq!(record["response_bytes"], 0);
        }
    }
}

#[test]
fn interim_answers_do_not_end_a_request() {
    let (origin, _seen) = Origin::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
         HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    );
    let rig = Setup::to(&[origin.url()]).start();
    assert_eq!(rig.connect().get("/", "").text(), "ok");
}

#[test]
fn http_1_0_is_spoken_on_either_side() {
    let (origin, seen) = Origin::answering("HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer.send("GET / HTTP/1.0\r\nHost: api.example\r\n\r\n");
    let answer = consumer.receive();
    assert!(
        answer.head.starts_with("HTTP/1.0 200 OK"),
        "{}",
        answer.head
    );
    consumer.expect_closed();
    assert!(seen.next().head.starts_with("GET / HTTP/1.1\r\n"));
    assert!(
        rig.connect()
            .get("/", "")
            .head
            .starts_with("HTTP/1.1 200 OK")
    );
}

#[test]
fn the_time_of_a_request_is_split() {
    let (origin, _seen) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    rig.connect().get("/", "");
    let record = rig.record();
    assert!(
        record["upstream_us"].as_u64().is_some_and(|it| it > 0),
        "{record}"
    );
    let longest = u64::try_from(Duration::from_secs(20).as_micros()).expect("fits");
    assert!(
        record["gateway_us"].as_u64().is_some_and(|it| it < longest),
        "{record}"
    );
}
