use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderValue;
use leasehold_model::{BootTime, UpstreamName};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use url::{Host, Url};

use super::error::GatewayError;
use super::spec::{CredentialUse, Held, UpstreamSpec};
use crate::pool::{PoolKey, Resolver, TlsConfigs, TrustedRoots};

/// A service that requests are forwarded to, ready for use.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) number: usize,
    pub(crate) name: UpstreamName,
    pub(crate) credential: Option<CredentialUse>,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    reach: Reach,
    /// Shared with the upstream of the next gateway where that is reached the same way: so are the
    /// connections to them, and what is known of their health.
    endpoints: Arc<Vec<Endpoint>>,
}

/// Everything that endpoints are made from.
#[derive(Debug, PartialEq, Eq)]
struct Reach {
    endpoints: Vec<Url>,
    roots: TrustedRoots,
}

impl Upstream {
    /// Tells whether a request that is refused may be sent again.
    pub(crate) fn retries_refused(&self) -> bool {
        let suspect = self.credential.as_ref().map(|it| &it.suspect);
        suspect.is_some_and(|it| it.retry && !it.statuses.is_empty())
    }

    /// Tells whether each consumer has a credential of its own there.
    pub(crate) fn is_per_consumer(&self) -> bool {
        let held = self.credential.as_ref().map(|it| &it.held);
        held.is_some_and(|it| matches!(it, Held::PerConsumer(_)))
    }

    /// Returns how long a consumer's first request may wait for the consumer's own credential.
    pub(crate) fn longest_acquisition(&self) -> Duration {
        let patience = self.connect_timeout.saturating_add(self.response_timeout);
        patience.min(LONGEST_ACQUISITION)
    }

    /// Checks and prepares an upstream, taking a number from `numbers` for each of its endpoints; or the
    /// endpoints of the `former` one, where nothing about them has changed.
    pub(super) fn build(
        number: usize,
        spec: UpstreamSpec,
        former: Option<&Self>,
        numbers: &mut impl Iterator<Item = usize>,
        tls: &mut TlsConfigs,
    ) -> Result<Self, GatewayError> {
        let reach = Reach {
            endpoints: spec.endpoints.clone(),
            roots: spec.roots.clone(),
        };
        let endpoints = match former.filter(|it| it.reach == reach) {
            Some(same) => Arc::clone(&same.endpoints),
            None => Arc::new(endpoints(&spec, numbers, tls)?),
        };
        Ok(Self {
            number,
            name: spec.name,
            credential: spec.credential,
            connect_timeout: spec.connect_timeout,
            response_timeout: spec.response_timeout,
            reach,
            endpoints,
        })
    }

    /// Returns the endpoints in the order that a request should try them in: each request begins
    /// with another one, and those that could not be reached come last.
    ///
    /// From time to time one request begins with such an endpoint, to see whether it is well again.
    pub(crate) fn in_turn(&self, turn: usize, now: BootTime) -> Vec<&Endpoint> {
        let first = turn % self.endpoints.len().max(1);
        let (before, from) = self.endpoints.split_at_checked(first).unwrap_or_default();
        let mut order: Vec<_> = from.iter().chain(before).collect();
        let probed = order.iter().position(|endpoint| endpoint.probe(now));
        let probed = probed.map(|place| order.remove(place));
        order.sort_by_key(|endpoint| endpoint.is_doubtful());
        // Whoever has the probe makes it, or nobody would.
        order.splice(..0, probed);
        order
    }
}

fn endpoints(
    spec: &UpstreamSpec,
    numbers: &mut impl Iterator<Item = usize>,
    tls: &mut TlsConfigs,
) -> Result<Vec<Endpoint>, GatewayError> {
    if spec.endpoints.is_empty() {
        return Err(GatewayError::NoEndpoint(spec.name.clone()));
    }
    let mut endpoints = Vec::new();
    for ((position, url), endpoint) in (1..).zip(&spec.endpoints).zip(numbers) {
        let fault = |fault| GatewayError::Endpoint {
            upstream: spec.name.clone(),
            position,
            fault,
        };
        let mut endpoint = Endpoint::parse(url, PoolKey { endpoint }).map_err(fault)?;
        if url.scheme() == "https" {
            endpoint.tls = Some(tls_for(&endpoint.host, spec, tls, fault)?);
        }
        endpoints.push(endpoint);
    }
    Ok(endpoints)
}

/// One address of an upstream.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) key: PoolKey,
    /// Its origin, for records and logs.
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What the upstream reads as `Host`.
    pub(crate) authority: HeaderValue,
    pub(crate) tls: Option<EndpointTls>,
    pub(crate) resolver: Resolver,
    /// When it is to be tried again, on the boot clock; zero while it is well.
    avoided_until: AtomicU64,
}

/// How to speak TLS to an endpoint.
#[derive(Debug)]
pub(crate) struct EndpointTls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

impl Endpoint {
    /// Writes down that the endpoint was reached; returns whether it was not, before.
    pub(crate) fn reached(&self) -> bool {
        // Read first: writing would take the line from the other cores' caches each time.
        self.avoided_until.load(Ordering::Relaxed) != 0
            && self.avoided_until.swap(0, Ordering::Relaxed) != 0
    }

    /// Writes down that the endpoint could not be reached; returns whether it was well before.
    pub(crate) fn missed(&self, now: BootTime) -> bool {
        let until = now.after(AVOIDANCE).as_nanos();
        self.avoided_until.swap(until, Ordering::Relaxed) == 0
    }

    fn is_doubtful(&self) -> bool {
        self.avoided_until.load(Ordering::Relaxed) != 0
    }

    /// Tells whether it is time to try the endpoint again, which it is for one request only: an
    /// endpoint that hangs would hold up all the others.
    fn probe(&self, now: BootTime) -> bool {
        let until = self.avoided_until.load(Ordering::Relaxed);
        if until == 0 || now.as_nanos() < until {
            return false;
        }
        let next = now.after(AVOIDANCE).as_nanos();
        let claimed =
            self.avoided_until
                .compare_exchange(until, next, Ordering::Relaxed, Ordering::Relaxed);
        claimed.is_ok()
    }

    fn parse(url: &Url, key: PoolKey) -> Result<Self, &'static str> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err("its scheme is neither http nor https");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("it holds a user name or a password");
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err("it has a path, a query or a fragment");
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return Err("it has no host");
        };
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_string(),
        };
        let authority = HeaderValue::try_from(authority).map_err(|_invalid| "it has no host")?;
        Ok(Self {
            key,
            name: url.origin().ascii_serialization(),
            host: bare(&host),
            port,
            authority,
            tls: None,
            resolver: Resolver::new(),
            avoided_until: AtomicU64::new(0),
        })
    }
}

fn tls_for(
    host: &str,
    spec: &UpstreamSpec,
    tls: &mut TlsConfigs,
    fault: impl Fn(&'static str) -> GatewayError,
) -> Result<EndpointTls, GatewayError> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_invalid| fault("its host can't stand in a certificate"))?;
    let config = tls
        .config(&spec.roots)
        .map_err(|source| GatewayError::Roots {
            upstream: spec.name.clone(),
            source,
        })?;
    Ok(EndpointTls { config, name })
}

/// Writes a host as sockets and certificates have it: an IPv6 address without its brackets.
fn bare(host: &Host<&str>) -> String {
    match host {
        Host::Domain(name) => (*name).to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    }
}

const LONGEST_ACQUISITION: Duration = Duration::from_secs(15);
/// How long an endpoint that could not be reached comes last before it is tried again.
const AVOIDANCE: Duration = Duration::from_secs(5);
