//! Upstreams and consumers that fail: what the other side sees, and what is recorded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::origin::{Nowhere, OK, Origin, seen};
use crate::rig::{LIMIT, Setup, until};

#[test]
fn an_endpoint_that_can_not_be_reached_is_passed_over() {
    let (origin, seen) = Origin::answering(OK);
    let nowhere = Nowhere::new();
    let rig = Setup::to(&[nowhere.url(), origin.url()]).start();
    for _ in 0..3 {
        assert_eq!(rig.connect().get("/", "").text(), "ok");
        seen.next();
    }
    for record in rig.records(3) {
        assert_eq!(record["endpoint"], origin.url());
        assert!(record["reason"].is_null());
    }
    let errors = "leasehold_upstream_connect_errors_total{upstream=\"origin\"} 1\n";
    assert!(
        rig.metrics().contains(errors),
        "tried once, then avoided: {}",
        rig.metrics()
    );
}

#[test]
fn where_no_endpoint_can_be_reached_the_answer_is_502() {
    let (one, other) = (Nowhere::new(), Nowhere::new());
    let rig = Setup::to(&[one.url(), other.url()]).start();
    let mut consumer = rig.connect();
    consumer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    let answer = consumer.receive();
    assert_eq!(answer.status(), "502");
    assert!(
        answer.text().contains("upstream_unreachable"),
        "{}",
        answer.text()
    );
    assert!(!answer.text().contains("127.0.0.1"), "{}", answer.text());
    let record = rig.record();
    assert_eq!(
        (&record["status"], &record["reason"]),
        (&502.into(), &"upstream_unreachable".into())
    );
    assert!(record["upstream_us"].as_u64().is_some(), "{record}");
}

#[test]
fn endpoints_take_turns() {
    let (one, seen_by_one) = Origin::answering(OK);
    let (other, seen_by_other) = Origin::answering(OK);
    let rig = Setup::to(&[one.url(), other.url()]).start();
    for seen in [&seen_by_one, &seen_by_other, &seen_by_one, &seen_by_other] {
        rig.connect().get("/", "");
        seen.next();
    }
    assert_eq!((one.connections(), other.connections()), (1, 1));
}

#[test]
fn a_connection_that_the_upstream_closed_meanwhile_is_replaced() {
    let (show, seen) = seen();
    let (closed, told) = channel();
    let origin = Origin::start(move |mut connection| {
        show.send(connection.receive()).expect("shown");
        // Says that the connection may be kept, and closes it all the same.
        connection.send(OK);
        drop(connection);
        closed.send(()).expect("the test goes on");
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    for _ in 0..50 {
        consumer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(consumer.receive().text(), "ok");
        assert_eq!(seen.next().text(), "abc");
        told.recv_timeout(LIMIT).expect("closed");
    }
    assert_eq!(origin.connections(), 50);
    assert!(
        rig.records(50)
            .iter()
            .all(|record| record["reason"].is_null())
    );
}

#[test]
fn a_request_that_may_change_something_is_never_sent_again() {
    let (show, seen) = seen();
    let answers = Arc::new(AtomicUsize::new(0));
    let origin = Origin::start(move |mut connection| {
        while let Ok(request) = connection.try_receive() {
            show.send(request).expect("shown");
            if answers.fetch_add(1, Ordering::SeqCst) > 0 {
                return;
            }
            connection.send(OK);
        }
    });
    let (other, seen_by_other) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url(), other.url()]).start();
    let mut consumer = rig.connect();
    assert_eq!(consumer.get("/1", "").status(), "200");
    assert_eq!(consumer.get("/2", "").status(), "200");
    // Over the connection of the first, which is read from and closed then.
    consumer.send("POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    let answer = consumer.receive();
    assert_eq!(answer.status(), "502");
    assert!(
        answer.text().contains("upstream_failed"),
        "{}",
        answer.text()
    );
    let heads: Vec<_> = [&seen, &seen_by_other, &seen]
        .map(|it| it.next().head)
        .into();
    assert!(heads[2].starts_with("POST /3 "), "{heads:?}");
    assert_eq!(rig.records(3)[2]["reason"], "upstream_failed");
    seen.nothing();
    seen_by_other.nothing();
}

#[test]
fn a_request_that_only_reads_is_sent_once_more_over_a_fresh_connection() {
    let (show, seen) = seen();
    let answers = Arc::new(AtomicUsize::new(0));
    // Answers the first request on a connection, reads the second and closes.
    let counted = Arc::clone(&answers);
    let origin = Origin::start(move |mut connection| {
        show.send(connection.receive()).expect("shown");
        // The third connection says nothing at all.
        if counted.fetch_add(1, Ordering::SeqCst) == 2 {
            return;
        }
        connection.send(OK);
        if let Ok(request) = connection.try_receive() {
            show.send(request).expect("shown");
        }
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    assert_eq!(consumer.get("/1", "").text(), "ok");
    assert_eq!(consumer.get("/2", "X-Same: 1\r\n").text(), "ok");
    assert_eq!(
        consumer.get("/3", "").status(),
        "502",
        "once more and no oftener"
    );
    let heads: Vec<_> = (0..5).map(|_| seen.next().head).collect();
    assert_eq!(heads[1], heads[2]);
    assert!(heads[1].contains("x-same: 1"), "{heads:?}");
    assert!(heads[4].starts_with("GET /3 "), "{heads:?}");
    assert_eq!(origin.connections(), 3);
    seen.nothing();
    let records = rig.records(3);
    assert!(records[1]["reason"].is_null(), "{records:?}");
    assert_eq!(records[2]["reason"], "upstream_failed");
}

#[test]
fn a_request_whose_answer_has_begun_is_not_sent_again() {
    let (show, seen) = seen();
    let origin = Origin::start(move |mut connection| {
        show.send(connection.receive()).expect("shown");
        connection.send(OK);
        show.send(connection.receive()).expect("shown");
        connection.send("HTTP/1.1 2");
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    assert_eq!(consumer.get("/1", "").text(), "ok");
    assert_eq!(consumer.get("/2", "").status(), "502");
    assert_eq!(origin.connections(), 1);
    seen.next();
    seen.next();
    seen.nothing();
}

#[test]
fn an_upstream_that_does_not_answer_is_given_up() {
    let (gone, told) = channel();
    let origin = Origin::start(move |mut connection| {
        connection.receive();
        connection.expect_closed();
        gone.send(()).expect("the test goes on");
    });
    let mut setup = Setup::to(&[origin.url()]);
    setup.response_timeout = Duration::from_millis(100);
    let rig = setup.start();
    let mut consumer = rig.connect();
    let answer = consumer.get("/", "");
    assert_eq!(answer.status(), "504");
    assert!(
        answer.text().contains("upstream_timeout"),
        "{}",
        answer.text()
    );
    told.recv_timeout(LIMIT)
        .expect("the upstream's connection is closed");
    assert_eq!(rig.record()["reason"], "upstream_timeout");
}

#[test]
fn a_slow_consumer_does_not_use_up_the_upstreams_time() {
    let (arrived, told) = channel();
    let origin = Origin::start(move |mut connection| {
        connection.head().expect("a head");
        for _ in 0..5 {
            connection.exactly(1).expect("a byte");
            arrived.send(()).expect("the test goes on");
        }
        connection.send(OK);
    });
    let mut setup = Setup::to(&[origin.url()]);
    setup.response_timeout = Duration::from_millis(100);
    let rig = setup.start();
    let mut consumer = rig.connect();
    consumer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    for _ in 0..5 {
        // Longer than the upstream may take for its answer.
        std::thread::park_timeout(Duration::from_millis(150));
        consumer.send("x");
        told.recv_timeout(LIMIT).expect("it went on");
    }
    assert_eq!(consumer.receive().text(), "ok");
}

#[test]
fn an_answer_that_breaks_off_does_not_look_whole() {
    for answer in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    ] {
        let origin = Origin::start(move |mut connection| {
            connection.receive();
            connection.send(answer);
        });
        let rig = Setup::to(&[origin.url()]).start();
        let mut consumer = rig.connect();
        consumer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        consumer.try_receive().expect_err("the body has no end");
        let record = rig.record();
        assert_eq!(
            (&record["status"], &record["reason"]),
            (&200.into(), &"upstream_failed".into())
        );
    }
}

#[test]
fn what_is_no_answer_is_502() {
    for answer in [
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        "SSH-2.0-x\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "",
    ] {
        let origin = Origin::start(move |mut connection| {
            connection.receive();
            connection.send(answer);
        });
        let rig = Setup::to(&[origin.url()]).start();
        let got = rig
            .connect()
            .get("/", "Connection: upgrade\r\nUpgrade: x\r\n");
        assert_eq!(got.status(), "502", "{answer}");
        assert!(got.text().contains("upstream_failed"), "{}", got.text());
        assert_eq!(rig.record()["reason"], "upstream_failed");
    }
}

#[test]
fn an_answer_on_an_idle_connection_is_not_taken_for_the_next_requests() {
    let (show, seen) = seen();
    let origin = Origin::start(move |mut connection| {
        while let Ok(request) = connection.try_receive() {
            show.send(request).expect("shown");
            // In one go: what arrives after the next request was sent is an answer to that.
            connection.send([OK, OK].concat());
        }
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    for _ in 0..20 {
        assert_eq!(consumer.get("/", "").text(), "ok");
        seen.next();
    }
    assert_eq!(origin.connections(), 20);
}

#[test]
fn a_consumer_that_goes_away_takes_its_request_along() {
    let (arrived, told) = channel();
    let origin = Origin::start(move |mut connection| {
        connection.receive();
        arrived.send(()).expect("the test goes on");
        connection.expect_closed();
        arrived.send(()).expect("the test goes on");
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    told.recv_timeout(LIMIT).expect("the request arrived");
    drop(consumer);
    told.recv_timeout(LIMIT)
        .expect("the upstream's connection is closed");
    let record = rig.record();
    assert_eq!(
        (&record["status"], &record["reason"]),
        (&().into(), &"client_aborted".into())
    );
    until("the gauge", || {
        rig.metrics()
            .contains("requests_in_flight 0\n")
            .then_some(())
    });
}

#[test]
fn a_consumer_that_goes_away_in_mid_answer_stops_it() {
    let (stopped, told) = channel();
    let origin = Origin::start(move |mut connection| {
        connection.receive();
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\nx");
        connection.expect_closed();
        stopped.send(()).expect("the test goes on");
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .head()
        .expect("a head");
    drop(consumer);
    told.recv_timeout(LIMIT)
        .expect("the upstream's connection is closed");
    let record = rig.record();
    assert_eq!(
        (&record["status"], &record["reason"]),
        (&200.into(), &"client_aborted".into())
    );
}

#[test]
fn a_consumer_that_goes_away_in_mid_request_aborts_it() {
    let (stopped, told) = channel();
    let origin = Origin::start(move |mut connection| {
        connection.head().expect("a head");
        connection.exactly(3).expect("a part");
        assert!(connection.exactly(1).is_err(), "the rest never comes");
        stopped.send(()).expect("the test goes on");
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    consumer.end();
    told.recv_timeout(LIMIT)
        .expect("the upstream's connection is closed");
    assert_eq!(rig.record()["reason"], "client_aborted");
}

#[test]
fn a_malformed_body_is_the_consumers_fault() {
    let origin = Origin::start(|mut connection| {
        connection.head().expect("a head");
        drop(connection.rest());
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer
        .send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n");
    let answer = consumer.receive();
    assert_eq!(answer.status(), "400");
    assert!(answer.text().contains("bad_request"), "{}", answer.text());
    assert_eq!(rig.record()["reason"], "bad_request");
}
