//! Requests that are sent again, that may take only so long, and that others get copies of.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{Method, StatusCode};
use leasehold_proxy::{MirrorSpec, PathMatch, Retry};
use serde_json::Value;

use crate::lease::{FakeProvider, Lease};
use crate::origin::{Nowhere, OK, Origin, Seen, UNAUTHORIZED, seen};
use crate::rig::{Rig, Setup, until};
use crate::routing::named;

#[test]
fn a_status_of_the_policy_is_asked_for_again() {
    let (origin, seen) = failing(1);
    let rig = retrying(&origin, |_| {});
    let mut consumer = rig.connect();
    consumer.send("PUT /r/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    let answer = consumer.receive();
    assert_eq!((answer.status(), answer.text()), ("200", "ok"));
    let (first, second) = (seen.next(), seen.next());
    assert_eq!(first.head, second.head);
    assert_eq!((first.text(), second.text()), ("abc", "abc"));
    assert_eq!(rig.record()["status"], 200);
    let metrics = rig.metrics();
    let counted = "leasehold_retries_total{route=\"r\",outcome=\"sent\"} 1\n";
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn the_last_answer_is_passed_on_whatever_it_is() {
    let (origin, seen) = failing(100);
    let rig = retrying(&origin, |retry| retry.attempts = 3);
    let answer = rig.connect().get("/r/", "");
    assert_eq!((answer.status(), answer.text()), ("503", "no"));
    (0..3).for_each(|_| drop(seen.next()));
    seen.nothing();
    assert!(rig.record()["reason"].is_null());
}

#[test]
fn what_may_not_be_sent_twice_is_not_unless_the_policy_says_so() {
    let (origin, seen) = failing(1);
    let rig = retrying(&origin, |_| {});
    let post = "POST /r/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let mut consumer = rig.connect();
    consumer.send(post);
    assert_eq!(consumer.receive().status(), "503");
    seen.next();
    seen.nothing();
    let (origin, seen) = failing(1);
    let rig = retrying(&origin, |retry| retry.methods.push(Method::POST));
    let mut consumer = rig.connect();
    consumer.send(post);
    assert_eq!(consumer.receive().status(), "200");
    seen.next();
    assert_eq!(seen.next().text(), "abc");
}

#[test]
fn a_body_that_was_not_kept_is_not_sent_again() {
    let (origin, seen) = failing(1);
    let rig = retrying(&origin, |_| {});
    let mut consumer = rig.connect();
    consumer.send("PUT /r/ HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n");
    consumer.send(vec![b'a'; 70_000]);
    assert_eq!(consumer.receive().status(), "503");
    assert_eq!(seen.next().body.len(), 70_000);
    seen.nothing();
}

#[test]
fn an_upstream_that_breaks_off_is_asked_again() {
    let (show, seen) = seen();
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |mut connection| {
        while let Ok(request) = connection.try_receive() {
            show.send(request).expect("the test goes on");
            if count.fetch_add(1, Ordering::SeqCst) == 0 {
                return;
            }
            connection.send(OK);
        }
    });
    let rig = retrying(&origin, |_| {});
    let mut consumer = rig.connect();
    consumer.send("PUT /r/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(consumer.receive().status(), "200");
    assert_eq!((seen.next().text(), seen.next().text()), ("abc", "abc"));
}

#[test]
fn a_try_that_takes_too_long_is_given_up_for_another() {
    let (show, seen) = seen();
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |mut connection| {
        while let Ok(request) = connection.try_receive() {
            show.send(request).expect("the test goes on");
            if count.fetch_add(1, Ordering::SeqCst) > 0 {
                connection.send(OK);
            }
        }
    });
    let rig = retrying(&origin, |retry| {
        retry.per_try = Some(Duration::from_millis(200))
    });
    assert_eq!(rig.connect().get("/r/", "").status(), "200");
    seen.next();
    seen.next();
    assert_eq!(origin.connections(), 2, "the first connection is given up");
}

#[test]
fn where_no_connection_can_be_made_another_try_is() {
    let nowhere = Nowhere::new();
    let rig = start(&nowhere.url(), |_| {});
    assert_eq!(rig.connect().get("/r/", "").status(), "502");
    let errors = "leasehold_upstream_connect_errors_total{upstream=\"origin\"} 2\n";
    assert!(rig.metrics().contains(errors), "{}", rig.metrics());
}

#[test]
fn a_body_that_nothing_was_read_of_goes_with_another_try() {
    let nowhere = Nowhere::new();
    let rig = start(&nowhere.url(), |retry| retry.attempts = 10);
    let mut consumer = rig.connect();
    consumer.send("PUT /r/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    let none = "leasehold_upstream_connect_errors_total{upstream=\"origin\"} 0\n";
    until("a try", || (!rig.metrics().contains(none)).then_some(()));
    let (show, seen) = seen();
    let origin = Origin::on(nowhere.listen(), move |mut connection| {
        while let Ok(request) = connection.try_receive() {
            show.send(request).expect("the test goes on");
            connection.send(OK);
        }
    });
    assert_eq!(consumer.receive().status(), "200");
    assert_eq!(seen.next().text(), "abc");
    assert_eq!(origin.connections(), 1);
    let record = rig.record();
    assert_eq!(
        (&record["request_bytes"], &record["reason"]),
        (&3.into(), &Value::Null)
    );
}

#[test]
fn an_outage_is_not_multiplied() {
    let (origin, _seen) = failing(usize::MAX);
    let rig = retrying(&origin, |retry| retry.attempts = 10);
    let mut consumer = rig.connect();
    let count = 50;
    for _ in 0..count {
        assert_eq!(consumer.get("/r/", "").status(), "503");
    }
    rig.records(count);
    // Ten are in hand, and twenty percent of fifty are earned.
    let sent = "leasehold_retries_total{route=\"r\",outcome=\"sent\"} 20\n";
    assert!(rig.metrics().contains(sent), "{}", rig.metrics());
    assert!(
        rig.metrics().contains("outcome=\"budget\""),
        "{}",
        rig.metrics()
    );
}

#[test]
fn a_further_try_and_a_refused_credential_go_together() {
    let (show, seen) = seen();
    let count = AtomicUsize::new(0);
    let origin = Origin::start(move |mut connection| {
        while let Ok(request) = connection.try_receive() {
            show.send(request).expect("the test goes on");
            connection.send(match count.fetch_add(1, Ordering::SeqCst) {
                0 => UNAVAILABLE,
                1 => UNAUTHORIZED,
                _ => OK,
            });
        }
    });
    let lease = Lease::ready(FakeProvider::leasing(Duration::from_secs(60)));
    let mut setup = lease.setup(&origin);
    setup.routes = vec![named("r", |it| {
        it.matches.path = PathMatch::Prefix("/r/".to_owned());
        it.retry = Some(policy());
    })];
    let rig = setup.start();
    let answer = rig.connect().get("/r/", "");
    assert_eq!((answer.status(), answer.text()), ("200", "ok"));
    let keys: Vec<_> = (0..3)
        .map(|_| seen.next().all("x-api-key").join(","))
        .collect();
    assert_eq!(keys, ["Key canary-1", "Key canary-1", "Key canary-2"]);
    let record = rig.record();
    assert_eq!(
        (&record["generation"], &record["retried_after"]),
        (&2.into(), &1.into())
    );
}

#[test]
fn an_exchange_takes_no_longer_than_its_route_lets_it() {
    let (silent, _seen) = Origin::answering("");
    let (slow, _seen) =
        Origin::answering("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly a part of it");
    for (origin, status, reason) in [
        (silent, Value::from(504), "upstream_timeout"),
        (slow, Value::from(200), "upstream_timeout"),
    ] {
        let mut setup = Setup::to(&[origin.url()]);
        setup.routes = vec![named("r", |it| {
            it.matches.path = PathMatch::Prefix("/r/".to_owned());
            it.timeout = Some(Duration::from_millis(200));
        })];
        let rig = setup.start();
        let mut consumer = rig.connect();
        consumer.send("GET /r/ HTTP/1.1\r\nHost: a\r\n\r\n");
        let head = consumer.head().expect("a head");
        assert!(head.contains(&status.to_string()), "{head}");
        let record = rig.record();
        assert_eq!(
            (&record["status"], &record["reason"]),
            (&status, &reason.into())
        );
    }
}

#[test]
fn a_consumer_who_keeps_the_exchange_waiting_is_to_blame_for_it() {
    let (origin, _seen) = Origin::answering(OK);
    let mut setup = Setup::to(&[origin.url()]);
    setup.routes = vec![named("r", |it| {
        it.matches.path = PathMatch::Prefix("/r/".to_owned());
        it.timeout = Some(Duration::from_millis(200));
    })];
    let rig = setup.start();
    let mut consumer = rig.connect();
    consumer.send("POST /r/ HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na");
    assert_eq!(consumer.receive().status(), "408");
    assert_eq!(rig.record()["reason"], "client_aborted");
}

#[test]
fn a_mirror_gets_copies_with_its_own_credential_and_nobody_waits_for_it() {
    let (origin, seen_by_origin) = Origin::answering(OK);
    // The mirror never answers.
    let (mirror, seen_by_mirror) = Origin::answering("");
    let lease = Lease::ready(FakeProvider::leasing(Duration::from_secs(60)));
    let mut setup = Setup::to(&[origin.url()]);
    setup.others = vec![("mirror".to_owned(), mirror.url(), Some(lease.used.clone()))];
    setup.routes = vec![mirrored(100)];
    let rig = setup.start();
    let mut consumer = rig.connect();
    consumer
        .send("POST /m/x?y HTTP/1.1\r\nHost: a\r\nX-Api-Key: mine\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(consumer.receive().text(), "ok");
    let (original, copy) = (seen_by_origin.next(), seen_by_mirror.next());
    assert_eq!((original.text(), copy.text()), ("abc", "abc"));
    assert!(
        copy.head.starts_with("POST /m/x?y HTTP/1.1"),
        "{}",
        copy.head
    );
    assert_eq!(original.all("x-api-key"), ["mine"]);
    assert_eq!(copy.all("x-api-key"), ["Key canary-1"]);
    assert_eq!(copy.all("host"), [mirror.address.to_string()]);
    assert_eq!(rig.record()["upstream"], "origin");
}

#[test]
fn a_copy_has_nothing_of_the_first_upstreams_credential() {
    let lease = Lease::ready(FakeProvider::leasing(Duration::from_secs(60)));
    let (origin, seen_by_origin) = Origin::answering(OK);
    let (mirror, seen_by_mirror) = Origin::answering(OK);
    let mut setup = lease.setup(&origin);
    setup.others = vec![("mirror".to_owned(), mirror.url(), None)];
    setup.routes = vec![mirrored(100)];
    let rig = setup.start();
    let mut consumer = rig.connect();
    assert_eq!(consumer.get("/m/", "").status(), "200");
    assert_eq!(seen_by_origin.next().all("x-api-key"), ["Key canary-1"]);
    assert!(!seen_by_mirror.next().head.contains("canary"));
    consumer.send("POST /m/ HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n");
    consumer.send(vec![b'a'; 70_000]);
    assert_eq!(consumer.receive().status(), "200");
    for counted in ["sent\"} 1\n", "dropped\"} 1\n"] {
        let counted =
            format!("leasehold_mirrored_requests_total{{upstream=\"mirror\",outcome=\"{counted}");
        until("the count", || {
            rig.metrics().contains(&counted).then_some(())
        });
    }
    assert_eq!(rig.records(2).len(), 2, "copies have no record");
    seen_by_mirror.nothing();
}

#[test]
fn a_share_of_the_requests_is_mirrored_and_a_dead_mirror_harms_nobody() {
    let (origin, _seen) = Origin::answering(OK);
    let nowhere = Nowhere::new();
    let mut setup = Setup::to(&[origin.url()]);
    setup.others = vec![("mirror".to_owned(), nowhere.url(), None)];
    setup.routes = vec![mirrored(25)];
    let rig = setup.start();
    let mut consumer = rig.connect();
    for _ in 0..200 {
        assert_eq!(consumer.get("/m/", "").status(), "200");
    }
    let failed = "leasehold_mirrored_requests_total{upstream=\"mirror\",outcome=\"failed\"} ";
    let count = || -> Option<usize> {
        let metrics = rig.metrics();
        let line = metrics.lines().find_map(|line| line.strip_prefix(failed));
        line?.parse().ok()
    };
    until("the copies", || {
        count().filter(|count| (20..90).contains(count))
    });
}

fn retrying(origin: &Origin, change: impl FnOnce(&mut Retry)) -> Rig {
    start(&origin.url(), change)
}

fn start(url: &str, change: impl FnOnce(&mut Retry)) -> Rig {
    let mut retry = policy();
    change(&mut retry);
    let mut setup = Setup::to(&[url.to_owned()]);
    setup.routes = vec![named("r", |it| {
        it.matches.path = PathMatch::Prefix("/r/".to_owned());
        it.retry = Some(retry);
    })];
    setup.start()
}

fn policy() -> Retry {
    Retry {
        attempts: 2,
        on_connect: true,
        on_reset: true,
        on_status: vec![StatusCode::SERVICE_UNAVAILABLE],
        per_try: None,
        budget_percent: 20,
        methods: vec![Method::GET, Method::PUT],
    }
}

fn mirrored(percent: u8) -> leasehold_proxy::RouteSpec {
    named("m", |it| {
        it.matches.path = PathMatch::Prefix("/m/".to_owned());
        it.mirror = Some(MirrorSpec {
            upstream: "mirror".into(),
            percent,
        });
    })
}

/// An origin that answers so many requests with 503 and the others with 200.
fn failing(count: usize) -> (Origin, Seen) {
    let (show, seen) = seen();
    let answered = Arc::new(AtomicUsize::new(0));
    let origin = Origin::start(move |mut connection| {
        while let Ok(request) = connection.try_receive() {
            // The test may have seen enough.
            drop(show.send(request));
            let fails = answered.fetch_add(1, Ordering::SeqCst) < count;
            connection.send(if fails { UNAVAILABLE } else { OK });
        }
    });
    (origin, seen)
}

const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno";
