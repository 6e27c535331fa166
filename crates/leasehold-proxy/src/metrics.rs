mod histogram;

use std::sync::{Arc, OnceLock};

use leasehold_audit::AccessRecord;
use leasehold_model::{BootTime, LimitName, ListenerName, ReasonCode, RouteName, UpstreamName};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use self::histogram::AtomicHistogram;
use crate::gateway::{Gateway, Limits, Route, Upstream};
use crate::server::{ListenerTls, ServedCertificate};
use crate::steps::refuse;

/// What the data plane counts. Cloning shares the counts.
#[derive(Clone, Debug, Default)]
pub struct ProxyMetrics {
    requests: Family<RequestLabels, Counter>,
    connect_errors: Family<UpstreamLabels, Counter>,
    ejections: Family<UpstreamLabels, Counter>,
    upstream_connections: Family<UpstreamLabels, Gauge>,
    unwell: Family<UpstreamLabels, Gauge>,
    split: Family<SplitLabels, Counter>,
    retries: Family<RetryLabels, Counter>,
    reflections: Family<ReflectionLabels, Counter>,
    limited: Family<LimitLabels, Counter>,
    limit_keys: Family<LimitLabels, Gauge>,
    mirrored: Family<MirrorLabels, Counter>,
    clocks_corrected: Family<UpstreamLabels, Counter>,
    gateway_time: AtomicHistogram,
    upstream_time: AtomicHistogram,
    pub(crate) in_flight: Gauge,
    pub(crate) websockets: Gauge,
    pub(crate) connections: Gauge,
    pub(crate) connections_resting: Gauge,
    pub(crate) connections_refused: Counter,
    pub(crate) connections_failed: Counter,
    pub(crate) connections_abused: Counter,
    certificate_expiry: Family<CertificateLabels, Gauge>,
    certificate_failures: Family<ListenerLabels, Counter>,
}

impl ProxyMetrics {
    /// Registers the metrics, whose names begin with `leasehold_`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let all = metrics.clone();
        // The encoder adds `_total` to a counter's name.
        registry.register(
            "leasehold_requests",
            "Requests that have ended, by route, class of status and reason code",
            all.requests,
        );
        registry.register(
            "leasehold_requests_in_flight",
            "Requests whose answer has not ended",
            all.in_flight,
        );
        registry.register(
            "leasehold_websockets",
            "WebSockets that are open, each of which is a request in flight too",
            all.websockets,
        );
        registry.register(
            "leasehold_gateway_seconds",
            "Time that the gateway itself took for a request",
            all.gateway_time,
        );
        registry.register(
            "leasehold_upstream_seconds",
            "Time that the gateway waited for the upstream in a request",
            all.upstream_time,
        );
        registry.register(
            "leasehold_upstream_connect_errors",
            "Connections to endpoints that could not be made, by upstream",
            all.connect_errors,
        );
        registry.register(
            "leasehold_upstream_ejections",
            "Times that an endpoint was left out for its faults, by upstream",
            all.ejections,
        );
        registry.register(
            "leasehold_upstream_connections",
            "Connections to endpoints, in use or not, by upstream",
            all.upstream_connections,
        );
        registry.register(
            "leasehold_upstream_endpoints_unwell",
            "Endpoints that are unwell, out of reach or left out for their faults, by upstream",
            all.unwell,
        );
        registry.register(
            "leasehold_split_requests",
            "Requests of routes with several upstreams, by route and chosen upstream",
            all.split,
        );
        registry.register(
            "leasehold_reflections",
            "Answers in which the upstream's credential was found, by the part of the answer",
            all.reflections,
        );
        registry.register(
            "leasehold_retries",
            "Further tries that a route's policy asked for, sent or without budget",
            all.retries,
        );
        registry.register(
            "leasehold_limited_requests",
            "Requests that a limit refused, by limit and its kind",
            all.limited,
        );
        registry.register(
            "leasehold_limit_keys",
            "Callers that a limit knows of, by limit and its kind",
            all.limit_keys,
        );
        registry.register(
            "leasehold_mirrored_requests",
            "Copies of requests, by upstream and what became of them",
            all.mirrored,
        );
        registry.register(
            "leasehold_clock_corrections",
            "How often an upstream's clock turned out to differ from the gateway's, by upstream",
            all.clocks_corrected,
        );
        registry.register(
            "leasehold_connections",
            "Connections from consumers",
            all.connections,
        );
        registry.register(
            "leasehold_connections_resting",
            "Connections of HTTP/1.1 from consumers that have waited for a request for a while, and take up less",
            all.connections_resting,
        );
        registry.register(
            "leasehold_connections_refused",
            "Connections from consumers refused because there were too many",
            all.connections_refused,
        );
        registry.register(
            "leasehold_connections_failed",
            "Connections from consumers that did not get as far as a first request: by TLS, by the PROXY header or by time",
            all.connections_failed,
        );
        registry.register(
            "leasehold_connections_abused",
            "Connections of HTTP/2 that were cut because most requests on them were taken back",
            all.connections_abused,
        );
        registry.register(
            "leasehold_listener_certificate_expiry_seconds",
            "When a listener's certificate runs out, in seconds from 1970 on",
            all.certificate_expiry,
        );
        registry.register(
            "leasehold_listener_certificate_failures",
            "New certificates, keys or revocation lists of a listener that could not be used",
            all.certificate_failures,
        );
        metrics
    }

    fn upstream_meter(&self, name: &str) -> UpstreamMeter {
        let upstream = name.to_owned();
        let labels = UpstreamLabels { upstream };
        UpstreamMeter {
            connect_errors: self.connect_errors.get_or_create_owned(&labels),
            ejections: self.ejections.get_or_create_owned(&labels),
            connections: self.upstream_connections.get_or_create_owned(&labels),
            unwell: self.unwell.get_or_create_owned(&labels),
        }
    }

    /// Shows no longer when certificates that a listener served run out.
    pub fn hide_certificates(&self, listener: &ListenerName, served: &[ServedCertificate]) {
        for gone in served {
            self.certificate_expiry
                .remove(&CertificateLabels::new(listener, &gone.name));
        }
    }

    /// Shows when the certificates that a listener serves run out.
    pub fn show_certificates(&self, listener: &ListenerName, tls: &ListenerTls) {
        self.certificate_failures
            .get_or_create_owned(&ListenerLabels::new(listener));
        for certificate in tls.certificates() {
            let labels = CertificateLabels::new(listener, &certificate.name);
            self.certificate_expiry
                .get_or_create_owned(&labels)
                .set(certificate.not_after);
        }
    }

    /// Counts new files of a listener's TLS that could not be used.
    pub fn certificate_failed(&self, listener: &ListenerName) {
        self.certificate_failures
            .get_or_create_owned(&ListenerLabels::new(listener))
            .inc();
    }

    /// Counts an answer in which the upstream's credential was found.
    pub(crate) fn reflected(&self, route: &RouteName, part: &'static str, action: &'static str) {
        let labels = ReflectionLabels {
            route: route.to_string(),
            part,
            action,
        };
        self.reflections.get_or_create_owned(&labels).inc();
    }

    /// Counts a further try that a route's policy asked for.
    pub(crate) fn retried(&self, route: &RouteName, outcome: &'static str) {
        let labels = RetryLabels {
            route: route.as_str().to_owned(),
            outcome,
        };
        self.retries.get_or_create_owned(&labels).inc();
    }

    /// Counts a request that a limit refused.
    pub(crate) fn limited(&self, limit: &LimitName, reason: ReasonCode) {
        let labels = LimitLabels::new(limit, reason);
        self.limited.get_or_create_owned(&labels).inc();
    }

    /// Shows how many callers the limits know of, and makes their counters where there are none yet.
    pub(crate) fn reflect_limits(&self, limits: &Limits) {
        let rates = limits.rates.iter();
        let rates = rates.map(|it| (&it.spec().name, ReasonCode::RateLimited, it.keys()));
        let others = limits.concurrency.iter();
        let others = others.map(|it| (&it.spec().name, ReasonCode::ConcurrencyLimited, it.keys()));
        for (name, reason, keys) in rates.chain(others) {
            let labels = LimitLabels::new(name, reason);
            let gauge = self.limit_keys.get_or_create_owned(&labels);
            gauge.set(i64::try_from(keys).unwrap_or(i64::MAX));
            self.limited.get_or_create_owned(&labels);
        }
    }

    /// Counts a copy of a request.
    pub(crate) fn mirrored(&self, upstream: &UpstreamName, outcome: &'static str) {
        let labels = MirrorLabels {
            upstream: upstream.as_str().to_owned(),
            outcome,
        };
        self.mirrored.get_or_create_owned(&labels).inc();
    }

    /// Counts a correction of the time that requests are signed at.
    pub(crate) fn clock_corrected(&self, upstream: &UpstreamName) {
        let labels = UpstreamLabels {
            upstream: upstream.as_str().to_owned(),
        };
        self.clocks_corrected.get_or_create_owned(&labels).inc();
    }

    /// Returns the counters of the route's upstreams, where there are several.
    fn split(&self, route: &Route) -> Vec<Counter> {
        if route.upstreams().count() < 2 {
            return Vec::new();
        }
        let counter = |upstream: &Arc<Upstream>| {
            self.split.get_or_create_owned(&SplitLabels {
                route: route.name.as_str().to_owned(),
                upstream: upstream.name.as_str().to_owned(),
            })
        };
        route.upstreams().map(counter).collect()
    }

    fn request_counter(&self, route: &str, class: usize, reason: Option<ReasonCode>) -> Counter {
        self.requests.get_or_create_owned(&RequestLabels {
            route: route.to_owned(),
            status: CLASSES.get(class).copied().unwrap_or_default(),
            reason: reason.map_or("none", ReasonCode::as_str),
        })
    }
}

/// The counters of one gateway snapshot, found once: counting a request takes no lock.
#[derive(Debug)]
pub(crate) struct Meters {
    metrics: ProxyMetrics,
    routes: Vec<RouteMeter>,
    /// For requests that match no route.
    astray: RouteMeter,
    upstreams: Vec<UpstreamMeter>,
    /// By route and then by place among its upstreams; none where there is one upstream only.
    split: Vec<Vec<Counter>>,
}

#[derive(Debug)]
struct UpstreamMeter {
    connect_errors: Counter,
    ejections: Counter,
    connections: Gauge,
    unwell: Gauge,
}

impl Meters {
    pub(crate) fn new(metrics: ProxyMetrics, gateway: &Gateway) -> Self {
        let meter = |name: &str| RouteMeter::new(name, &metrics);
        let upstreams = gateway.upstreams();
        let upstreams = upstreams.map(|it| metrics.upstream_meter(it.name.as_str()));
        Self {
            routes: gateway
                .routes()
                .map(|route| meter(route.name.as_str()))
                .collect(),
            split: gateway.routes().map(|route| metrics.split(route)).collect(),
            astray: meter(""),
            upstreams: upstreams.collect(),
            metrics,
        }
    }

    /// Counts a request that has ended.
    pub(crate) fn count(&self, route: Option<usize>, record: &AccessRecord) {
        let meter = route.and_then(|number| self.routes.get(number));
        meter.unwrap_or(&self.astray).count(&self.metrics, record);
        self.metrics.in_flight.dec();
        self.metrics.gateway_time.observe(record.gateway_time);
        if let Some(time) = record.upstream_time {
            self.metrics.upstream_time.observe(time);
        }
    }

    /// Counts a request of a route by the upstream that was chosen for it, where there are several.
    pub(crate) fn chosen(&self, route: usize, place: usize) {
        let counters = self.split.get(route);
        if let Some(counter) = counters.and_then(|it| it.get(place)) {
            counter.inc();
        }
    }

    /// Counts a connection to an upstream that could not be made.
    pub(crate) fn connect_failed(&self, upstream: usize) {
        if let Some(meter) = self.upstreams.get(upstream) {
            meter.connect_errors.inc();
        }
    }

    /// Counts an endpoint that was left out for its faults.
    pub(crate) fn ejected(&self, upstream: usize) {
        if let Some(meter) = self.upstreams.get(upstream) {
            meter.ejections.inc();
        }
    }

    /// Shows how an upstream stands.
    pub(crate) fn reflect(&self, upstream: &Upstream, now: BootTime) {
        let Some(meter) = self.upstreams.get(upstream.number) else {
            return;
        };
        let connections = upstream.load.connections();
        meter
            .connections
            .set(i64::try_from(connections).unwrap_or(i64::MAX));
        let endpoints = upstream.endpoints();
        let unwell = endpoints
            .iter()
            .filter(|it| !it.standing.is_well(now))
            .count();
        meter.unwell.set(i64::try_from(unwell).unwrap_or(i64::MAX));
    }
}

#[derive(Debug)]
struct RouteMeter {
    route: String,
    /// A cell for each class of status and, in it, for each reason; the first is for none.
    counters: Vec<OnceLock<Counter>>,
}

impl RouteMeter {
    fn new(route: &str, metrics: &ProxyMetrics) -> Self {
        let cells = CLASSES.len() * (ReasonCode::ALL.len() + 1);
        let meter = Self {
            route: route.to_owned(),
            counters: std::iter::repeat_with(OnceLock::new).take(cells).collect(),
        };
        // What an alarm is set on must be there before it happens for the first time.
        for reason in ReasonCode::ALL {
            let status = refuse::answer(reason).0.as_u16();
            meter.counter(metrics, Some(status), Some(reason));
        }
        meter.counter(metrics, Some(200), None);
        meter
    }

    fn count(&self, metrics: &ProxyMetrics, record: &AccessRecord) {
        if let Some(counter) = self.counter(metrics, record.status, record.reason) {
            counter.inc();
        }
    }

    fn counter(
        &self,
        metrics: &ProxyMetrics,
        status: Option<u16>,
        reason: Option<ReasonCode>,
    ) -> Option<&Counter> {
        let class = status.map_or(0, |status| usize::from(status / 100).min(CLASSES.len() - 1));
        let place = reason.and_then(|reason| ReasonCode::ALL.iter().position(|it| *it == reason));
        let place = place.map_or(0, |place| place + 1);
        let cell = self
            .counters
            .get(class * (ReasonCode::ALL.len() + 1) + place)?;
        Some(cell.get_or_init(|| metrics.request_counter(&self.route, class, reason)))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: &'static str,
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SplitLabels {
    route: String,
    upstream: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReflectionLabels {
    route: String,
    part: &'static str,
    action: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RetryLabels {
    route: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MirrorLabels {
    upstream: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    limit: String,
    kind: &'static str,
}

impl LimitLabels {
    fn new(limit: &LimitName, reason: ReasonCode) -> Self {
        let limit = limit.as_str().to_owned();
        let is_rate = reason == ReasonCode::RateLimited;
        let kind = if is_rate { "rate" } else { "concurrency" };
        Self { limit, kind }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UpstreamLabels {
    upstream: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ListenerLabels {
    listener: String,
}

impl ListenerLabels {
    fn new(listener: &ListenerName) -> Self {
        let listener = listener.as_str().to_owned();
        Self { listener }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabels {
    listener: String,
    name: String,
}

impl CertificateLabels {
    fn new(listener: &ListenerName, name: &str) -> Self {
        Self {
            listener: listener.as_str().to_owned(),
            name: name.to_owned(),
        }
    }
}

/// The classes of status, by their first digit; a request that ended before its answer began has
/// none. An upstream may also send a status of no class.
const CLASSES: [&str; 7] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx", "other"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_that_there_can_be_is_counted() {
        let metrics = ProxyMetrics::default();
        let meter = RouteMeter::new("r", &metrics);
        for (status, class) in [(599, "5xx"), (600, "other"), (999, "other")] {
            let counter = meter.counter(&metrics, Some(status), None);
            counter.expect("a counter").inc();
            let labels = RequestLabels {
                route: "r".to_owned(),
                status: class,
                reason: "none",
            };
            let counted = metrics.requests.get_or_create_owned(&labels).get();
            assert!(counted > 0, "{status}");
        }
    }
}
