use std::time::Duration;

use http::{HeaderName, HeaderValue};
use url::Url;

use super::badge::ClientFiles;

/// How an upstream is spoken to, how requests are spread over its endpoints, and what guards it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpstreamPolicy {
    /// The version of HTTP.
    pub protocol: Protocol,
    /// What the upstream reads as the host.
    pub host: HostPolicy,
    /// Which endpoint a request goes to.
    pub balance: Balance,
    /// The weight of each endpoint, in their order; those beyond the list have 1.
    pub weights: Vec<u32>,
    /// How much may go on at a time.
    pub limits: UpstreamLimits,
    /// How the endpoints are asked after, where they are.
    pub health: Option<HealthCheck>,
    /// When an endpoint that answers with faults is left out.
    pub outlier: Outlier,
    /// Over how long an endpoint that is well again gets its full share; zero for at once.
    pub slow_start: Duration,
    /// What becomes of connections that are not in use.
    pub keep_alive: KeepAlive,
    /// How often names are looked up.
    pub refresh: Refresh,
    /// How TLS is spoken to `https` endpoints.
    pub tls: TlsPolicy,
    /// The HTTP proxy that makes the connections, by `CONNECT`.
    pub proxy: Option<Url>,
}

/// How TLS is spoken to the endpoints of an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsPolicy {
    /// The name that is asked for and that the certificate must be for, instead of the endpoint's host.
    pub sni: Option<String>,
    /// The oldest version that is spoken.
    pub minimum: TlsVersion,
    /// What the gateway shows, where that is no credential on lease.
    pub client: Option<ClientFiles>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    Tls12,
    /// TLS 1.3.
    Tls13,
}

/// The version of HTTP that an upstream is spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What the TLS handshake agrees on; HTTP/1.1 where there is none.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, on an `http` endpoint by prior knowledge.
    Http2,
}

/// What an upstream reads as the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostPolicy {
    /// The endpoint's own authority.
    #[default]
    Endpoint,
    /// What the consumer has sent.
    Preserve,
    /// Always the same.
    Fixed(HeaderValue),
}

/// Which endpoint a request goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// Of two that are drawn by weight, the one with fewer requests for its weight.
    #[default]
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// The same for the same key, as far as it is well.
    RingHash(HashKey),
}

/// What requests that belong together have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// The value of a header.
    Header(HeaderName),
    /// Who sends them.
    Consumer,
    /// Where they come from.
    Address,
}

/// How much may go on at an upstream at a time. A request beyond is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamLimits {
    /// Connections that are open, in use or not.
    pub connections: usize,
    /// Connections that are being made.
    pub pending: usize,
    /// Requests whose answer has not ended.
    pub requests: usize,
}

impl Default for UpstreamLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            pending: 1024,
            requests: 8192,
        }
    }
}

/// How endpoints are asked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked for, from its first slash.
    pub path: String,
    /// How often.
    pub interval: Duration,
    /// How long the answer may take, the connection included.
    pub timeout: Duration,
    /// How many good answers in a row make an endpoint well again.
    pub healthy: u32,
    /// How many bad ones in a row make it unwell.
    pub unhealthy: u32,
    /// The one status that is good.
    pub status: u16,
}

/// When an endpoint is left out for a time because of its answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outlier {
    /// After how many faults in a row, 5xx or none at all; never where it is zero.
    pub consecutive: u32,
    /// For how long the first time; each further time as long again.
    pub ejection: Duration,
    /// For how long at most.
    pub longest: Duration,
}

impl Default for Outlier {
    fn default() -> Self {
        Self {
            consecutive: 5,
            ejection: Duration::from_secs(30),
            longest: Duration::from_secs(300),
        }
    }
}

/// What becomes of connections that are not in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// How many to one endpoint each core keeps.
    pub connections: usize,
    /// For how long.
    pub idle: Duration,
    /// How old a connection may become before it takes no more requests.
    pub age: Duration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self {
            connections: 256,
            // Less than the 5 s after which Node, uvicorn and Apache close a connection that they
            // hear nothing on.
            idle: Duration::from_secs(4),
            age: Duration::from_secs(3600),
        }
    }
}

/// How often names are looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refresh(pub Duration);

impl Default for Refresh {
    fn default() -> Self {
        Self(Duration::from_secs(30))
    }
}
