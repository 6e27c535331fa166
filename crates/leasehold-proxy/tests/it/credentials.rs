//! What the upstream is shown, from a broker with a provider in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http::HeaderName;
use leasehold_broker::{Broker, BrokerMetrics, CredentialSpec, Standing};
use leasehold_inject::{Injection, InjectionIndex, Prepared, prepare};
use leasehold_lease::Kind;
use leasehold_model::{
    Clock, Failure, GenerationNumber, Holder, LeaseId, SessionEpoch, SystemClock,
};
use leasehold_provider::{
    BoxFuture, Fetched, FingerprintKey, Holding, LeaseGrant, Material, Provider, ProviderError,
    SessionGrant, Source,
};
use leasehold_proxy::CredentialUse;
use leasehold_secret::Secret;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio_util::sync::CancellationToken;

use crate::origin::{OK, Origin};
use crate::rig::{LIMIT, Rig, Setup, until};

#[test]
fn the_upstream_is_shown_the_credential_once_whatever_the_consumer_sent() {
    let (origin, seen) = Origin::answering(OK);
    let (_lease, rig) = leased(&origin, Duration::from_secs(60));
    let more = "X-Api-Key: forged\r\nX_Api_Key: forged\r\nx-api-key: forged\r\n\
                Connection: X-Api-Key, close\r\n";
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
    let refusing = FakeProvider {
        refuses: AtomicBool::new(true),
        ..FakeProvider::default()
    };
    let lease = Lease::start(refusing, Duration::from_secs(60));
    let rig = lease.rig(&origin);
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
    let current = || lease.used.handle.current(SystemClock.boot());
    let first = Arc::downgrade(&current().expect("a generation"));
    let mut consumer = rig.connect();
    consumer
        .send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .head()
        .expect("a head");
    assert_eq!(consumer.chunk().expect("a part"), Some(b"a".to_vec()));
    until("the second generation", || {
        current()
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
    let lease = Lease::start(FakeProvider::default(), ttl);
    until("a generation", || {
        lease.used.handle.current(SystemClock.boot()).ok()
    });
    let rig = lease.rig(origin);
    (lease, rig)
}

/// A broker that keeps one credential alive.
struct Lease {
    provider: Arc<FakeProvider>,
    used: CredentialUse,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Lease {
    fn start(provider: FakeProvider, ttl: Duration) -> Self {
        let provider = Arc::new(FakeProvider { ttl, ..provider });
        let key = FingerprintKey::generate().expect("random bytes");
        let metrics = BrokerMetrics::register(&mut Registry::default());
        let mut broker: Broker<Prepared> = Broker::new(Arc::new(SystemClock), key, metrics);
        broker.provider(
            "fake".into(),
            Arc::clone(&provider) as Arc<dyn Provider>,
            false,
        );
        let injection = Injection::Header {
            name: HeaderName::from_static("x-api-key"),
            prefix: "Key ".to_owned(),
            field: "value".to_owned(),
        };
        let handle = broker.credential(CredentialSpec {
            name: "api-key".into(),
            provider: "fake".into(),
            source: Source::Leased {
                path: "creds/api".to_owned(),
                parameters: leasehold_provider::Parameters::new(),
            },
            kind: Kind::Leased,
            prepare: Box::new(move |material| {
                prepare(std::slice::from_ref(&injection), material).map_err(Into::into)
            }),
        });
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build();
            let leftovers = runtime
                .expect("a runtime")
                .block_on(broker.run(stopped, LIMIT));
            assert!(leftovers.leases.is_empty(), "{leftovers:?}");
        });
        Self {
            provider,
            used: CredentialUse {
                handle: handle.expect("the provider is declared"),
                injection: InjectionIndex(0),
            },
            stop,
            thread: Some(thread),
        }
    }

    fn rig(&self, origin: &Origin) -> Rig {
        let mut setup = Setup::to(&[origin.url()]);
        setup.credential = Some(self.used.clone());
        setup.start()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take()
            && !thread::panicking()
        {
            thread.join().expect("the broker gives everything back");
        }
    }
}

/// A provider that grants leases and does not renew them.
#[derive(Debug, Default)]
struct FakeProvider {
    ttl: Duration,
    refuses: AtomicBool,
    issued: Mutex<u32>,
}

impl FakeProvider {
    fn answer<T: Send + 'static>(&self, answer: T) -> BoxFuture<'_, Result<T, ProviderError>> {
        let refuses = self.refuses.load(Ordering::SeqCst);
        Box::pin(async move {
            if refuses {
                return Err(ProviderError::new(
                    "call",
                    Failure::Transient,
                    "told to refuse",
                ));
            }
            Ok(answer)
        })
    }
}

impl Provider for FakeProvider {
    fn login(&self, _: SessionEpoch) -> BoxFuture<'_, Result<SessionGrant, ProviderError>> {
        self.answer(SessionGrant {
            ttl: None,
            renewable: false,
            capped: false,
            accessor: None,
        })
    }

    fn renew_session(
        &self,
        epoch: SessionEpoch,
    ) -> BoxFuture<'_, Result<SessionGrant, ProviderError>> {
        self.login(epoch)
    }

    fn revoke_session(&self, _: SessionEpoch) -> BoxFuture<'_, Result<(), ProviderError>> {
        self.answer(())
    }

    fn fetch<'a>(
        &'a self,
        _: Holder,
        _: &'a Source,
    ) -> BoxFuture<'a, Result<Fetched, ProviderError>> {
        let mut issued = self.issued.lock();
        *issued += 1;
        let mut material = Material::default();
        material.insert("value", Secret::new(format!("canary-{issued}")));
        self.answer(Fetched {
            material,
            holding: Holding::Leased {
                lease_id: LeaseId::from(&*format!("lease-{issued}")),
                ttl: self.ttl,
                renewable: false,
            },
            request_id: Some((&*format!("request-{issued}")).into()),
            warnings: Vec::new(),
        })
    }

    fn renew_lease<'a>(
        &'a self,
        _: SessionEpoch,
        _: &'a LeaseId,
    ) -> BoxFuture<'a, Result<LeaseGrant, ProviderError>> {
        self.answer(LeaseGrant {
            ttl: self.ttl,
            capped: false,
        })
    }

    fn revoke_lease<'a>(
        &'a self,
        _: SessionEpoch,
        _: &'a LeaseId,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        self.answer(())
    }
}
