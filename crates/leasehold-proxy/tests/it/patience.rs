//! Sides that go silent in the middle, and what is given up then.

use std::io::Write as _;
use std::sync::mpsc::channel;
use std::time::Duration;

use socket2::SockRef;

use crate::origin::{OK, Origin};
use crate::rig::{LIMIT, Setup};

#[test]
fn an_upstream_that_is_silent_in_mid_answer_is_given_up() {
    for head in ["content-length: 10", "transfer-encoding: chunked"] {
        let (gone, told) = channel();
        let origin = Origin::start(move |mut connection| {
            connection.receive();
            connection.send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhel"));
            connection.expect_closed();
            gone.send(()).expect("the test goes on");
        });
        let mut setup = Setup::to(&[origin.url()]);
        setup.response_timeout = SHORT;
        let rig = setup.start();
        let mut consumer = rig.connect();
        consumer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        consumer.try_receive().expect_err("the body has no end");
        told.recv_timeout(LIMIT)
            .expect("the upstream's connection is closed");
        let record = rig.record();
        assert_eq!(
            (&record["status"], &record["reason"]),
            (&200.into(), &"upstream_timeout".into())
        );
    }
}

#[test]
fn a_consumer_that_does_not_read_its_answer_is_cut() {
    let (gone, told) = channel();
    let origin = Origin::start(move |mut connection| {
        connection.receive();
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n");
        while connection.stream.write_all(&[b'x'; 1 << 16]).is_ok() {}
        gone.send(()).expect("the test goes on");
    });
    let mut setup = Setup::to(&[origin.url()]);
    setup.limits.body_timeout = SHORT;
    let rig = setup.start();
    let mut consumer = rig.connect();
    consumer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(rig.record()["reason"], "client_aborted");
    told.recv_timeout(LIMIT)
        .expect("the upstream's connection is closed");
}

#[test]
fn a_consumer_that_owes_its_body_is_told_so() {
    let origin = Origin::start(|mut connection| {
        connection.head().expect("a head");
        drop(connection.rest());
    });
    let mut setup = Setup::to(&[origin.url()]);
    setup.limits.body_timeout = SHORT;
    let rig = setup.start();
    let mut consumer = rig.connect();
    consumer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    assert_eq!(consumer.receive().status(), "408");
    consumer.expect_closed();
    assert_eq!(rig.record()["reason"], "client_aborted");
}

#[test]
fn a_consumer_that_owes_its_body_after_the_answer_is_cut() {
    let (gone, told) = channel();
    let origin = Origin::start(move |mut connection| {
        connection.head().expect("a head");
        connection.send(OK);
        drop(connection.rest());
        gone.send(()).expect("the test goes on");
    });
    let mut setup = Setup::to(&[origin.url()]);
    setup.limits.body_timeout = SHORT;
    let rig = setup.start();
    let mut consumer = rig.connect();
    consumer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    assert_eq!(consumer.receive().text(), "ok");
    told.recv_timeout(LIMIT)
        .expect("the upstream's connection is closed");
    consumer.expect_closed();
}

#[test]
fn a_consumer_whose_connection_is_reset_in_mid_request_has_left() {
    let (arrived, told) = channel();
    let origin = Origin::start(move |mut connection| {
        connection.head().expect("a head");
        connection.exactly(3).expect("a part");
        arrived.send(()).expect("the test goes on");
        drop(connection.rest());
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    told.recv_timeout(LIMIT).expect("the request is under way");
    let reset = SockRef::from(&consumer.stream).set_linger(Some(Duration::ZERO));
    reset.expect("a socket");
    drop(consumer);
    assert_eq!(rig.record()["reason"], "client_aborted");
}

const SHORT: Duration = Duration::from_millis(100);
