//! Consumers who speak HTTP/2.

use std::sync::mpsc::channel;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::Frame;

use crate::http2_client::{Http2, data, get, post};
use crate::origin::{OK, Origin};
use crate::pki::{Authority, Material};
use crate::rig::{LIMIT, Rig, Setup, until};

#[test]
fn http2_is_spoken_where_a_client_of_tls_chooses_it() {
    let authority = Authority::new();
    let material = Material::of(vec![authority.leaf(&["api.example"], 1)]);
    let (origin, seen) = Origin::answering(OK);
    let mut setup = Setup::to(&[origin.url()]);
    setup.tls = Some(material.tls());
    let rig = setup.start();
    let client = Http2::connect_tls(&rig, authority.client(None), "api.example");
    let answer = client.get("/a?b=c").expect("an answer");
    assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]));
    let request = seen.next();
    assert!(
        request.head.starts_with("GET /a?b=c HTTP/1.1\r\n"),
        "{}",
        request.head
    );
    let record = rig.record();
    assert_eq!(
        (&record["status"], &record["reason"]),
        (&200.into(), &().into())
    );
}

#[test]
fn in_the_clear_both_are_spoken_on_one_listener_and_only_where_that_is_wanted() {
    let (rig, _seen) = rig(|_| {});
    assert_eq!(
        Http2::connect(&rig).get("/").expect("an answer").body,
        b"ok"
    );
    let mut consumer = rig.connect();
    // The first byte may be that of the other.
    for part in [
        "P",
        "OST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    ] {
        consumer.send(part);
    }
    assert_eq!(consumer.receive().text(), "ok");
    let (rig, _seen) = self::rig(|setup| setup.http2 = false);
    let mut consumer = rig.connect();
    consumer.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    drop(consumer.rest());
    assert_eq!(rig.record()["reason"], "bad_request");
}

#[test]
fn many_requests_at_once_leave_one_record_each() {
    let (rig, _seen) = rig(|_| {});
    let client = Http2::connect(&rig);
    for _ in 0..50 {
        assert_eq!(client.get("/").expect("an answer").status, 200);
    }
    drop(client);
    assert_eq!(rig.finish().len(), 50);
}

#[test]
fn the_authority_and_the_host_must_be_one() {
    let (rig, seen) = rig(|_| {});
    let client = Http2::connect(&rig);
    let both = get("/").header("host", "api.example");
    assert_eq!(client.ask(both, Vec::new()).expect("an answer").status, 200);
    assert_eq!(seen.next().all("host").len(), 1);
    let differ = get("/").header("host", "other.example");
    assert_eq!(
        client.ask(differ, Vec::new()).expect("an answer").status,
        400
    );
    seen.nothing();
}

#[test]
fn paths_are_read_as_strictly_as_in_http1() {
    let (rig, seen) = rig(|_| {});
    let client = Http2::connect(&rig);
    for path in ["/a/../b", "/a%2fb", "/a/%2e%2e"] {
        assert_eq!(client.get(path).expect("an answer").status, 400, "{path}");
    }
    seen.nothing();
}

#[test]
fn an_upstream_of_http1_gets_one_cookie() {
    let (rig, seen) = rig(|_| {});
    let client = Http2::connect(&rig);
    let crumbs = get("/").header("cookie", "a=1").header("cookie", "b=2");
    client.ask(crumbs, Vec::new()).expect("an answer");
    assert_eq!(seen.next().all("cookie"), ["a=1; b=2"]);
}

#[test]
fn bodies_and_trailers_go_both_ways() {
    let (show, seen) = channel();
    let origin = Origin::start(move |mut connection| {
        let request = connection.receive();
        show.send((request.body, request.trailers))
            .expect("the test goes on");
        connection.send(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: grpc-status\r\n\r\n\
             5\r\nhello\r\n0\r\ngrpc-status: 0\r\n\r\n",
        );
    });
    let mut setup = Setup::to(&[origin.url()]);
    setup.http2 = true;
    let rig = setup.start();
    let client = Http2::connect(&rig);
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("7"));
    let parts = vec![data("abc"), data("def"), Frame::trailers(trailers)];
    let request = post("/")
        .header("te", "trailers")
        .header("trailer", "x-sum");
    let answer = client.ask(request, parts).expect("an answer");
    assert_eq!(answer.body, b"hello");
    let trailers = answer.trailers.expect("trailers");
    assert_eq!(trailers["grpc-status"], "0");
    let (body, trailers) = seen.recv_timeout(LIMIT).expect("a request");
    assert_eq!((&body[..], trailers.as_str()), (&b"abcdef"[..], "x-sum: 7"));
    let record = rig.record();
    assert_eq!(
        (&record["request_bytes"], &record["response_bytes"]),
        (&6.into(), &5.into())
    );
}

#[test]
fn a_refusal_has_no_header_of_the_connection() {
    let (rig, _seen) = rig(|_| {});
    let client = Http2::connect(&rig);
    let answer = client
        .ask(post("/closed/x"), vec![data("abc")])
        .expect("an answer");
    assert_eq!(answer.status, 401);
    assert!(!answer.headers.contains_key("connection"));
    assert_eq!(client.get("/").expect("the connection goes on").status, 200);
}

#[test]
fn a_drain_says_goodbye_and_lets_streams_end() {
    let (arrived, told) = channel();
    let (go_on, released) = channel();
    let released = parking_lot::Mutex::new(released);
    let origin = Origin::start(move |mut connection| {
        connection.receive();
        arrived.send(()).expect("the test goes on");
        released.lock().recv_timeout(LIMIT).expect("released");
        connection.send(OK);
    });
    let mut setup = Setup::to(&[origin.url()]);
    setup.http2 = true;
    let mut rig = setup.start();
    let address = rig.address;
    let client = Http2::connect(&rig);
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| client.get("/"));
        told.recv_timeout(LIMIT).expect("the request is under way");
        let drained = scope.spawn(|| rig.drain(LIMIT));
        until("the port to close", || {
            let refused = std::net::TcpStream::connect(address).is_err();
            refused.then_some(())
        });
        go_on.send(()).expect("the origin waits");
        let answer = answer.join().expect("no panic").expect("an answer");
        assert_eq!(answer.body, b"ok");
        assert_eq!(drained.join().expect("no panic"), 0);
    });
}

#[test]
fn a_cut_ends_streams_with_a_record_each() {
    let (arrived, told) = channel();
    let origin = Origin::start(move |mut connection| {
        connection.receive();
        arrived.send(()).expect("the test goes on");
        connection.expect_closed();
    });
    let mut setup = Setup::to(&[origin.url()]);
    setup.http2 = true;
    let mut rig = setup.start();
    let client = Http2::connect(&rig);
    std::thread::scope(|scope| {
        let answers = [(); 3].map(|()| scope.spawn(|| client.get("/")));
        for _ in 0..3 {
            told.recv_timeout(LIMIT).expect("a request is under way");
        }
        assert_eq!(rig.drain(Duration::from_millis(50)), 1);
        for answer in answers {
            answer.join().expect("no panic").expect_err("it was cut");
        }
    });
    let records = rig.finish();
    assert_eq!(records.len(), 3);
    assert!(
        records.iter().all(|it| it["reason"] == "draining"),
        "{records:?}"
    );
}

#[test]
fn a_stream_that_the_client_makes_no_room_for_is_reset_alone() {
    let large = Bytes::from(vec![b'x'; 1 << 22]);
    let origin = Origin::start(move |mut connection| {
        let request = connection.receive();
        if request.head.starts_with("GET /small") {
            connection.send(OK);
            return;
        }
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 4194304\r\n\r\n");
        // It is closed once the stream is.
        drop(std::io::Write::write_all(&mut connection.stream, &large));
        drop(connection.rest());
    });
    let mut setup = Setup::to(&[origin.url()]);
    setup.http2 = true;
    setup.limits.body_timeout = Duration::from_millis(100);
    let rig = setup.start();
    let client = Http2::connect(&rig);
    let unread = client.send(get("/large"), Vec::new()).expect("a head");
    let record = rig.record();
    assert_eq!(
        (&record["path"], &record["reason"]),
        (&"/large".into(), &"client_aborted".into())
    );
    assert_eq!(
        client.get("/small").expect("the connection goes on").body,
        b"ok"
    );
    drop(unread);
}

fn rig(set: impl FnOnce(&mut Setup)) -> (Rig, crate::origin::Seen) {
    let (origin, seen) = Origin::answering(OK);
    let mut setup = Setup::to(&[origin.url()]);
    setup.http2 = true;
    set(&mut setup);
    (setup.start(), seen)
}
