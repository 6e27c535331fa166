//! Bodies stream in both directions, each part as soon as it is there.

use std::io::{self, Write as _};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::origin::{OK, Origin, seen};
use crate::rig::{LIMIT, Setup};

#[test]
fn a_part_of_an_answer_arrives_before_the_next_is_sent() {
    let (go_on, told) = channel();
    let told = parking_lot::Mutex::new(told);
    let origin = Origin::start(move |mut connection| {
        connection.receive();
        connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n");
        told.lock()
            .recv_timeout(LIMIT)
            .expect("the first part arrived");
        connection.send("3\r\ntwo\r\n0\r\n\r\n");
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .head()
        .expect("a head");
    assert_eq!(consumer.chunk().expect("a chunk"), Some(b"one".to_vec()));
    go_on.send(()).expect("the origin waits");
    assert_eq!(consumer.chunk().expect("a chunk"), Some(b"two".to_vec()));
    assert_eq!(consumer.chunk().expect("the end"), None);
    let record = rig.record();
    assert_eq!(
        (&record["response_bytes"], &record["status"]),
        (&6.into(), &200.into())
    );
}

#[test]
fn a_part_of_a_request_arrives_before_the_next_is_sent() {
    let (arrived, told) = channel();
    let origin = Origin::start(move |mut connection| {
        let head = connection.head().expect("a head");
        assert!(
            head.to_lowercase().contains("transfer-encoding: chunked"),
            "{head}"
        );
        while let Some(chunk) = connection.chunk().expect("a chunk") {
            arrived.send(chunk).expect("the test goes on");
        }
        connection.send(OK);
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    // A GET with a body, since libraries tend to forget that there can be one.
    consumer.send("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    for part in ["one", "three"] {
        consumer.send(format!("{:x}\r\n{part}\r\n", part.len()));
        assert_eq!(told.recv_timeout(LIMIT).expect("a chunk"), part.as_bytes());
    }
    consumer.send("0\r\n\r\n");
    assert_eq!(consumer.receive().text(), "ok");
    assert_eq!(rig.record()["request_bytes"], 8);
}

#[test]
fn an_answer_may_come_before_the_request_has_ended() {
    let (show, seen) = seen();
    let origin = Origin::start(move |mut connection| {
        connection.head().expect("a head");
        connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n");
        let body = connection.exactly(6).expect("the body");
        connection.send("6\r\n").send(&body).send("\r\n0\r\n\r\n");
        show.send(connection.try_receive().expect("the next request"))
            .expect("shown");
        connection.send(OK);
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    consumer.head().expect("a head while the body is under way");
    assert_eq!(consumer.chunk().expect("a chunk"), Some(b"hi".to_vec()));
    consumer.send("def");
    assert_eq!(consumer.chunk().expect("a chunk"), Some(b"abcdef".to_vec()));
    assert_eq!(consumer.chunk().expect("the end"), None);
    assert_eq!(consumer.get("/next", "").text(), "ok");
    assert!(seen.next().head.starts_with("GET /next "));
    assert_eq!(origin.connections(), 1);
}

#[test]
fn a_body_is_asked_for_once_the_request_goes_on_and_not_before() {
    let (origin, seen) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    let head = "Host: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    let mut consumer = rig.connect();
    consumer.send(format!("POST /x HTTP/1.1\r\n{head}"));
    assert_eq!(
        consumer.head().expect("an interim answer"),
        "HTTP/1.1 100 Continue"
    );
    consumer.send("abc");
    assert_eq!(consumer.receive().text(), "ok");
    let request = seen.next();
    assert_eq!((request.all("expect").len(), request.text()), (0, "abc"));

    let mut refused = rig.connect();
    refused.send(format!("POST /closed/x HTTP/1.1\r\n{head}"));
    assert_eq!(refused.receive().status(), "401");
}

#[test]
fn trailers_go_through_unless_they_would_bring_back_what_was_stripped() {
    let (origin, seen) = Origin::answering(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
         2\r\nok\r\n0\r\nx-sum: 7\r\n\r\n",
    );
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\
         Trailer: X-Check, X-Consumer-Key\r\nTrailer: Authorization\r\n\r\n\
         1\r\na\r\n0\r\nX-Check: 1\r\nX-Consumer-Key: forged\r\nAuthorization: forged\r\n\
         X-Unannounced: 1\r\n\r\n",
    );
    let answer = consumer.receive();
    assert_eq!(
        (answer.text(), answer.trailers.as_str()),
        ("ok", "x-sum: 7")
    );
    let request = seen.next();
    assert_eq!(request.all("trailer"), ["x-check"]);
    assert_eq!(request.trailers, "x-check: 1");
}

#[test]
fn an_upstream_that_does_not_read_holds_the_consumer_back() {
    let (release, released) = channel::<()>();
    let released = parking_lot::Mutex::new(released);
    let origin = Origin::start(move |mut connection| {
        connection.head().expect("a head");
        // Ends when the test does.
        assert!(released.lock().recv().is_err());
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {FAR_TOO_MUCH}\r\n\r\n"
    ));
    consumer
        .stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .expect("a timeout");
    let chunk = vec![b'x'; 1 << 16];
    let mut sent = 0;
    let held_back = loop {
        match consumer.stream.write(&chunk) {
            Ok(length) => sent += length,
            Err(error) => break error.kind() == io::ErrorKind::WouldBlock,
        }
        assert!(sent < FAR_TOO_MUCH, "the gateway took all of it");
    };
    assert!(held_back);
    drop(release);
}

/// More than the sockets on the way hold.
const FAR_TOO_MUCH: usize = 256 << 20;

#[test]
fn a_connection_that_still_owes_a_request_is_not_used_again() {
    let origin = Origin::start(|mut connection| {
        // Answers the head at once and never reads a body.
        while connection.head().is_ok() {
            connection.send(OK);
        }
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer.send("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab");
    assert_eq!(consumer.receive().text(), "ok");
    drop(consumer);
    // What is missing of that body must not be made up from the next request.
    for number in 2..5 {
        assert_eq!(rig.connect().get("/next", "").text(), "ok");
        assert_eq!(origin.connections(), 2, "request {number}");
    }
}

#[test]
fn events_go_on_one_by_one_as_the_server_sends_them() {
    let (go_on, next) = channel::<()>();
    let next = parking_lot::Mutex::new(next);
    let origin = Origin::start(move |mut connection| {
        connection.receive();
        connection.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n");
        for number in 0..3 {
            connection.send(format!("data: {number}\n\n"));
            next.lock().recv().expect("the test goes on");
        }
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer.send("GET / HTTP/1.1\r\nHost: a\r\nAccept: text/event-stream\r\n\r\n");
    assert!(
        consumer
            .head()
            .expect("a head")
            .contains("text/event-stream")
    );
    for number in 0..3 {
        let event = consumer.chunk().expect("an event");
        assert_eq!(event, Some(format!("data: {number}\n\n").into_bytes()));
        go_on.send(()).expect("the origin waits");
    }
    assert_eq!(consumer.chunk().expect("the end"), None);
}

#[test]
fn a_large_body_goes_both_ways_and_is_held_nowhere() {
    const PART: usize = 64 * 1024;
    const PARTS: usize = 512;
    let origin = Origin::start(|mut connection| {
        let head = connection.head().expect("a head");
        assert!(head.contains("content-length"), "{head}");
        connection.send(format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
            PART * PARTS
        ));
        for _ in 0..PARTS {
            let part = connection.exactly(PART).expect("a part");
            connection.send(part);
        }
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    let length = PART * PARTS;
    consumer.send(format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"
    ));
    consumer.send(vec![0; PART]);
    consumer.head().expect("a head");
    for number in 1..PARTS {
        consumer.send(vec![u8::try_from(number % 251).expect("small"); PART]);
        let part = consumer.exactly(PART).expect("the part before");
        let sent = u8::try_from((number - 1) % 251).expect("small");
        assert!(part.iter().all(|byte| *byte == sent), "part {number}");
    }
    consumer.exactly(PART).expect("the last part");
    let record = rig.record();
    assert_eq!(
        (&record["request_bytes"], &record["response_bytes"]),
        (&length.into(), &length.into())
    );
}
