//! One request after the other through a worker of this process, each dropped one await later.

mod origin;
mod provider;
mod token;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderName, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use leasehold_audit::Recorder;
use leasehold_broker::{Broker, BrokerMetrics, FamilyLimits};
use leasehold_consumer::{Consumers, KeyDigest};
use leasehold_inject::{InjectionIndex, Prepared};
use leasehold_model::{Clock, SystemClock};
use leasehold_provider::FingerprintKey;
use prometheus_client::registry::Registry;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;

use self::origin::Origin;
use self::provider::{FakeProvider, spec};
use self::token::Issuers;
use crate::body::ResponseBody;
use crate::gateway::{
    Admission, CredentialUse, Gateway, GatewaySpec, Held, RouteSpec, Selector, Suspect,
    UpstreamPolicy, UpstreamSpec,
};
use crate::metrics::ProxyMetrics;
use crate::pool::TrustedRoots;
use crate::server::Limits;
use crate::service::{Worker, answer};
use crate::via::{Link, Via};

/// Who sends the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// Somebody with a key.
    Key,
    /// Somebody with a token, whose issuer's keys are not there yet.
    Token,
    Nobody,
    FalseKey,
    /// Somebody whose token another key has signed, while the issuer's are not there yet.
    FalseToken,
}

/// Whether all consumers share one credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shared {
    Yes,
    No,
}

pub(super) struct Lab {
    caller: Caller,
    shared: Shared,
    issuers: Issuers,
    /// Whether the origin refuses the first generation.
    pub(super) refuses_the_first: bool,
    /// Whether the provider keeps its credential to itself.
    pub(super) never_fetched: bool,
    /// How long a request waits for what is not there.
    pub(super) patience: Duration,
    /// Requests that the origin saw, over all turns.
    pub(super) arrived: usize,
    /// Requests that were dropped while what they waited for was not there yet: a credential of the
    /// consumer's own, or keys.
    pub(super) early: usize,
    missing: Arc<AtomicBool>,
    /// What the request that was not dropped was answered.
    pub(super) last_answer: String,
}

impl Lab {
    pub(super) fn new(caller: Caller, shared: Shared) -> Self {
        Self {
            caller,
            shared,
            issuers: Issuers::new(),
            refuses_the_first: false,
            never_fetched: false,
            patience: LIMIT,
            arrived: 0,
            early: 0,
            missing: Arc::default(),
            last_answer: String::new(),
        }
    }

    /// Drops the request one await later each time, until it ends by itself; returns how often it waited.
    pub(super) fn sweep(&mut self) -> usize {
        for waits in 1..MOST_WAITS {
            let origin = Origin::start(self.refuses_the_first);
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            let (dropped, received) = runtime.block_on(self.turn(&origin, waits));
            // With it go its connections, which ends what the origin reads.
            drop(runtime);
            self.judge(&origin.finish(), waits);
            match dropped {
                None => {
                    self.last_answer = received;
                    return waits - 1;
                }
                Some(early) => self.early += usize::from(early),
            }
        }
        panic!("a request waits {MOST_WAITS} times and more");
    }

    /// What arrived shows one credential, whole, once.
    fn judge(&mut self, connections: &[Vec<u8>], waits: usize) {
        for seen in connections.iter().filter(|it| !it.is_empty()) {
            let text = String::from_utf8_lossy(seen);
            let requests = text.matches("POST /x HTTP/1.1\r\n").count();
            let whole = text.matches("\r\nx-api-key: Key canary-").count();
            let ended = ["1", "2"].map(|it| format!("\r\nx-api-key: Key canary-{it}\r\n"));
            let ended: usize = ended.iter().map(|it| text.matches(it).count()).sum();
            assert!(
                requests > 0 && requests == whole && whole == ended,
                "dropped at await {waits}: {text}"
            );
            assert!(!text.contains("forged"), "dropped at await {waits}: {text}");
            self.arrived += requests;
        }
    }

    /// Sends one request that is dropped at its await of that number. Returns whether that was early,
    /// where it got so far, and what its sender received.
    async fn turn(&self, origin: &Origin, waits: usize) -> (Option<bool>, String) {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let key = FingerprintKey::generate().expect("random bytes");
        let metrics = BrokerMetrics::register(&mut Registry::default());
        let mut broker: Broker<Prepared> = Broker::new(Arc::clone(&clock), key, metrics);
        let provider = FakeProvider::new(self.never_fetched, &self.missing);
        broker.provider("fake".into(), Arc::new(provider), false);
        let held = match self.shared {
            Shared::Yes => Held::Shared(broker.credential(spec()).expect("a credential")),
            Shared::No => {
                let limits = FamilyLimits {
                    cap: 4,
                    idle: LIMIT,
                };
                Held::PerConsumer(broker.family(spec(), limits).expect("a credential"))
            }
        };
        let worker = self.worker(origin, held.clone(), &clock);
        let kept = CancellationToken::new();
        tokio::select! {
            _ = broker.run(kept, LIMIT) => panic!("nobody stops it"),
            done = self.talk(&worker, &held, &clock, waits) => done,
        }
    }

    async fn talk(
        &self,
        worker: &Arc<Worker>,
        held: &Held,
        clock: &Arc<dyn Clock>,
        waits: usize,
    ) -> (Option<bool>, String) {
        if let Held::Shared(handle) = held {
            while handle.current(clock.boot()).is_err() {
                yield_now().await;
            }
        }
        let (mut here, there) = tokio::io::duplex(64 * 1024);
        here.write_all(self.head().as_bytes()).await.expect("sent");
        let waits_for_more = self.shared == Shared::No || self.shows_token();
        self.missing.store(waits_for_more, Ordering::SeqCst);
        let cut = Rc::new(Plan {
            waits,
            missing: Arc::clone(&self.missing),
            dropped: Cell::new(None),
        });
        let served = serve(worker, clock, there, &cut);
        let meanwhile = async {
            // Of what a request may wait for, this comes last: the body, and the issuer's keys.
            for _ in 0..10 {
                yield_now().await;
            }
            if self.shows_token() {
                self.issuers.publish(clock.boot());
                self.missing.store(false, Ordering::SeqCst);
            }
            // It may have been dropped.
            drop(here.write_all(b"hello").await);
            let mut received = Vec::new();
            drop(here.read_to_end(&mut received).await);
            String::from_utf8_lossy(&received).into_owned()
        };
        let ((), received) = tokio::join!(served, meanwhile);
        // What goes on without the request has its chance.
        for _ in 0..100 {
            yield_now().await;
        }
        (cut.dropped.get(), received)
    }

    fn shows_token(&self) -> bool {
        matches!(self.caller, Caller::Token | Caller::FalseToken)
    }

    fn head(&self) -> String {
        let shown = match self.caller {
            Caller::Key => "x-consumer-key: checkout-key\r\n".to_owned(),
            Caller::FalseKey => "x-consumer-key: checkout-kez\r\n".to_owned(),
            Caller::Nobody => String::new(),
            Caller::Token => self.issuers.bearer(true),
            Caller::FalseToken => self.issuers.bearer(false),
        };
        format!(
            "POST /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\
             X-Api-Key: forged\r\n{shown}\r\n"
        )
    }

    fn worker(&self, origin: &Origin, held: Held, clock: &Arc<dyn Clock>) -> Arc<Worker> {
        let mut registry = Registry::default();
        let metrics = ProxyMetrics::register(&mut registry);
        let (recorder, _writer) =
            Recorder::start(std::io::sink(), 16, &mut registry).expect("a writer");
        let gateway = Gateway::new(self.gateway(origin, held)).expect("a gateway");
        let clock = Arc::clone(clock);
        Arc::new(Worker::new(Arc::new(gateway), recorder, metrics, clock))
    }

    fn gateway(&self, origin: &Origin, held: Held) -> GatewaySpec {
        let credential = CredentialUse {
            selector: Selector::default(),
            held,
            injection: InjectionIndex(0),
            suspect: Suspect {
                statuses: vec![StatusCode::UNAUTHORIZED],
                retry: true,
            },
            watch: None,
        };
        let upstream = UpstreamSpec {
            name: "u".into(),
            endpoints: vec![origin.url().parse().expect("a URL")],
            roots: TrustedRoots::System,
            credentials: vec![vec![credential]],
            connect_timeout: self.patience,
            response_timeout: self.patience,
            policy: UpstreamPolicy::default(),
        };
        let admission = Admission::These(BTreeSet::from(["checkout".into()]));
        let keys = [("checkout".into(), KeyDigest::of(b"checkout-key"))];
        let consumers = Consumers::new(HeaderName::from_static("x-consumer-key"), keys);
        GatewaySpec {
            limits: crate::LimitSpecs::default(),
            path_policy: crate::PathPolicy::default(),
            routes: vec![RouteSpec::to("r", "/", "u", admission)],
            upstreams: vec![upstream],
            consumers: self.issuers.added_to(consumers),
            identity: crate::identity::IdentityHeaders::default(),
        }
    }
}

async fn serve(worker: &Arc<Worker>, clock: &Arc<dyn Clock>, stream: DuplexStream, cut: &Rc<Plan>) {
    let via = Via {
        listener: "public".into(),
        client: None,
        certificate: None,
        limits: Arc::new(Limits::default()),
    };
    let link = Arc::new(Link::new(via, clock.boot()));
    let service = service_fn(|request: Request<Incoming>| Cut {
        request: Some(Box::pin(answer(
            Arc::clone(worker),
            Arc::clone(&link),
            request,
        ))),
        left: cut.waits,
        plan: Rc::clone(cut),
    });
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // Where the request was dropped, this is an error, and the connection is gone.
    drop(connection.await);
}

/// When a request is dropped, and how that went.
struct Plan {
    waits: usize,
    /// Whether what it waits for is missing yet.
    missing: Arc<AtomicBool>,
    /// Whether it was when the request was dropped, where it was.
    dropped: Cell<Option<bool>>,
}

/// A request that is dropped at one of its awaits.
struct Cut<F> {
    request: Option<Pin<Box<F>>>,
    left: usize,
    plan: Rc<Plan>,
}

impl<F: Future<Output = Response<ResponseBody>>> Future for Cut<F> {
    type Output = Result<Response<ResponseBody>, Dropped>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let request = self.request.as_mut().expect("polled no more once it ended");
        if let Poll::Ready(response) = request.as_mut().poll(context) {
            return Poll::Ready(Ok(response));
        }
        self.left -= 1;
        if self.left > 0 {
            return Poll::Pending;
        }
        self.request = None;
        let early = self.plan.missing.load(Ordering::SeqCst);
        self.plan.dropped.set(Some(early));
        Poll::Ready(Err(Dropped))
    }
}

#[derive(Debug)]
struct Dropped;

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("dropped")
    }
}

impl std::error::Error for Dropped {}

const LIMIT: Duration = Duration::from_secs(20);
const MOST_WAITS: usize = 200;
