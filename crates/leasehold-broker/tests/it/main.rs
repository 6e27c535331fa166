//! The broker against a provider in this process, in virtual time: Tokio's clock is paused and moves
//! on when everything waits.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod anchors;
mod changes;
mod control;
mod fake;
mod family;
mod lab;
mod ledger;
mod limits;
mod suspects;

use std::sync::Arc;
use std::time::Duration;

use fake::{FakeProvider, VirtualClock};
use leasehold_broker::{Broker, BrokerMetrics, CredentialSpec, End, Handle, Standing};
use leasehold_lease::Kind;
use leasehold_model::{Clock as _, CredentialName, Failure, ProviderName};
use leasehold_provider::{FingerprintKey, Parameters, Source};
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[tokio::test(start_paused = true)]
async fn a_successor_serves_before_its_predecessor_is_revoked() {
    let gateway = Gateway::start(FakeProvider::granting(60, false), Kind::Leased);
    gateway
        .until(|it| it.handle.current(it.now()).is_ok())
        .await;
    let first = gateway.handle.current(gateway.now()).expect("ready");
    assert_eq!(first.prepared(), "value-1");

    gateway.until(|it| it.provider.fetched() == 2).await;
    gateway
        .until(|it| {
            it.handle
                .current(it.now())
                .is_ok_and(|now| now.prepared() == "value-2")
        })
        .await;
    assert!(
        gateway.provider.revoked().is_empty(),
        "a request still uses the first"
    );
    drop(first);
    let drained = gateway.now();
    gateway
        .until(|it| it.provider.revoked() == ["lease-1"])
        .await;
    let waited = gateway.now().since(drained);
    assert!(waited < Duration::from_secs(1), "revoked {waited:?} after");
    assert!(gateway.handle.current(gateway.now()).is_ok());

    assert_eq!(gateway.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn renewal_moves_the_deadline_of_what_is_served() {
    let gateway = Gateway::start(FakeProvider::granting(60, true), Kind::Leased);
    gateway
        .until(|it| it.handle.current(it.now()).is_ok())
        .await;
    let first = gateway.handle.current(gateway.now()).expect("ready");
    let deadline = first.deadline();
    gateway.until(|it| it.provider.renewed() >= 3).await;
    gateway
        .until(|_| first.deadline() > deadline.after(Duration::from_secs(30)))
        .await;
    assert_eq!(gateway.provider.fetched(), 1, "renewed and not replaced");
    drop(first);
    let provider = Arc::clone(&gateway.provider);
    assert_eq!(gateway.stop().await, End::default());
    assert_eq!(provider.revoked(), ["lease-1"]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_injected_is_never_served_and_is_given_back() {
    let provider = FakeProvider::granting(60, true);
    provider.name_the_field("other");
    let gateway = Gateway::start(provider, Kind::Leased);
    gateway
        .until(|it| it.provider.revoked() == ["lease-1"])
        .await;
    assert!(gateway.handle.current(gateway.now()).is_err());
    let failure = Some(Failure::Misconfigured);
    assert_eq!(
        gateway.handle.standing(gateway.now()),
        Standing::Unavailable { failure }
    );

    // Mended at the provider, it comes into service by itself.
    gateway.provider.name_the_field("value");
    gateway
        .until(|it| it.handle.current(it.now()).is_ok())
        .await;
    assert_eq!(gateway.handle.standing(gateway.now()), Standing::Ready);
    assert_eq!(gateway.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_served_past_its_deadline_in_an_outage_and_service_returns_after_it() {
    let gateway = Gateway::start(FakeProvider::granting(60, true), Kind::Leased);
    gateway
        .until(|it| it.handle.current(it.now()).is_ok())
        .await;
    gateway.provider.fail_with(Some(Failure::Transient));
    let deadline = gateway
        .handle
        .current(gateway.now())
        .expect("ready")
        .deadline();
    gateway
        .until(|it| it.handle.current(it.now()).is_err())
        .await;
    assert!(gateway.now() >= deadline, "served to its true deadline");

    gateway.provider.fail_with(None);
    gateway
        .until(|it| it.handle.current(it.now()).is_ok())
        .await;
    assert_eq!(gateway.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn a_new_version_replaces_the_old_and_the_same_version_does_not() {
    let kind = Kind::Versioned {
        poll: Duration::from_secs(1),
        max_stale: Duration::from_secs(60),
    };
    let gateway = Gateway::start(FakeProvider::granting(0, false), kind);
    gateway
        .until(|it| it.handle.current(it.now()).is_ok())
        .await;
    let first = gateway
        .handle
        .current(gateway.now())
        .expect("ready")
        .number();
    gateway.until(|it| it.provider.fetched() > 5).await;
    let same = gateway
        .handle
        .current(gateway.now())
        .expect("ready")
        .number();
    assert_eq!(first, same, "polls that find nothing new change nothing");

    gateway.provider.put_version(2);
    gateway
        .until(|it| {
            it.handle
                .current(it.now())
                .is_ok_and(|now| now.number() > first)
        })
        .await;
    assert_eq!(gateway.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_given_back_is_named_at_the_end() {
    let gateway = Gateway::start(FakeProvider::granting(3600, true), Kind::Leased);
    gateway
        .until(|it| it.handle.current(it.now()).is_ok())
        .await;
    gateway.provider.fail_with(Some(Failure::Transient));
    let left = gateway.stop().await;
    assert_eq!(
        left.leases
            .iter()
            .map(|it| it.lease_id.as_str())
            .collect::<Vec<_>>(),
        ["lease-1"]
    );
}

struct Gateway {
    provider: Arc<FakeProvider>,
    handle: Handle<String>,
    clock: Arc<VirtualClock>,
    shutdown: CancellationToken,
    broker: JoinHandle<End>,
}

impl Gateway {
    fn start(provider: FakeProvider, kind: Kind) -> Self {
        let clock = Arc::new(VirtualClock::start());
        let key = FingerprintKey::generate().expect("random bytes");
        let metrics = BrokerMetrics::register(&mut Registry::default());
        let mut broker = Broker::new(Arc::clone(&clock) as _, key, metrics);
        let provider = Arc::new(provider);
        let name = ProviderName::from("fake");
        broker.provider(name.clone(), Arc::clone(&provider) as _, false);
        let handle = broker
            .credential(CredentialSpec {
                name: CredentialName::from("tested"),
                provider: name,
                source: Source::Leased {
                    path: "creds/tested".to_owned(),
                    parameters: Parameters::new(),
                },
                kind,
                prepare: Box::new(lab::prepare),
            })
            .expect("the provider is declared");
        let shutdown = CancellationToken::new();
        let run = broker.run(shutdown.clone(), Duration::from_secs(10));
        let broker = TaskTracker::new().spawn(run);
        Self {
            provider,
            handle,
            clock,
            shutdown,
            broker,
        }
    }

    fn now(&self) -> leasehold_model::BootTime {
        self.clock.boot()
    }

    async fn until(&self, condition: impl Fn(&Self) -> bool) {
        for _ in 0..100_000 {
            if condition(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the condition never held: {:?}", self.provider);
    }

    async fn stop(self) -> End {
        self.shutdown.cancel();
        let left = self.broker.await.expect("the broker does not panic");
        if left.is_clean() {
            assert!(
                !self.provider.has_session(),
                "the session is given back last"
            );
        }
        left
    }
}
