//! A broker with a provider in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use http::{HeaderName, StatusCode};
use leasehold_broker::{
    Broker, BrokerMetrics, CredentialSpec, FamilyLimits, Generation, Unavailable,
};
use leasehold_inject::{Injection, InjectionIndex, Prepared, Watchlist, prepare};
use leasehold_lease::Kind;
use leasehold_model::{Clock, Failure, Holder, LeaseId, SessionEpoch, SystemClock};
use leasehold_provider::{
    BoxFuture, Fetched, FingerprintKey, Holding, LeaseGrant, Material, Parameters, Provider,
    ProviderError, SessionGrant, Source,
};
use leasehold_proxy::{CredentialUse, Held, Selector, Suspect, Watch};
use leasehold_secret::Secret;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::origin::Origin;
use crate::rig::{LIMIT, Setup, until};

/// A broker that keeps one credential alive.
pub(crate) struct Lease {
    pub(crate) provider: Arc<FakeProvider>,
    pub(crate) used: CredentialUse,
    watchlist: Watchlist,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Lease {
    pub(crate) fn start(provider: FakeProvider) -> Self {
        Self::shown(provider, in_header())
    }

    /// Starts a broker whose credential is placed like that.
    pub(crate) fn shown(provider: FakeProvider, injection: Injection) -> Self {
        Self::new(provider, vec![injection], |broker, spec| {
            Held::Shared(broker.credential(spec).expect("the provider is declared"))
        })
    }

    /// Starts one of those and waits for the first generation.
    pub(crate) fn ready_in(provider: FakeProvider, injection: Injection) -> Self {
        let lease = Self::shown(provider, injection);
        until("a generation", || lease.current().ok());
        lease
    }

    /// Starts a broker whose credential is looked for in answers; waits for the first generation.
    pub(crate) fn watched(provider: FakeProvider) -> Self {
        let injections = vec![in_header(), Injection::Reflection(vec![in_header()])];
        let mut lease = Self::new(provider, injections, |broker, spec| {
            Held::Shared(broker.credential(spec).expect("the provider is declared"))
        });
        lease.used.watch = Some(Watch {
            injection: InjectionIndex(1),
            list: Some(lease.watchlist.clone()),
        });
        until("a generation", || lease.current().ok());
        lease
    }

    /// Starts a broker and waits for the first generation.
    pub(crate) fn ready(provider: FakeProvider) -> Self {
        let lease = Self::start(provider);
        until("a generation", || lease.current().ok());
        lease
    }

    /// Starts a broker whose credential each consumer has one of.
    pub(crate) fn per_consumer(provider: FakeProvider, limits: FamilyLimits) -> Self {
        Self::new(provider, vec![in_header()], |broker, spec| {
            let family = broker.family(spec, limits);
            Held::PerConsumer(family.expect("the provider is declared"))
        })
    }

    /// Returns the active generation of a credential that all consumers share.
    pub(crate) fn current(&self) -> Result<Arc<Generation<Prepared>>, Unavailable> {
        let Held::Shared(handle) = &self.used.held else {
            panic!("each consumer has one of its own");
        };
        handle.current(SystemClock.boot())
    }

    /// Sets up a gateway whose upstream, at `origin`, is shown the credential.
    pub(crate) fn setup(&self, origin: &Origin) -> Setup {
        let mut setup = Setup::to(&[origin.url()]);
        setup.credential = Some(self.used.clone());
        setup
    }

    fn new(
        provider: FakeProvider,
        injections: Vec<Injection>,
        declare: impl FnOnce(&mut Broker<Prepared>, CredentialSpec<Prepared>) -> Held,
    ) -> Self {
        let provider = Arc::new(provider);
        let key = FingerprintKey::generate().expect("random bytes");
        let metrics = BrokerMetrics::register(&mut Registry::default());
        let mut broker: Broker<Prepared> = Broker::new(Arc::new(SystemClock), key, metrics);
        let to = Arc::clone(&provider) as Arc<dyn Provider>;
        broker.provider("fake".into(), to, false);
        let watchlist = Watchlist::default();
        let spec = spec(provider.stored, injections, watchlist.clone());
        let held = declare(&mut broker, spec);
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
                held,
                injection: InjectionIndex(0),
                selector: Selector::default(),
                suspect: Suspect {
                    statuses: vec![StatusCode::UNAUTHORIZED],
                    retry: true,
                },
                watch: None,
            },
            watchlist,
            stop,
            thread: Some(thread),
        }
    }
}

fn in_header() -> Injection {
    Injection::Header {
        name: HeaderName::from_static("x-api-key"),
        prefix: "Key ".to_owned(),
        field: "value".to_owned(),
    }
}

fn spec(
    stored: bool,
    injections: Vec<Injection>,
    watchlist: Watchlist,
) -> CredentialSpec<Prepared> {
    let leased = Source::Leased {
        path: "creds/api".to_owned(),
        parameters: Parameters::new(),
    };
    let versioned = Source::Versioned {
        mount: "kv".to_owned(),
        path: "api".to_owned(),
    };
    let polled = Kind::Versioned {
        poll: Duration::from_secs(3600),
        max_stale: Duration::from_secs(7200),
    };
    CredentialSpec {
        name: "api-key".into(),
        provider: "fake".into(),
        source: if stored { versioned } else { leased },
        kind: if stored { polled } else { Kind::Leased },
        prepare: Box::new(move |material| {
            let prepared = prepare(&injections, material)?;
            prepared.scanners().for_each(|it| watchlist.add(it));
            Ok(prepared)
        }),
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.provider.open();
        self.stop.cancel();
        if let Some(thread) = self.thread.take()
            && !thread::panicking()
        {
            thread.join().expect("the broker gives everything back");
        }
    }
}

fn ready<T: Send + 'static>(answer: T) -> BoxFuture<'static, Result<T, ProviderError>> {
    Box::pin(async { Ok(answer) })
}

/// Makes the fields of the credential of a number.
struct Mint(Box<dyn Fn(u64) -> Vec<(&'static str, String)> + Send + Sync>);

impl std::fmt::Debug for Mint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mint").finish_non_exhaustive()
    }
}

/// A provider that grants leases and does not renew them, or has a stored value.
#[derive(Debug)]
pub(crate) struct FakeProvider {
    ttl: Duration,
    stored: bool,
    /// The version of the stored value.
    pub(crate) version: AtomicU64,
    /// Whether it has no credential to give.
    pub(crate) refuses: AtomicBool,
    fetched: AtomicU64,
    revoked: Mutex<Vec<String>>,
    mint: Mint,
    gate: watch::Sender<bool>,
}

impl FakeProvider {
    pub(crate) fn leasing(ttl: Duration) -> Self {
        Self {
            ttl,
            stored: false,
            version: AtomicU64::new(1),
            refuses: AtomicBool::new(false),
            fetched: AtomicU64::new(0),
            revoked: Mutex::default(),
            mint: Mint(Box::new(|number| {
                vec![("value", format!("canary-{number}"))]
            })),
            gate: watch::Sender::new(true),
        }
    }

    /// Makes it give the fields that `mint` makes for the credential of a number.
    pub(crate) fn minting(
        mut self,
        mint: impl Fn(u64) -> Vec<(&'static str, String)> + Send + Sync + 'static,
    ) -> Self {
        self.mint = Mint(Box::new(mint));
        self
    }

    pub(crate) fn storing() -> Self {
        Self {
            stored: true,
            ..Self::leasing(Duration::ZERO)
        }
    }

    /// Returns how often it was asked for the credential.
    pub(crate) fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::SeqCst)
    }

    /// Returns the leases that were given back.
    pub(crate) fn revoked(&self) -> Vec<String> {
        self.revoked.lock().clone()
    }

    /// Lets no fetch have its answer until [`FakeProvider::open`].
    pub(crate) fn close(&self) {
        self.gate.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.gate.send_replace(true);
    }

    /// Makes the credential of that number: a lease, or the version of the stored value.
    fn make(&self, number: u64) -> Fetched {
        let mut material = Material::default();
        for (name, value) in (self.mint.0)(number) {
            material.insert(name, Secret::new(value));
        }
        let leased = Holding::Leased {
            lease_id: LeaseId::from(&*format!("lease-{number}")),
            ttl: self.ttl,
            renewable: false,
        };
        let versioned = Holding::Versioned { version: number };
        Fetched {
            material,
            holding: if self.stored { versioned } else { leased },
            request_id: Some((&*format!("request-{number}")).into()),
            warnings: Vec::new(),
        }
    }
}

impl Provider for FakeProvider {
    fn login(&self, _: SessionEpoch) -> BoxFuture<'_, Result<SessionGrant, ProviderError>> {
        ready(SessionGrant {
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
        ready(())
    }

    fn fetch<'a>(
        &'a self,
        _: Holder,
        _: &'a Source,
    ) -> BoxFuture<'a, Result<Fetched, ProviderError>> {
        let fetched = self.fetched.fetch_add(1, Ordering::SeqCst) + 1;
        let version = self.version.load(Ordering::SeqCst);
        let made = self.make(if self.stored { version } else { fetched });
        let mut gate = self.gate.subscribe();
        Box::pin(async move {
            gate.wait_for(|open| *open).await.expect("it lives");
            if self.refuses.load(Ordering::SeqCst) {
                let (failure, told) = (Failure::Transient, "told to refuse");
                return Err(ProviderError::new("fetch", failure, told));
            }
            Ok(made)
        })
    }

    fn renew_lease<'a>(
        &'a self,
        _: SessionEpoch,
        _: &'a LeaseId,
    ) -> BoxFuture<'a, Result<LeaseGrant, ProviderError>> {
        ready(LeaseGrant {
            ttl: self.ttl,
            capped: false,
        })
    }

    fn revoke_lease<'a>(
        &'a self,
        _: SessionEpoch,
        lease_id: &'a LeaseId,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        self.revoked.lock().push(lease_id.to_string());
        ready(())
    }
}
