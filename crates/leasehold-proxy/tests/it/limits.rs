//! What connections may take up, and one more than that.

use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;

use crate::http2_client::{Http2, get, post};
use crate::origin::{OK, Origin};
use crate::rig::{Rig, Setup, until};

#[test]
fn a_listener_keeps_as_many_connections_as_it_may() {
    let rig = rig(|setup| setup.limits.connections = 2);
    let mut kept = [rig.connect(), rig.connect()];
    for consumer in &mut kept {
        assert_eq!(consumer.get("/", "").status(), "200");
    }
    assert_eq!(rig.connect().get("/", "").status(), "503");
    drop(kept);
    until("a free place", || {
        let free = "leasehold_connections 0\n";
        rig.metrics().contains(free).then_some(())
    });
    assert_eq!(rig.connect().get("/", "").status(), "200");
}

#[test]
fn a_connection_carries_as_many_requests_as_it_may() {
    let rig = rig(|setup| setup.limits.requests = 3);
    let mut consumer = rig.connect();
    for close in [false, false, true] {
        let answer = consumer.get("/", "");
        assert_eq!(answer.status(), "200");
        assert_eq!(!answer.all("connection").is_empty(), close);
    }
    consumer.expect_closed();
    let client = Http2::connect(&rig);
    for _ in 0..2 {
        assert_eq!(client.get("/").expect("an answer").status, 200);
        assert!(!client.is_closed());
    }
    assert_eq!(client.get("/").expect("an answer").status, 200);
    until("the end", || client.is_closed().then_some(()));
}

#[test]
fn a_head_has_as_many_lines_as_it_may() {
    for most in [20, 100] {
        let rig = rig(|setup| setup.limits.headers = most);
        for (more, status) in [(0, "200"), (1, "431")] {
            let lines = "x: 1\r\n".repeat(most - 1 + more);
            assert_eq!(
                rig.connect().get("/", &lines).status(),
                status,
                "{most} {more}"
            );
        }
        let client = Http2::connect(&rig);
        for (more, status) in [(0, 200), (1, 400)] {
            let request = (0..most + more).fold(get("/"), |it, _| it.header("x", "1"));
            let answer = client.ask(request, Vec::new()).expect("an answer");
            assert_eq!(answer.status, status, "{most} {more}");
        }
    }
}

#[test]
fn a_head_is_as_large_as_it_may_be() {
    let rig = rig(|setup| setup.limits.head_size = 10_000);
    let frame = "GET / HTTP/1.1\r\nHost: api.example\r\nx: \r\n\r\n".len();
    for (more, status) in [(0, "200"), (1, "431")] {
        let line = format!("x: {}\r\n", "a".repeat(10_000 - frame + more));
        assert_eq!(rig.connect().get("/", &line).status(), status, "{more}");
    }
    let client = Http2::connect(&rig);
    // Each header counts for 32 bytes more there.
    for (length, status) in [(9_000, 200), (10_001, 431)] {
        let request = get("/").header("x", "a".repeat(length));
        assert_eq!(
            client.ask(request, Vec::new()).expect("an answer").status,
            status
        );
    }
}

#[test]
fn a_body_is_as_large_as_it_may_be() {
    let rig = rig(|setup| setup.limits.body_size = 1000);
    for (length, status) in [(1000, "200"), (1001, "413")] {
        let body = "a".repeat(length);
        let mut consumer = rig.connect();
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        consumer.send(format!("{head}{body}"));
        let answer = consumer.receive();
        assert_eq!(answer.status(), status);
        let mut consumer = rig.connect();
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        consumer.send(format!("{head}{length:x}\r\n{body}\r\n0\r\n\r\n"));
        let answer = consumer.receive();
        assert_eq!(answer.status(), status);
        if status == "413" {
            assert!(
                answer.text().contains("body_too_large"),
                "{}",
                answer.text()
            );
            assert_eq!(answer.all("connection"), ["close"]);
        }
    }
    let client = Http2::connect(&rig);
    for (length, status) in [(1000, 200), (1001, 413)] {
        let part = Frame::data(Bytes::from(vec![b'a'; length]));
        let answer = client.ask(post("/"), vec![part]).expect("an answer");
        assert_eq!(answer.status, status);
    }
    let refused = rig.records(6);
    let refused = refused.iter().filter(|it| it["reason"] == "body_too_large");
    assert_eq!(refused.count(), 3);
}

#[test]
fn a_connection_that_is_idle_for_too_long_is_closed() {
    let rig = rig(|setup| setup.limits.idle_timeout = SHORT);
    let mut consumer = rig.connect();
    assert_eq!(consumer.get("/", "").status(), "200");
    consumer.expect_closed();
    rig.connect().expect_closed();
    let client = Http2::connect(&rig);
    assert_eq!(client.get("/").expect("an answer").status, 200);
    until("the end", || client.is_closed().then_some(()));
}

#[test]
fn a_head_that_does_not_end_in_time_is_not_waited_for() {
    let rig = rig(|setup| setup.limits.head_timeout = SHORT);
    let mut consumer = rig.connect();
    assert_eq!(consumer.get("/", "").status(), "200");
    consumer.send("GET / HTTP/1.1\r\nHost:").expect_closed();
    let mut consumer = rig.connect();
    consumer.send("G").expect_closed();
}

#[test]
fn a_body_that_drips_is_given_up_though_no_part_is_late() {
    let origin = Origin::start(|mut connection| {
        connection.head().expect("a head");
        drop(connection.rest());
    });
    let mut setup = Setup::to(&[origin.url()]);
    setup.limits.pace.grace = Duration::from_millis(300);
    setup.limits.pace.rate = 1_000_000;
    let rig = setup.start();
    let mut consumer = rig.connect();
    consumer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
    // Each part comes long before it is late by itself.
    while consumer.stream.peer_addr().is_ok()
        && std::io::Write::write_all(&mut consumer.stream, b"x").is_ok()
        && rig.peek().is_empty()
    {
        std::thread::park_timeout(Duration::from_millis(5));
    }
    let record = rig.record();
    assert_eq!(record["reason"], "client_aborted");
}

fn rig(set: impl FnOnce(&mut Setup)) -> Rig {
    let origin = Origin::saying(OK);
    let mut setup = Setup::to(&[origin.url()]);
    setup.http2 = true;
    set(&mut setup);
    setup.start()
}

const SHORT: Duration = Duration::from_millis(60);
