//! What slow, hostile and failing providers may not do, and what the end of the budget leaves.

use std::sync::Arc;
use std::time::Duration;

use leasehold_broker::{Broker, BrokerMetrics, CredentialSpec, End, Handle};
use leasehold_lease::Kind;
use leasehold_model::{Clock as _, CredentialName, Failure, ProviderName};
use leasehold_provider::{FingerprintKey, Parameters, Source};
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fake::{FakeProvider, VirtualClock};

#[tokio::test(start_paused = true)]
async fn a_slow_provider_does_not_hold_up_another() {
    let mut lab = Lab::new();
    let slow = lab.provider("slow", Duration::from_millis(20));
    lab.provider("fast", Duration::from_secs(1));
    for _ in 0..12 {
        lab.credential("slow");
    }
    let fast = lab.credential("fast");
    let lab = lab.run();
    lab.until(|_| slow.has_session()).await;
    slow.take(Duration::from_secs(15));
    lab.until(|_| slow.fetched() == 4).await;
    assert!(
        fast.current(lab.clock.boot()).is_err(),
        "the slow one was first"
    );
    lab.until(|clock| fast.current(clock.boot()).is_ok()).await;
    assert_eq!(slow.fetched(), 4, "and has not answered yet");
    lab.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_issued_once_the_end_has_begun() {
    let mut lab = Lab::new();
    let provider = lab.provider("provider", Duration::from_millis(20));
    let first = lab.credential("provider");
    for _ in 0..19 {
        lab.credential("provider");
    }
    provider.take(Duration::from_secs(2));
    let lab = lab.run();
    lab.until(|_| provider.fetched() == 4).await;
    assert_eq!(lab.stop().await, End::default());
    assert_eq!(
        provider.fetched(),
        4,
        "those that waited for a place were not sent"
    );
    assert_eq!(
        provider.revoked().len(),
        4,
        "and those that were sent were given back"
    );
    drop(first);
}

#[tokio::test(start_paused = true)]
async fn an_issue_without_an_answer_is_counted_at_the_end() {
    let mut lab = Lab::new();
    let provider = lab.provider("provider", Duration::from_millis(20));
    lab.credential("provider");
    let lab = lab.run();
    lab.until(|_| provider.has_session()).await;
    provider.take(Duration::from_secs(60));
    lab.until(|_| provider.fetched() == 1).await;
    let end = lab.stop().await;
    assert!(end.unanswered > 0 && !end.is_clean(), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_end_costs_no_lease_its_revocation() {
    let mut lab = Lab::new();
    let provider = lab.provider("provider", Duration::from_millis(20));
    let handle = lab.credential("provider");
    let lab = lab.run();
    lab.until(|clock| handle.current(clock.boot()).is_ok())
        .await;
    let held = handle.current(lab.clock.boot()).expect("ready");
    assert_eq!(lab.stop().await, End::default());
    assert_eq!(provider.revoked(), ["lease-1"]);
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_hostile_retry_after_is_not_obeyed_to_the_end_of_time() {
    let mut lab = Lab::new();
    let provider = lab.provider("provider", Duration::from_millis(20));
    let handle = lab.credential("provider");
    provider.fail_with(Some(Failure::SlowDown {
        retry_after: Some(Duration::MAX),
    }));
    let lab = lab.run();
    tokio::time::sleep(Duration::from_secs(60)).await;
    provider.fail_with(None);
    lab.until(|clock| handle.current(clock.boot()).is_ok())
        .await;
    assert_eq!(lab.stop().await, End::default());
}

#[tokio::test(start_paused = true)]
async fn a_session_that_could_not_be_ended_is_tried_again() {
    let mut lab = Lab::new();
    let provider = lab.provider("provider", Duration::from_millis(20));
    let lab = lab.run();
    lab.until(|_| provider.has_session()).await;
    provider.fail_with(Some(Failure::Transient));
    let end = lab.stop().await;
    assert!(provider.session_ends_asked() > 1, "{end:?}");
    assert!(!end.is_clean(), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_never_ends_is_given_up() {
    let mut lab = Lab::new();
    let provider = lab.provider("provider", Duration::from_secs(1_000_000));
    let handle = lab.credential("provider");
    let lab = lab.run();
    tokio::time::sleep(Duration::from_secs(10)).await;
    provider.take(Duration::from_millis(20));
    lab.until(|clock| handle.current(clock.boot()).is_ok())
        .await;
    assert_eq!(lab.stop().await, End::default());
}

struct Lab {
    clock: Arc<VirtualClock>,
    broker: Broker<()>,
    credentials: usize,
}

struct Running {
    clock: Arc<VirtualClock>,
    shutdown: CancellationToken,
    broker: JoinHandle<End>,
}

impl Lab {
    fn new() -> Self {
        let clock = Arc::new(VirtualClock::start());
        let key = FingerprintKey::generate().expect("random bytes");
        let metrics = BrokerMetrics::register(&mut Registry::default());
        let broker = Broker::new(Arc::clone(&clock) as _, key, metrics);
        Self {
            clock,
            broker,
            credentials: 0,
        }
    }

    fn provider(&mut self, name: &str, takes: Duration) -> Arc<FakeProvider> {
        let provider = FakeProvider::granting(3600, true);
        provider.take(takes);
        let provider = Arc::new(provider);
        self.broker
            .provider(ProviderName::from(name), Arc::clone(&provider) as _, false);
        provider
    }

    fn credential(&mut self, provider: &str) -> Handle<()> {
        self.credentials += 1;
        let spec = CredentialSpec {
            name: CredentialName::from(format!("credential-{}", self.credentials).as_str()),
            provider: ProviderName::from(provider),
            source: Source::Leased {
                path: "creds/tested".to_owned(),
                parameters: Parameters::new(),
            },
            kind: Kind::Leased,
            prepare: Box::new(|_| Ok(())),
        };
        self.broker
            .credential(spec)
            .expect("the provider is declared")
    }

    fn run(self) -> Running {
        let shutdown = CancellationToken::new();
        let run = self.broker.run(shutdown.clone(), Duration::from_secs(10));
        Running {
            clock: self.clock,
            shutdown,
            broker: TaskTracker::new().spawn(run),
        }
    }
}

impl Running {
    async fn until(&self, condition: impl Fn(&VirtualClock) -> bool) {
        for _ in 0..100_000 {
            if condition(&self.clock) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the condition never held");
    }

    async fn stop(self) -> End {
        self.shutdown.cancel();
        self.broker.await.expect("the broker does not panic")
    }
}
