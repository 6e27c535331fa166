//! A gateway in this process, and what it records.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use leasehold_audit::{Recorder, RecorderTask};
use leasehold_consumer::{Consumers, KeyDigest};
use leasehold_model::{Clock, SystemClock};
use leasehold_proxy::{
    Admission, Balance, BindError, CredentialUse, Gateway, GatewaySpec, IdentityHeaders,
    LimitSpecs, Limits, ListenerAddress, ListenerChanges, ListenerSpec, ListenerTls, Listeners,
    PathPolicy, ProxyMetrics, RouteSpec, RunningServer, Server, Trusted, TrustedRoots,
    UpstreamPolicy, UpstreamSpec,
};
use parking_lot::Mutex;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::Value;

use crate::consumer::Consumer;

/// The header that consumers show their keys in, the key of `checkout`, and that of `reports`.
pub(crate) const KEY_HEADER: &str = "x-consumer-key";
pub(crate) const CHECKOUT_KEY: &str = "checkout-key";
pub(crate) const REPORTS_KEY: &str = "reports-key";

/// How a gateway is to be set up: with one upstream, and a route to it from `/` that is open to
/// anyone, unless another admission is set, and one from `/closed/` that is open to `checkout`.
pub(crate) struct Setup {
    endpoints: Vec<String>,
    pub(crate) roots: TrustedRoots,
    pub(crate) policy: UpstreamPolicy,
    pub(crate) credential: Option<CredentialUse>,
    pub(crate) admission: Admission,
    /// More routes, which come after those two.
    pub(crate) routes: Vec<RouteSpec>,
    pub(crate) path_policy: PathPolicy,
    /// More upstreams: name, endpoint and credential.
    pub(crate) others: Vec<(String, String, Option<CredentialUse>)>,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) workers: usize,
    pub(crate) connection_limit: usize,
    pub(crate) limits: Limits,
    pub(crate) limit_specs: LimitSpecs,
    pub(crate) listen: Option<ListenerAddress>,
    pub(crate) tls: Option<ListenerTls>,
    pub(crate) http2: bool,
    pub(crate) proxy_protocol: Option<Trusted>,
}

impl Setup {
    pub(crate) fn to(endpoints: &[String]) -> Self {
        Self {
            endpoints: endpoints.to_vec(),
            roots: TrustedRoots::System,
            // So that tests know where a request goes.
            policy: UpstreamPolicy {
                balance: Balance::RoundRobin,
                ..UpstreamPolicy::default()
            },
            credential: None,
            admission: Admission::Anyone,
            routes: Vec::new(),
            path_policy: PathPolicy::default(),
            others: Vec::new(),
            connect_timeout: LIMIT,
            response_timeout: LIMIT,
            workers: 1,
            connection_limit: 100,
            limits: Limits::default(),
            limit_specs: LimitSpecs::default(),
            listen: None,
            tls: None,
            http2: false,
            proxy_protocol: None,
        }
    }

    pub(crate) fn start(self) -> Rig {
        self.start_with(|spec| spec)
    }

    /// Starts a gateway of another specification.
    pub(crate) fn start_with(self, change: impl FnOnce(GatewaySpec) -> GatewaySpec) -> Rig {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut registry = Registry::default();
        let metrics = ProxyMetrics::register(&mut registry);
        let lines = Lines::default();
        let (recorder, writer) =
            Recorder::start(lines.clone(), 1024, &mut registry).expect("a writer");
        let (workers, connection_limit) = (self.workers, self.connection_limit);
        let listener = self.listener();
        let gateway = Arc::new(Gateway::new(change(self.spec())).expect("a gateway"));
        let server = Server::bind(&[listener], workers)
            .expect("a free port")
            .connection_limit(connection_limit);
        let address = server.addresses()[0].1.tcp();
        let server = server.run(&gateway, &recorder, &metrics, &clock);
        let (server, listeners) = server.expect("threads");
        Rig {
            address: address.unwrap_or(NOWHERE),
            gateway,
            server: Some(server),
            listeners: Some(listeners),
            writer: Some(writer),
            lines,
            registry,
        }
    }

    pub(crate) fn listener(&self) -> ListenerSpec {
        let address = self.listen.clone();
        ListenerSpec {
            name: "public".into(),
            address: address.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)).into()),
            tls: self.tls.clone(),
            http2: self.http2,
            proxy_protocol: self.proxy_protocol.clone(),
            limits: self.limits.clone(),
        }
    }

    pub(crate) fn spec(self) -> GatewaySpec {
        let keys = [("checkout", CHECKOUT_KEY), ("reports", REPORTS_KEY)];
        let route =
            |name: &str, prefix: &str, admission| RouteSpec::to(name, prefix, "origin", admission);
        let checkout = Admission::These(BTreeSet::from(["checkout".into()]));
        let upstream = |name: &str,
                        endpoints: &[String],
                        credential: Option<CredentialUse>,
                        roots| UpstreamSpec {
            name: name.into(),
            endpoints: endpoints
                .iter()
                .map(|it| it.parse().expect("a URL"))
                .collect(),
            roots,
            credentials: Vec::from_iter(credential.map(|it| vec![it])),
            connect_timeout: self.connect_timeout,
            response_timeout: self.response_timeout,
            policy: self.policy.clone(),
        };
        let mut upstreams = vec![upstream(
            "origin",
            &self.endpoints,
            self.credential,
            self.roots,
        )];
        for (name, endpoint, credential) in self.others {
            upstreams.push(upstream(
                &name,
                &[endpoint],
                credential,
                TrustedRoots::System,
            ));
        }
        let mut routes = vec![
            route("open", "/", self.admission),
            route("closed", "/closed/", checkout),
        ];
        routes.extend(self.routes);
        GatewaySpec {
            limits: self.limit_specs,
            path_policy: self.path_policy,
            routes,
            upstreams,
            consumers: Consumers::new(
                HeaderName::from_static(KEY_HEADER),
                keys.map(|(name, key)| (name.into(), KeyDigest::of(key.as_bytes()))),
            ),
            identity: IdentityHeaders::default(),
        }
    }
}

/// A gateway that runs.
pub(crate) struct Rig {
    pub(crate) address: SocketAddr,
    pub(crate) gateway: Arc<Gateway>,
    server: Option<RunningServer>,
    listeners: Option<Listeners>,
    writer: Option<RecorderTask>,
    lines: Lines,
    registry: Registry,
}

impl Rig {
    pub(crate) fn connect(&self) -> Consumer {
        Consumer::connect(self.address)
    }

    pub(crate) fn metrics(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("text");
        text
    }

    /// Waits until there are as many records, and fails where there are more.
    pub(crate) fn records(&self, count: usize) -> Vec<Value> {
        until("the records", || {
            let records = self.lines.records();
            assert!(records.len() <= count, "more than {count}: {records:?}");
            (records.len() == count).then_some(records)
        })
    }

    /// Returns the records that are there.
    pub(crate) fn peek(&self) -> Vec<Value> {
        self.lines.records()
    }

    /// Waits for the record of a trace.
    pub(crate) fn find(&self, trace_id: &str) -> Value {
        until("the record of a trace", || {
            let records = self.lines.records();
            records
                .into_iter()
                .find(|record| record["trace_id"] == trace_id)
        })
    }

    /// Waits for the only record.
    pub(crate) fn record(&self) -> Value {
        self.records(1).remove(0)
    }

    /// Puts other listeners to work.
    pub(crate) fn listen(&mut self, specs: &[ListenerSpec]) -> Result<ListenerChanges, BindError> {
        let listeners = self.listeners.as_mut().expect("it runs");
        Ok(listeners.apply(listeners.prepare(specs)?, LIMIT))
    }

    /// Returns where the listeners are now.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let listeners = self.listeners.as_ref().expect("it runs");
        let all = listeners.addresses().into_iter();
        all.filter_map(|(_, address)| address.tcp()).collect()
    }

    pub(crate) fn drain(&mut self, limit: Duration) -> usize {
        // Connections would wait in its sockets.
        self.listeners = None;
        self.server.take().map_or(0, |server| server.drain(limit))
    }

    /// Ends the gateway and returns everything that it has recorded.
    pub(crate) fn finish(mut self) -> Vec<Value> {
        self.drain(LIMIT);
        if let Some(writer) = self.writer.take() {
            writer.finish();
        }
        self.lines.records()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.drain(Duration::ZERO);
    }
}

/// Polls until there is an answer.
pub(crate) fn until<T>(what: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let clock = SystemClock;
    let deadline = clock.boot().after(LIMIT);
    while clock.boot() < deadline {
        if let Some(answer) = poll() {
            return answer;
        }
        // Not a guess at how long it takes: the condition is looked at again.
        std::thread::park_timeout(Duration::from_millis(2));
    }
    panic!("waited in vain for {what}");
}

/// The lines that the recorder has written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn records(&self) -> Vec<Value> {
        let bytes = self.0.lock();
        let lines = bytes.split_inclusive(|byte| *byte == b'\n');
        let whole = lines.filter(|line| line.ends_with(b"\n"));
        whole
            .map(|line| serde_json::from_slice(line).expect("a JSON line"))
            .collect()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The address of a gateway that listens on no port.
const NOWHERE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);
/// How long anything in these tests may take before it counts as failed.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);
