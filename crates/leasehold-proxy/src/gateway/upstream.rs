use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderValue};
use leasehold_model::{BootTime, ConsumerName, UpstreamName};
use rustls::pki_types::ServerName;
use url::Url;

use super::badge::Badge;
use super::balance::{self, Shares};
use super::correction::Correction;
use super::credentials::Credentials;
use super::endpoint::{Endpoint, EndpointTls, Flight, Origin};
use super::error::GatewayError;
use super::load::Load;
use super::policy::{Balance, HashKey, HostPolicy, Protocol, UpstreamPolicy};
use super::ring::{self, Ring};
use super::spec::{Held, UpstreamSpec};
use crate::pool::{Bound, PoolKey, TlsConfigs, TrustedRoots};

/// A service that requests are forwarded to, ready for use.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) number: usize,
    pub(crate) name: UpstreamName,
    pub(crate) credentials: Credentials,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
    pub(crate) policy: UpstreamPolicy,
    roots: TrustedRoots,
    declared: Vec<Url>,
    /// These are shared with the upstream of the next gateway where that is reached the same way: so are the
    /// connections, and what is known of the endpoints' health.
    pub(crate) load: Arc<Load>,
    pub(crate) badge: Option<Arc<Badge>>,
    pub(crate) correction: Arc<Correction>,
    origins: Arc<[Declared]>,
    members: Arc<ArcSwap<Members>>,
}

/// An endpoint as it was declared.
#[derive(Debug)]
struct Declared {
    origin: Arc<Origin>,
    /// When its name is to be looked up next, on the boot clock.
    next_look_up: AtomicU64,
}

/// Those that requests are spread over.
#[derive(Debug)]
struct Members {
    endpoints: Vec<Arc<Endpoint>>,
    /// Empty, unless keys decide.
    ring: Ring,
}

/// Where a request may go.
#[derive(Debug)]
pub(crate) enum Choice {
    To(Flight),
    /// The upstream has as many requests as it may.
    Full,
    /// All endpoints have been tried.
    Nobody,
}

impl Upstream {
    /// Tells whether a request that is refused may be sent again.
    pub(crate) fn retries_refused(&self) -> bool {
        // An HTTP/2 upstream may refuse a stream that it has not looked at.
        self.credentials.may_be_renewed()
            || self.policy.protocol == Protocol::Http2
            || self.load.has_http2()
    }

    /// Tells whether its connections may each carry several requests at a time.
    pub(crate) fn may_share(&self) -> bool {
        match self.policy.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Auto => self.origins.iter().any(|it| it.origin.tls.is_some()),
        }
    }

    /// Returns how long a consumer's first request may wait for the consumer's own credential.
    pub(crate) fn longest_acquisition(&self) -> Duration {
        let patience = self.connect_timeout.saturating_add(self.response_timeout);
        patience.min(LONGEST_ACQUISITION)
    }

    /// Checks and prepares an upstream, with what the `former` one has at run time where that is reached
    /// the same way.
    pub(super) fn build(
        number: usize,
        spec: UpstreamSpec,
        former: Option<&Self>,
        tls: &mut TlsConfigs,
    ) -> Result<Self, GatewayError> {
        match former.filter(|it| it.is_reached_as(&spec)) {
            Some(same) => Ok(Self {
                number,
                name: spec.name,
                credentials: Credentials::new(spec.credentials),
                connect_timeout: spec.connect_timeout,
                response_timeout: spec.response_timeout,
                policy: spec.policy,
                roots: spec.roots,
                declared: spec.endpoints,
                load: Arc::clone(&same.load),
                badge: same.badge.clone(),
                correction: Arc::clone(&same.correction),
                origins: Arc::clone(&same.origins),
                members: Arc::clone(&same.members),
            }),
            None => Self::build_anew(number, spec, tls),
        }
    }

    fn is_reached_as(&self, spec: &UpstreamSpec) -> bool {
        (&self.declared, &self.roots, &self.policy) == (&spec.endpoints, &spec.roots, &spec.policy)
    }

    fn build_anew(
        number: usize,
        spec: UpstreamSpec,
        tls: &mut TlsConfigs,
    ) -> Result<Self, GatewayError> {
        if spec.endpoints.is_empty() {
            return Err(GatewayError::NoEndpoint(spec.name));
        }
        let badge = spec.policy.tls.client.as_ref().map(Badge::read);
        let badge = badge.transpose().map_err(|source| GatewayError::Identity {
            upstream: spec.name.clone(),
            source,
        })?;
        let load = Arc::new(Load::new(spec.policy.limits));
        let mut origins = Vec::new();
        for (place, url) in spec.endpoints.iter().enumerate() {
            let fault = |fault| GatewayError::Endpoint {
                upstream: spec.name.clone(),
                position: place + 1,
                fault,
            };
            let origin = Origin::parse(url, Arc::clone(&load));
            let mut origin = origin.map_err(fault)?;
            if url.scheme() == "https" {
                origin.tls = Some(tls_for(&origin.host, &spec, tls, fault)?);
            }
            let proxy = spec.policy.proxy.as_ref().map(Origin::parse_proxy);
            origin.proxy = proxy.transpose().map_err(fault)?;
            origin.protocol = spec.policy.protocol;
            origin.keep_alive = spec.policy.keep_alive;
            origin.weight = spec.policy.weights.get(place).copied().unwrap_or(1);
            origins.push(Declared {
                origin: Arc::new(origin),
                next_look_up: AtomicU64::new(0),
            });
        }
        let endpoints = origins.iter().map(|it| {
            let address = it.origin.address();
            Arc::new(Endpoint::new(number_one(), Arc::clone(&it.origin), address))
        });
        let members = Members::new(endpoints.collect(), &spec.policy.balance);
        Ok(Self {
            number,
            name: spec.name,
            credentials: Credentials::new(spec.credentials),
            connect_timeout: spec.connect_timeout,
            response_timeout: spec.response_timeout,
            policy: spec.policy,
            roots: spec.roots,
            declared: spec.endpoints,
            load,
            correction: Arc::default(),
            badge: badge.map(Arc::new),
            members: Arc::new(ArcSwap::from_pointee(members)),
            origins: origins.into(),
        })
    }

    /// Chooses an endpoint that was not tried yet: one that is well, where there is any.
    ///
    /// From time to time one request goes to an endpoint that could not be reached, to see whether it
    /// is well again.
    pub(crate) fn choose(&self, tried: &[PoolKey], draw: &Draw, now: BootTime) -> Choice {
        let members = self.members.load();
        match self.pick(&members, tried, draw, now) {
            Some(endpoint) => Flight::begin(endpoint).map_or(Choice::Full, Choice::To),
            None => Choice::Nobody,
        }
    }

    /// Returns what requests like this one have in common, where that decides where they go.
    pub(crate) fn key(&self, headers: &HeaderMap, sender: Sender<'_>) -> Option<u64> {
        let Balance::RingHash(key) = &self.policy.balance else {
            return None;
        };
        match key {
            HashKey::Header(name) => headers.get(name).map(|it| ring::hash(it.as_bytes())),
            HashKey::Consumer => sender.consumer.map(|it| ring::hash(it.as_str().as_bytes())),
            HashKey::Address => sender.address.map(|it| match it.to_canonical() {
                IpAddr::V4(it) => ring::hash(&it.octets()),
                IpAddr::V6(it) => ring::hash(&it.octets()),
            }),
        }
    }

    /// Returns what an endpoint is to read as the host, where that is not what the consumer has sent.
    pub(crate) fn host<'a>(&'a self, endpoint: &'a Endpoint) -> Option<&'a HeaderValue> {
        match &self.policy.host {
            HostPolicy::Endpoint => Some(&endpoint.origin.authority),
            HostPolicy::Preserve => None,
            HostPolicy::Fixed(host) => Some(host),
        }
    }

    /// Returns what connections for no request in particular are bound to, where they are.
    pub(crate) fn bound(&self, now: BootTime) -> Option<Bound> {
        if let Some(badge) = &self.badge {
            return Some(Bound::to_files(badge.identity()));
        }
        self.credentials.of_nobody().find_map(|used| {
            let Held::Shared(handle) = &used.held else {
                return None;
            };
            Bound::to(&handle.current(now).ok()?, used.injection)
        })
    }

    /// Counts a fault of an endpoint; returns for how long that is left out, where it is now.
    pub(crate) fn faulted(&self, endpoint: &Endpoint, now: BootTime) -> Option<Duration> {
        let may_eject = || {
            let members = self.members.load();
            let ejected = members.endpoints.iter();
            let ejected = ejected.filter(|it| it.standing.is_ejected(now)).count();
            (ejected + 1) * 2 <= members.endpoints.len()
        };
        let rules = &self.policy.outlier;
        endpoint.standing.faulted(rules, now, may_eject)
    }

    /// Returns those that requests are spread over.
    pub(crate) fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.members.load().endpoints.clone()
    }

    /// Returns the endpoints whose names it is time to look up, by their place. Nobody else gets them.
    pub(crate) fn due_names(&self, now: BootTime) -> Vec<(usize, Arc<Origin>)> {
        let named = self.origins.iter().enumerate();
        let named = named.filter(|(_, it)| it.origin.wants_look_up());
        let due = named.filter(|(_, it)| it.claim(self.policy.refresh.0, now));
        due.map(|(place, it)| (place, Arc::clone(&it.origin)))
            .collect()
    }

    /// Makes the addresses of a declared endpoint's name the endpoints that requests go to. Those that
    /// there were stay what they are.
    pub(crate) fn found(&self, place: usize, addresses: &[SocketAddr]) {
        let Some(declared) = self.origins.get(place) else {
            return;
        };
        // Rarely two names of one upstream are found at once: then this is done twice.
        self.members.rcu(|members| {
            let is_of = |it: &&Arc<Endpoint>| Arc::ptr_eq(&it.origin, &declared.origin);
            let mut endpoints: Vec<_> = members
                .endpoints
                .iter()
                .filter(|it| !is_of(it))
                .cloned()
                .collect();
            for address in addresses.iter().take(MOST_ADDRESSES) {
                let mut known = members.endpoints.iter().filter(is_of);
                let known = known.find(|it| it.address == Some(*address)).cloned();
                let fresh = || {
                    let origin = Arc::clone(&declared.origin);
                    Arc::new(Endpoint::new(number_one(), origin, Some(*address)))
                };
                endpoints.push(known.unwrap_or_else(fresh));
            }
            Members::new(endpoints, &self.policy.balance)
        });
    }

    fn pick<'a>(
        &self,
        members: &'a Members,
        tried: &[PoolKey],
        draw: &Draw,
        now: BootTime,
    ) -> Option<&'a Arc<Endpoint>> {
        let endpoints = &members.endpoints;
        if let [only] = endpoints.as_slice() {
            return (!tried.contains(&only.key)).then_some(only);
        }
        // Whoever has the probe makes it, or nobody would.
        let probed = || endpoints.iter().find(|it| it.standing.probe(now));
        if let Some(probed) = tried.is_empty().then(probed).flatten() {
            return Some(probed);
        }
        let weight = |endpoint: &Endpoint| {
            let part = endpoint.standing.part(self.policy.slow_start, now);
            u64::from(endpoint.origin.weight) * part
        };
        let share = |place: usize, unwell: bool| {
            let open = |it: &&Arc<Endpoint>| {
                !tried.contains(&it.key) && (unwell || it.standing.is_well(now))
            };
            let endpoint = endpoints.get(place).filter(open);
            endpoint.map_or(0, |it| weight(it))
        };
        let chosen = self.balance(members, &|place| share(place, false), draw);
        let chosen = chosen.or_else(|| self.balance(members, &|place| share(place, true), draw));
        endpoints.get(chosen?)
    }

    fn balance(&self, members: &Members, of: &dyn Fn(usize) -> u64, draw: &Draw) -> Option<usize> {
        let count = members.endpoints.len();
        let shares = Shares { count, of };
        let load = |place: usize| members.endpoints.get(place).map_or(0, |it| it.in_flight());
        match (&self.policy.balance, draw.key) {
            (Balance::RoundRobin, _) => balance::round_robin(&shares, draw.turn),
            (Balance::RingHash(_), Some(key)) => members.ring.choose(key, |it| of(it) > 0),
            (Balance::LeastRequest | Balance::RingHash(_), _) => {
                balance::least_request(&shares, load, draw.roll)
            }
        }
    }
}

/// Who sends a request, and from where.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sender<'a> {
    pub(crate) consumer: Option<&'a ConsumerName>,
    pub(crate) address: Option<IpAddr>,
}

/// What decides between endpoints that are alike.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Draw {
    /// A number that grows by one with each request.
    pub(crate) turn: usize,
    /// Any number.
    pub(crate) roll: u64,
    /// What requests that belong together have in common.
    pub(crate) key: Option<u64>,
}

impl Members {
    fn new(endpoints: Vec<Arc<Endpoint>>, balance: &Balance) -> Self {
        let ring = match balance {
            Balance::RingHash(_) => Ring::new(
                endpoints
                    .iter()
                    .map(|it| (&*it.ring_name, it.origin.weight)),
            ),
            Balance::LeastRequest | Balance::RoundRobin => Ring::default(),
        };
        Self { endpoints, ring }
    }
}

impl Declared {
    fn claim(&self, refresh: Duration, now: BootTime) -> bool {
        let due = self.next_look_up.load(Ordering::Relaxed);
        let next = now.after(refresh).as_nanos();
        now.as_nanos() >= due
            && self
                .next_look_up
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }
}

fn tls_for(
    host: &str,
    spec: &UpstreamSpec,
    tls: &mut TlsConfigs,
    fault: impl Fn(&'static str) -> GatewayError,
) -> Result<EndpointTls, GatewayError> {
    let policy = &spec.policy.tls;
    let name = policy.sni.clone().unwrap_or_else(|| host.to_owned());
    let name = ServerName::try_from(name)
        .map_err(|_invalid| fault("its host can't stand in a certificate"))?;
    let config = tls
        .config(&spec.roots, spec.policy.protocol, policy.minimum)
        .map_err(|source| GatewayError::Roots {
            upstream: spec.name.clone(),
            source,
        })?;
    Ok(EndpointTls { config, name })
}

/// Returns a number that no other endpoint of the process has: connections to what one gateway has
/// dropped must not be taken for another's.
fn number_one() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

const LONGEST_ACQUISITION: Duration = Duration::from_secs(15);
/// More than a name has in earnest.
const MOST_ADDRESSES: usize = 64;
