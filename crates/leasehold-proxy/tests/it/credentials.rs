//! What the upstream is shown, from a broker with a provider in this process.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::time::Duration;

use leasehold_broker::Standing;
use leasehold_model::{Clock as _, Failure, GenerationNumber, SystemClock};
use parking_lot::Mutex;

use crate::lease::{FakeProvider, Lease};
use crate::origin::{OK, Origin};
use crate::rig::{LIMIT, Rig, until};

#[test]
fn the_upstream_is_shown_the_credential_once_whatever_the_consumer_sent() {
    let (origin, seen) = Origin::answering(OK);
    let (_lease, rig) = leased(&origin, Duration::from_secs(60));
    let more = "X-Api-Key: forged\r\nx-api-key: forged\r\nX-API-KEY: forged\r\n";
    assert_eq!(rig.connect().get("/x", more).text(), "ok");
    let request = seen.next();
    assert_eq!(request.all("x-api-key"), ["Key canary-1"]);
    assert!(!request.head.contains("forged"), "{}", request.head);
    let record = rig.record();
    assert_eq!(record["credential"], "api-key");
    assert_eq!(record["generation"], 1);
    assert_eq!(record["provider"], "fake");
    assert_eq!(record["provider_request_id"], "request-1");
    assert_eq!(record["lease_id"], "lease-1");
    assert!(!record.to_string().contains("canary"), "{record}");
}

#[test]
fn what_may_be_taken_for_the_credential_or_would_take_it_away_is_refused() {
    let (origin, seen) = Origin::answering(OK);
    let (_lease, rig) = leased(&origin, Duration::from_secs(60));
    let forgeries = [
        "X_Api_Key: forged\r\n",
        "x.api.key: forged\r\n",
        "X-Api-Key: forged\r\nConnection: X-Api-Key, close\r\n",
    ];
    for more in forgeries {
        assert_eq!(rig.connect().get("/x", more).status(), "400", "{more}");
    }
    seen.nothing();
    assert_eq!(rig.finish().len(), forgeries.len());
}

#[test]
fn a_trailer_does_not_take_the_credentials_place() {
    let (origin, seen) = Origin::answering(OK);
    let (_lease, rig) = leased(&origin, Duration::from_secs(60));
    let mut consumer = rig.connect();
    consumer.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\
         Trailer: X-Api-Key, x_api_key, X-Sum\r\n\r\n\
         0\r\nX-Api-Key: forged\r\nx_api_key: forged\r\nX-Sum: 1\r\n\r\n",
    );
    assert_eq!(consumer.receive().text(), "ok");
    let request = seen.next();
    assert_eq!(request.all("x-api-key"), ["Key canary-1"]);
    assert_eq!(
        (request.all("trailer"), &*request.trailers),
        (vec!["x-sum"], "x-sum: 1")
    );
}

#[test]
fn without_a_generation_nothing_reaches_the_upstream() {
    let (origin, seen) = Origin::answering(OK);
    let provider = FakeProvider::leasing(Duration::from_secs(60));
    provider.refuses.store(true, Ordering::SeqCst);
    let lease = Lease::start(provider);
    let rig = lease.setup(&origin).start();
    let standing = |standing| {
        let now = SystemClock.boot();
        let ready = rig.gateway.readiness(now);
        let all = ready.iter().all(|route| route.standing == standing);
        (all && ready.len() == 2).then_some(())
    };
    until("the failure", || {
        standing(Standing::Unavailable {
            failure: Some(Failure::Transient),
        })
    });
    let answer = rig.connect().get("/x", "X-Api-Key: forged\r\n");
    assert_eq!(
        (answer.status(), answer.all("retry-after")),
        ("503", vec!["1"])
    );
    assert!(
        answer.text().contains("credential_unavailable"),
        "{}",
        answer.text()
    );
    let record = rig.record();
    assert_eq!(record["reason"], "credential_unavailable");
    assert_eq!(record["credential"], "api-key");
    assert!(
        record["generation"].is_null() && record["endpoint"].is_null(),
        "{record}"
    );
    seen.nothing();
    assert_eq!(origin.connections(), 0);

    lease.provider.refuses.store(false, Ordering::SeqCst);
    until("a generation", || standing(Standing::Ready));
    assert_eq!(rig.connect().get("/x", "").status(), "200");
}

#[test]
fn a_generation_is_held_until_the_answer_has_ended() {
    let (go_on, told) = channel();
    let told = Mutex::new(told);
    let origin = Origin::start(move |mut connection| {
        connection.receive();
        connection.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n");
        told.lock().recv_timeout(LIMIT).expect("the test goes on");
        connection.send("0\r\n\r\n");
    });
    let (lease, rig) = leased(&origin, Duration::from_secs(2));
    let first = Arc::downgrade(&lease.current().expect("a generation"));
    let mut consumer = rig.connect();
    consumer
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .head()
        .expect("a head");
    assert_eq!(consumer.chunk().expect("a part"), Some(b"a".to_vec()));
    until("the second generation", || {
        lease
            .current()
            .ok()
            .filter(|it| it.number() > GenerationNumber::FIRST)
    });
    assert_eq!(first.strong_count(), 1, "the answer is under way");
    go_on.send(()).expect("the origin waits");
    assert_eq!(consumer.chunk().expect("the end"), None);
    until("the first to drain", || {
        (first.strong_count() == 0).then_some(())
    });
    assert_eq!(rig.record()["generation"], 1);
}

/// Starts a gateway whose upstream is shown a credential held on leases of `ttl`.
fn leased(origin: &Origin, ttl: Duration) -> (Lease, Rig) {
    let lease = Lease::ready(FakeProvider::leasing(ttl));
    let rig = lease.setup(origin).start();
    (lease, rig)
}
