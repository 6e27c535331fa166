//! Upstreams that refuse what they are shown.

use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::Duration;

use http::StatusCode;
use leasehold_model::GenerationNumber;
use parking_lot::Mutex;
use serde_json::Value;

use crate::lease::{FakeProvider, Lease};
use crate::origin::{FORBIDDEN, OK, Origin, UNAUTHORIZED};
use crate::rig::{LIMIT, until};

#[test]
fn a_refused_request_is_sent_once_more_with_a_newer_generation() {
    let (origin, seen) = Origin::judging(UNAUTHORIZED, is_second);
    let lease = Lease::ready(leasing());
    let rig = lease.setup(&origin).start();
    let mut consumer = rig.connect();
    let answer = consumer.get("/x?y", "X-Api-Key: forged\r\nAccept: a/b\r\n");
    assert_eq!((answer.status(), answer.text()), ("200", "ok"));
    assert!(answer.all("www-authenticate").is_empty(), "{}", answer.head);
    let (first, second) = (seen.next(), seen.next());
    seen.nothing();
    assert_eq!(first.all("x-api-key"), [FIRST]);
    assert_eq!(second.all("x-api-key"), [SECOND]);
    assert_eq!(first.head.replace(FIRST, SECOND), second.head);
    assert_eq!(origin.connections(), 1, "the first answer was read");
    let record = rig.record();
    assert_eq!(shown(&record), (200.into(), 2.into(), 1.into()));
    assert_eq!(
        (&record["lease_id"], &record["response_bytes"]),
        (&"lease-2".into(), &2.into())
    );
    until("the refused one to be given back", || {
        (lease.provider.revoked() == ["lease-1"]).then_some(())
    });
    assert_eq!(consumer.get("/", "").status(), "200");
    assert_eq!(lease.provider.fetched(), 2);
    let record = rig.records(2).remove(1);
    assert_eq!(shown(&record), (200.into(), 2.into(), Value::Null));
}

#[test]
fn a_refusal_that_a_newer_generation_meets_too_is_passed_on() {
    let (origin, seen) = Origin::judging(UNAUTHORIZED, |_| false);
    let lease = Lease::ready(leasing());
    let rig = lease.setup(&origin).start();
    let answer = rig.connect().get("/", "");
    assert_eq!((answer.status(), answer.text()), ("401", "no"));
    assert_eq!(answer.all("www-authenticate"), ["Key"]);
    assert_eq!(seen.next().all("x-api-key"), [FIRST]);
    assert_eq!(seen.next().all("x-api-key"), [SECOND]);
    seen.nothing();
    let record = rig.record();
    assert_eq!(shown(&record), (401.into(), 2.into(), 1.into()));
    assert!(record["reason"].is_null(), "{record}");
}

#[test]
fn a_caller_who_is_refused_in_a_loop_does_not_drive_the_provider() {
    let (origin, _seen) = Origin::judging(UNAUTHORIZED, |_| false);
    let lease = Lease::ready(leasing());
    let rig = lease.setup(&origin).start();
    let mut consumer = rig.connect();
    for _ in 0..200 {
        assert_eq!(consumer.get("/", "").status(), "401");
    }
    let fetched = lease.provider.fetched();
    assert!((2..=3).contains(&fetched), "{fetched} within a life");
}

#[test]
fn a_stored_value_that_has_not_changed_is_read_once_and_the_refusal_passed_on() {
    let (origin, seen) = Origin::judging(UNAUTHORIZED, |_| false);
    let lease = Lease::ready(FakeProvider::storing());
    let rig = lease.setup(&origin).start();
    assert_eq!(rig.connect().get("/", "").text(), "no");
    seen.next();
    seen.nothing();
    assert_eq!(lease.provider.fetched(), 2);
    let record = rig.record();
    assert_eq!(shown(&record), (401.into(), 1.into(), Value::Null));
    // The verdict was told: a wait for it that had to end by itself takes 10 s.
    let took = record["gateway_us"].as_u64();
    assert!(took.is_some_and(|it| it < 9_000_000), "{record}");
}

#[test]
fn a_stored_value_that_has_changed_is_found_by_the_refusal() {
    let (origin, _seen) = Origin::judging(UNAUTHORIZED, is_second);
    let lease = Lease::ready(FakeProvider::storing());
    let rig = lease.setup(&origin).start();
    lease.provider.version.store(2, Ordering::SeqCst);
    assert_eq!(rig.connect().get("/", "").text(), "ok");
    let record = rig.record();
    assert_eq!(shown(&record), (200.into(), 2.into(), 1.into()));
    assert_eq!(record["version"], 2);
}

#[test]
fn a_small_body_is_sent_again_byte_for_byte() {
    let (origin, seen) = Origin::judging(UNAUTHORIZED, is_second);
    let lease = Lease::ready(leasing());
    let rig = lease.setup(&origin).start();
    let body: Vec<u8> = (0..10 * 1024_u32).map(|it| (it % 251) as u8).collect();
    let mut consumer = rig.connect();
    consumer
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10240\r\n\r\n")
        .send(&body);
    assert_eq!(consumer.receive().text(), "ok");
    let (first, second) = (seen.next(), seen.next());
    assert!(first.body == body && second.body == body);
    assert_eq!(second.all("content-length"), ["10240"]);
    let record = rig.record();
    assert_eq!(shown(&record), (200.into(), 2.into(), 1.into()));
    assert_eq!(record["request_bytes"], 10_240);
}

#[test]
fn a_large_body_is_not_sent_again_and_the_next_request_has_the_newer_generation() {
    for head in [
        "Content-Length: 1048576\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n100000\r\n",
    ] {
        let (origin, seen) = Origin::judging(UNAUTHORIZED, is_second);
        let lease = Lease::ready(leasing());
        let rig = lease.setup(&origin).start();
        let mut consumer = rig.connect();
        consumer
            .send(format!("POST / HTTP/1.1\r\nHost: a\r\n{head}"))
            .send(vec![b'x'; 1 << 20]);
        if head.contains("chunked") {
            consumer.send("\r\n0\r\n\r\n");
        }
        assert_eq!(consumer.receive().text(), "no");
        assert_eq!(seen.next().body.len(), 1 << 20);
        seen.nothing();
        let record = rig.record();
        assert_eq!(shown(&record), (401.into(), 1.into(), Value::Null));
        second_generation(&lease);
        assert_eq!(consumer.get("/", "").text(), "ok");
    }
}

#[test]
fn trailers_are_sent_again_with_their_body() {
    let (origin, seen) = Origin::judging(UNAUTHORIZED, is_second);
    let lease = Lease::ready(leasing());
    let rig = lease.setup(&origin).start();
    let mut consumer = rig.connect();
    consumer.send(
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, X-Api-Key\r\n\r\n\
         3\r\none\r\n3\r\ntwo\r\n0\r\nX-Sum: 7\r\nX-Api-Key: forged\r\n\r\n",
    );
    assert_eq!(consumer.receive().text(), "ok");
    for request in [seen.next(), seen.next()] {
        assert_eq!(
            (request.text(), &*request.trailers),
            ("onetwo", "x-sum: 7"),
            "{}",
            request.head
        );
        assert_eq!(request.all("trailer"), ["x-sum"]);
    }
    assert_eq!(consumer.get("/", "").text(), "ok");
}

#[test]
fn an_empty_chunked_body_stays_one() {
    let (origin, seen) = Origin::judging(UNAUTHORIZED, is_second);
    let lease = Lease::ready(leasing());
    let rig = lease.setup(&origin).start();
    let mut consumer = rig.connect();
    consumer.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
    assert_eq!(consumer.receive().text(), "ok");
    for request in [seen.next(), seen.next()] {
        assert_eq!(request.all("transfer-encoding"), ["chunked"]);
        assert_eq!(request.text(), "");
    }
}

#[test]
fn an_upstream_that_refuses_before_the_body_is_there_gets_all_of_it_the_second_time() {
    let (answered, told) = channel();
    let answered = Mutex::new(answered);
    let origin = Origin::start(move |mut connection| {
        let head = connection.head().expect("a head");
        assert!(head.contains(FIRST) && !head.contains("expect"), "{head}");
        connection.send(UNAUTHORIZED);
        answered.lock().send(()).expect("the test goes on");
        assert_eq!(connection.exactly(6).expect("the body"), b"abcdef");
        let second = connection.receive();
        assert_eq!(
            (second.all("x-api-key"), second.text()),
            (vec![SECOND], "abcdef")
        );
        connection.send(OK);
    });
    let lease = Lease::ready(leasing());
    let rig = lease.setup(&origin).start();
    let mut consumer = rig.connect();
    consumer
        .send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nExpect: 100-continue\r\n\r\n");
    let interim = consumer.head().expect("an interim answer");
    assert_eq!(interim, "HTTP/1.1 100 Continue");
    consumer.send("abc");
    told.recv_timeout(LIMIT).expect("the refusal");
    second_generation(&lease);
    consumer.send("def");
    assert_eq!(consumer.receive().text(), "ok");
}

#[test]
fn only_the_statuses_that_are_set_make_a_credential_suspect() {
    let lease = Lease::ready(leasing());
    let (refusing, seen) = Origin::judging(UNAUTHORIZED, |_| false);
    let (forbidding, _forbidden) = Origin::judging(FORBIDDEN, is_second);
    let setup = |origin| {
        let mut setup = lease.setup(origin);
        if let Some(used) = &mut setup.credential {
            used.suspect.statuses = vec![StatusCode::FORBIDDEN];
        }
        setup.start()
    };
    assert_eq!(setup(&refusing).connect().get("/", "").status(), "401");
    seen.next();
    seen.nothing();
    assert_eq!(lease.provider.fetched(), 1);
    assert_eq!(setup(&forbidding).connect().get("/", "").status(), "200");
    assert_eq!(lease.provider.fetched(), 2);
}

#[test]
fn without_retry_the_refusal_is_passed_on_and_the_credential_replaced() {
    let (origin, seen) = Origin::judging(UNAUTHORIZED, is_second);
    let lease = Lease::ready(leasing());
    let mut setup = lease.setup(&origin);
    if let Some(used) = &mut setup.credential {
        used.suspect.retry = false;
    }
    let rig = setup.start();
    let mut consumer = rig.connect();
    assert_eq!(consumer.get("/", "").status(), "401");
    seen.next();
    seen.nothing();
    second_generation(&lease);
    assert_eq!(consumer.get("/", "").status(), "200");
}

#[test]
fn however_many_are_refused_at_once_one_fetch_serves_them_all() {
    let (origin, seen) = Origin::judging(UNAUTHORIZED, is_second);
    let lease = Lease::ready(leasing());
    let rig = lease.setup(&origin).start();
    lease.provider.close();
    let mut consumers: Vec<_> = (0..50).map(|_| rig.connect()).collect();
    for consumer in &mut consumers {
        consumer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for _ in 0..50 {
        assert_eq!(seen.next().all("x-api-key"), [FIRST]);
    }
    lease.provider.open();
    for consumer in &mut consumers {
        assert_eq!(consumer.receive().text(), "ok");
    }
    for _ in 0..50 {
        assert_eq!(seen.next().all("x-api-key"), [SECOND]);
    }
    assert_eq!(lease.provider.fetched(), 2);
    for record in rig.records(50) {
        assert_eq!(shown(&record), (200.into(), 2.into(), 1.into()));
    }
}

#[test]
fn a_consumer_who_goes_away_does_not_wait_for_the_verdict() {
    let (origin, seen) = Origin::judging(UNAUTHORIZED, is_second);
    let lease = Lease::ready(leasing());
    let rig = lease.setup(&origin).start();
    lease.provider.close();
    let mut consumer = rig.connect();
    consumer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    until("the suspicion", || {
        (lease.provider.fetched() == 2).then_some(())
    });
    drop(consumer);
    let record = rig.record();
    assert_eq!(record["reason"], "client_aborted");
    assert_eq!(
        (&record["generation"], &record["status"]),
        (&1.into(), &Value::Null)
    );
    seen.next();
    lease.provider.open();
    second_generation(&lease);
    seen.nothing();
}

/// Returns what a record tells of status, generation and the generation that was refused.
fn shown(record: &Value) -> (Value, Value, Value) {
    let [status, generation, refused] =
        ["status", "generation", "retried_after"].map(|key| record[key].clone());
    (status, generation, refused)
}

fn second_generation(lease: &Lease) {
    until("the second generation", || {
        let current = lease.current().ok();
        current.filter(|it| it.number() > GenerationNumber::FIRST)
    });
}

fn leasing() -> FakeProvider {
    FakeProvider::leasing(Duration::from_secs(60))
}

fn is_second(value: &str) -> bool {
    value == SECOND
}

const FIRST: &str = "Key canary-1";
const SECOND: &str = "Key canary-2";
