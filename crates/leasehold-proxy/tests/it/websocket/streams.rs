//! WebSockets on streams of HTTP/2, as RFC 8441 has them.

use std::io::Write as _;
use std::time::Duration;

use leasehold_model::ReasonCode;
use leasehold_proxy::Pace;

use super::{agreed, echo, gauge, setup, until_open, with_idle};
use crate::http2_client::{Http2, connect};
use crate::lease::{FakeProvider, Lease};
use crate::origin::{OK, Origin, seen};
use crate::rig::{CHECKOUT_KEY, KEY_HEADER, LIMIT, Rig, Setup};

#[test]
fn the_origin_is_asked_for_an_upgrade_and_the_consumer_is_told_of_a_success() {
    let (show, seen) = seen();
    let origin = Origin::start(move |mut connection| {
        let request = connection.receive();
        let more = "Sec-WebSocket-Protocol: b\r\nContent-Length: 0\r\n\r\n";
        let answer = agreed(&request).replace("\r\n\r\n", &format!("\r\n{more}"));
        show.send(request).expect("the test goes on");
        connection.send(answer);
        connection.expect_closed();
    });
    let lease = Lease::ready(FakeProvider::storing());
    let rig = started(with_idle(lease.setup(&origin), LIMIT));
    let client = Http2::connect(&rig);
    let asking = connect("websocket", "/socket/x?y=%20")
        .header("sec-websocket-protocol", "a, b")
        .header("sec-websocket-key", "mine")
        .header(KEY_HEADER, CHECKOUT_KEY)
        .header("x-api-key", "forged");
    let (answer, stream) = client.open(asking);
    assert_eq!(answer.status(), 200);
    let mut names: Vec<_> = answer.headers().keys().map(|it| it.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["date", "sec-websocket-protocol"]);
    let request = seen.next();
    assert!(
        request.head.starts_with("GET /socket/x?y=%20 HTTP/1.1\r\n"),
        "{}",
        request.head
    );
    assert_eq!(request.all("upgrade"), ["websocket"]);
    assert_eq!(request.all("connection"), ["Upgrade"]);
    assert_eq!(request.all("sec-websocket-version"), ["13"]);
    let keys = request.all("sec-websocket-key");
    assert!(keys.len() == 1 && keys != ["mine"], "{keys:?}");
    let credentials = request.all("x-api-key");
    assert!(credentials.len() == 1 && credentials != ["forged"]);
    drop(stream);
    let record = rig.record();
    assert_eq!(
        (&record["method"], &record["status"]),
        (&"CONNECT".into(), &200.into())
    );
    assert_eq!(record["consumer"], "checkout");
}

#[test]
fn bytes_go_both_ways_while_other_requests_share_the_connection() {
    let origin = echo("glued");
    let rig = started(setup(&origin));
    let client = Http2::connect(&rig);
    let (_, mut first) = client.open(connect("websocket", "/socket"));
    let (_, mut second) = client.open(connect("websocket", "/socket"));
    until_open(&rig, "2");
    assert_eq!(first.exactly(5).expect("a greeting"), b"glued");
    assert_eq!(second.exactly(5).expect("a greeting"), b"glued");
    let large = b"\0\r\nGET / HTTP/1.1\r\n\r\n".repeat(1000);
    for part in large.chunks(4096) {
        first.send(part).expect("sent");
        assert_eq!(first.exactly(part.len()).expect("an echo"), part);
    }
    assert_eq!(client.get("/").expect("an answer").body, b"ok");
    first.end();
    assert_eq!(first.rest().expect("the end"), b"");
    let record = rig.records(2).remove(1);
    assert!(record["reason"].is_null(), "{record}");
    assert_eq!(record["request_bytes"], large.len());
    assert_eq!(record["response_bytes"], large.len() + 5);
    second.send(b"x").expect("sent");
    assert_eq!(second.exactly(1).expect("an echo"), b"x");
    drop(second);
    until_open(&rig, "0");
}

#[test]
fn what_is_not_asked_for_as_it_must_be_reaches_nobody() {
    let (origin, seen) = Origin::answering(OK);
    let rig = started(setup(&origin));
    let client = Http2::connect(&rig);
    let no_version = http::Request::connect("http://api.example/socket")
        .extension(hyper::ext::Protocol::from_static("websocket"));
    for (asking, status) in [
        (connect("websocket", "/elsewhere"), 400),
        (connect("connect-udp", "/socket"), 400),
        (no_version, 400),
        (http::Request::connect("http://api.example/socket"), 400),
        (connect("websocket", "/closed/x"), 401),
    ] {
        let answer = client.ask(asking, Vec::new()).expect("an answer");
        assert_eq!(answer.status, status);
    }
    seen.nothing();
    assert_eq!(client.get("/").expect("an answer").status, 200);
}

#[test]
fn a_refusal_of_the_upstream_is_passed_on_and_a_success_that_is_no_switch_is_not() {
    for (answer, status) in [
        ("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno", 403),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno", 502),
        ("HTTP/1.1 204 No Content\r\n\r\n", 502),
    ] {
        let origin = Origin::saying(answer);
        let rig = started(setup(&origin));
        let client = Http2::connect(&rig);
        let got = client.ask(connect("websocket", "/socket"), Vec::new());
        assert_eq!(got.expect("an answer").status, status);
        assert_eq!(rig.record()["status"], status);
    }
}

#[test]
fn when_one_side_breaks_off_the_other_is_told_and_the_connection_goes_on() {
    let (told, origin_told) = std::sync::mpsc::channel();
    let origin = Origin::start(move |mut connection| {
        let Ok(request) = connection.try_receive() else {
            return;
        };
        if request.all("upgrade").is_empty() {
            connection.send(OK);
            return;
        }
        connection.send(agreed(&request));
        drop(connection.rest());
        told.send(()).expect("the test goes on");
    });
    let rig = started(setup(&origin));
    let client = Http2::connect(&rig);
    let (_, stream) = client.open(connect("websocket", "/socket"));
    drop(stream);
    origin_told.recv_timeout(LIMIT).expect("it is told");
    // hyper may say no more of a stream that was reset than that its end has come.
    let reason = rig.record()["reason"].clone();
    assert!(reason.is_null() || reason == "client_aborted", "{reason}");
    assert_eq!(client.get("/").expect("an answer").status, 200);
    let origin = Origin::start(|mut connection| {
        let request = connection.receive();
        connection.send(agreed(&request));
        let linger = socket2::SockRef::from(&connection.stream).set_linger(Some(Duration::ZERO));
        linger.expect("set");
    });
    let rig = started(setup(&origin));
    let client = Http2::connect(&rig);
    let (_, mut stream) = client.open(connect("websocket", "/socket"));
    // As on a connection: whether its frames are whole, a WebSocket can tell by itself.
    assert_eq!(stream.rest().expect("the end"), b"");
    assert_eq!(rig.record()["reason"], "upstream_failed");
}

#[test]
fn a_client_that_makes_no_room_on_the_stream_is_given_up() {
    let origin = Origin::start(|mut connection| {
        let Ok(request) = connection.try_receive() else {
            return;
        };
        if request.all("upgrade").is_empty() {
            connection.send(OK);
            return;
        }
        connection.send(agreed(&request));
        while connection.stream.write_all(&[0; 4096]).is_ok() {}
    });
    let mut setup = setup(&origin);
    setup.limits.body_timeout = Duration::from_millis(300);
    setup.limits.pace = Pace {
        rate: 0,
        ..setup.limits.pace
    };
    let rig = started(setup);
    let client = Http2::connect(&rig);
    let (_, stream) = client.open(connect("websocket", "/socket"));
    let record = rig.record();
    assert_eq!(record["reason"], ReasonCode::ClientAborted.as_str());
    assert_eq!(client.get("/").expect("an answer").status, 200);
    drop(stream);
    assert_eq!(gauge(&rig, "leasehold_websockets "), "0");
}

#[test]
fn a_drain_ends_a_stream_that_is_silent_and_says_so() {
    let origin = echo("");
    let mut rig = started(setup(&origin));
    let client = Http2::connect(&rig);
    let (_, mut stream) = client.open(connect("websocket", "/socket"));
    stream.send(b"last").expect("sent");
    assert_eq!(stream.exactly(4).expect("an echo"), b"last");
    assert_eq!(rig.drain(LIMIT), 0, "nothing had to be cut");
    assert_eq!(stream.rest().expect("the end"), b"");
    assert_eq!(rig.record()["reason"], "draining");
}

fn started(mut setup: Setup) -> Rig {
    setup.http2 = true;
    setup.start()
}
