//! A broker with one provider in this process, and what a test needs to look at it.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use leasehold_broker::{
    Broker, BrokerMetrics, Control, CredentialSpec, End, Family, FamilyLimits, Handle,
};
use leasehold_lease::Kind;
use leasehold_model::{BootTime, Clock as _, ConsumerName, CredentialName, ProviderName};
use leasehold_provider::{FingerprintKey, Material, Parameters, Source};
use prometheus_client::registry::Registry;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fake::{FakeProvider, VirtualClock};

/// What is declared before the broker runs.
pub(crate) struct Lab {
    pub(crate) provider: Arc<FakeProvider>,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) broker: Broker<String>,
    registry: Registry,
}

/// A running broker.
pub(crate) struct Running {
    pub(crate) provider: Arc<FakeProvider>,
    pub(crate) control: Control,
    clock: Arc<VirtualClock>,
    registry: Registry,
    shutdown: CancellationToken,
    broker: JoinHandle<End>,
}

impl Lab {
    pub(crate) fn new(provider: FakeProvider) -> Self {
        Self::of(Arc::new(provider), Arc::new(VirtualClock::start()), false)
    }

    pub(crate) fn anchored(provider: FakeProvider) -> Self {
        Self::of(Arc::new(provider), Arc::new(VirtualClock::start()), true)
    }

    pub(crate) fn of(
        provider: Arc<FakeProvider>,
        clock: Arc<VirtualClock>,
        anchored: bool,
    ) -> Self {
        let mut registry = Registry::default();
        let mut broker = broker(&clock, &mut registry);
        broker.provider(PROVIDER.into(), Arc::clone(&provider) as _, anchored);
        Self {
            provider,
            clock,
            broker,
            registry,
        }
    }

    /// Makes a broker that knows no provider.
    pub(crate) fn without_provider(clock: &Arc<VirtualClock>) -> Broker<String> {
        broker(clock, &mut Registry::default())
    }

    pub(crate) fn leased(&mut self, name: &str) -> Handle<String> {
        self.declare(name, leased(), Kind::Leased)
    }

    pub(crate) fn declare(&mut self, name: &str, source: Source, kind: Kind) -> Handle<String> {
        let spec = spec(name, source, kind);
        self.broker
            .credential(spec)
            .expect("the provider is declared")
    }

    pub(crate) fn family(&mut self, name: &str, cap: usize, idle: Duration) -> Family<String> {
        let spec = spec(name, leased(), Kind::Leased);
        self.broker
            .family(spec, FamilyLimits { cap, idle })
            .expect("the provider is declared")
    }

    pub(crate) fn run(self) -> Running {
        let shutdown = CancellationToken::new();
        let control = self.broker.control();
        let run = self.broker.run(shutdown.clone(), Duration::from_secs(10));
        Running {
            provider: self.provider,
            control,
            clock: self.clock,
            registry: self.registry,
            shutdown,
            broker: TaskTracker::new().spawn(run),
        }
    }
}

impl Running {
    pub(crate) fn now(&self) -> BootTime {
        self.clock.boot()
    }

    pub(crate) async fn until(&self, condition: impl Fn(&Self) -> bool) {
        for _ in 0..100_000 {
            if condition(self) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the condition never held: {:?}", self.provider);
    }

    /// Waits until the credential has a generation, and returns that.
    pub(crate) async fn ready(
        &self,
        handle: &Handle<String>,
    ) -> Arc<leasehold_broker::Generation<String>> {
        let ready = handle.acquired(Duration::from_secs(60)).await;
        ready.expect("a generation")
    }

    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).expect("text");
        text
    }

    pub(crate) async fn stop(self) -> End {
        self.shutdown.cancel();
        self.broker.await.expect("the broker does not panic")
    }
}

fn broker(clock: &Arc<VirtualClock>, registry: &mut Registry) -> Broker<String> {
    let key = FingerprintKey::generate().expect("random bytes");
    let metrics = BrokerMetrics::register(registry);
    Broker::new(Arc::clone(clock) as _, key, metrics)
}

pub(crate) fn consumer(name: &str) -> ConsumerName {
    ConsumerName::from(name)
}

pub(crate) fn leased() -> Source {
    Source::Leased {
        path: "creds/tested".to_owned(),
        parameters: Parameters::new(),
    }
}

pub(crate) fn spec(name: &str, source: Source, kind: Kind) -> CredentialSpec<String> {
    CredentialSpec {
        name: CredentialName::from(name),
        provider: ProviderName::from(PROVIDER),
        source,
        kind,
        prepare: Box::new(prepare),
    }
}

pub(crate) fn prepare(material: &Material) -> Result<String, Box<dyn Error + Send + Sync>> {
    use leasehold_secret::Expose as _;
    let value = material.field("value").ok_or("field value is missing")?;
    // EXPOSE: a test compares the values that it made up itself.
    Ok(value.expose().as_str()?.to_owned())
}

pub(crate) const PROVIDER: &str = "fake";
