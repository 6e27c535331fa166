use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::HeaderValue;
use http::uri::{Authority, Scheme};
use leasehold_model::Clock;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use url::{Host, Url};

use super::load::Load;
use super::policy::{KeepAlive, Protocol, UpstreamLimits};
use super::standing::Standing;
use crate::pool::{Bound, PoolKey, Proxy, Resolver};

/// What all addresses of one endpoint that was declared have in common.
#[derive(Debug)]
pub(crate) struct Origin {
    /// For records and logs.
    pub(crate) name: Arc<str>,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What the upstream reads as `Host`.
    pub(crate) authority: HeaderValue,
    pub(crate) scheme: Scheme,
    pub(crate) tls: Option<EndpointTls>,
    pub(crate) protocol: Protocol,
    pub(crate) keep_alive: KeepAlive,
    pub(crate) weight: u32,
    pub(crate) load: Arc<Load>,
    pub(crate) resolver: Resolver,
    /// Who makes the connections, where that is not the gateway itself.
    pub(crate) proxy: Option<Proxy>,
    /// Where the proxy is to connect to: host and port.
    pub(crate) target: String,
}

/// How to speak TLS to an endpoint.
#[derive(Debug)]
pub(crate) struct EndpointTls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

impl Origin {
    pub(super) fn parse(url: &Url, load: Arc<Load>) -> Result<Self, &'static str> {
        let scheme = match url.scheme() {
            "http" => Scheme::HTTP,
            "https" => Scheme::HTTPS,
            _ => return Err("its scheme is neither http nor https"),
        };
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
        // HTTP/2 wants it as a part of the target.
        if authority.parse::<Authority>().is_err() {
            return Err("it has no host");
        }
        let authority = HeaderValue::try_from(authority).map_err(|_invalid| "it has no host")?;
        Ok(Self {
            name: url.origin().ascii_serialization().into(),
            host: bare(&host),
            port,
            authority,
            scheme,
            tls: None,
            protocol: Protocol::Auto,
            keep_alive: KeepAlive::default(),
            weight: 1,
            load,
            resolver: Resolver::new(),
            proxy: None,
            target: format!("{host}:{port}"),
        })
    }

    /// Reads where a proxy is.
    pub(super) fn parse_proxy(url: &Url) -> Result<Proxy, &'static str> {
        let proxy = Self::parse(url, Arc::new(Load::new(UpstreamLimits::default())))?;
        match proxy.scheme == Scheme::HTTP {
            true => Ok(Proxy::new(proxy.host, proxy.port)),
            false => Err("its proxy is not http"),
        }
    }

    /// Tells whether the gateway itself has to know the addresses of the name.
    pub(super) fn wants_look_up(&self) -> bool {
        self.proxy.is_none() && self.address().is_none()
    }

    /// Returns the address, where the host is one and no name.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        let address: IpAddr = self.host.parse().ok()?;
        Some(SocketAddr::new(address, self.port))
    }
}

/// One address of an upstream, or a name whose addresses are not known yet.
#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) key: PoolKey,
    pub(crate) origin: Arc<Origin>,
    pub(crate) address: Option<SocketAddr>,
    /// Tells it apart from others in a ring.
    pub(super) ring_name: String,
    pub(crate) standing: Standing,
    in_flight: AtomicUsize,
    /// Whether its last TLS handshake has agreed on HTTP/1.1.
    alone: AtomicBool,
}

impl Endpoint {
    pub(super) fn new(endpoint: usize, origin: Arc<Origin>, address: Option<SocketAddr>) -> Self {
        let ring_name = match address {
            Some(address) => format!("{} {address}", origin.name),
            None => origin.name.to_string(),
        };
        Self {
            key: PoolKey {
                endpoint,
                identity: 0,
            },
            origin,
            address,
            ring_name,
            standing: Standing::default(),
            in_flight: AtomicUsize::new(0),
            alone: AtomicBool::new(false),
        }
    }

    /// Returns how many requests to it have no whole answer yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Tells whether its connections may each carry several requests at a time.
    pub(crate) fn may_share(&self) -> bool {
        match self.origin.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Auto => self.origin.tls.is_some() && !self.alone.load(Ordering::Relaxed),
        }
    }

    /// Writes down what a handshake has agreed on.
    pub(crate) fn agreed(&self, shares: bool) {
        self.alone.store(!shares, Ordering::Relaxed);
        if shares {
            self.origin.load.agreed_on_http2();
        }
    }
}

/// A request that is at an endpoint, from the choice of that to the end of the answer.
#[derive(Debug)]
pub(crate) struct Flight {
    endpoint: Arc<Endpoint>,
    /// Kept to the end, since its connection is closed with its last holder.
    bound: Option<Bound>,
}

impl Flight {
    /// Begins one; `None` where the upstream has as many as it may.
    pub(super) fn begin(endpoint: &Arc<Endpoint>) -> Option<Self> {
        if !endpoint.origin.load.begin_request() {
            return None;
        }
        endpoint.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            endpoint: Arc::clone(endpoint),
            bound: None,
        })
    }

    pub(crate) const fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Waits until what its connection is bound to must not be used any longer; forever where that is
    /// nothing.
    pub(crate) async fn unbound(&self, clock: &dyn Clock) {
        match &self.bound {
            Some(bound) => bound.ended(clock).await,
            None => std::future::pending().await,
        }
    }

    /// Keeps what its connection is bound to.
    pub(crate) fn bound_to(mut self, bound: Option<Bound>) -> Self {
        self.bound = bound;
        self
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.endpoint.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.endpoint.origin.load.end_request();
    }
}

/// Writes a host as sockets and certificates have it: an IPv6 address without its brackets.
fn bare(host: &Host<&str>) -> String {
    match host {
        Host::Domain(name) => (*name).to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    }
}
