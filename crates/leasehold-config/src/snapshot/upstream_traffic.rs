use std::path::PathBuf;
use std::time::Duration;

use url::Url;

/// How an upstream is spoken to, how requests are spread over its endpoints, and what guards it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traffic {
    /// The weight of each endpoint.
    pub weights: Vec<u32>,
    /// The version of HTTP.
    pub protocol: Protocol,
    /// What it reads as the host.
    pub host: HostPolicy,
    /// Which endpoint a request goes to.
    pub balance: Balance,
    /// How much may go on at a time.
    pub limits: UpstreamLimits,
    /// How its endpoints are asked after, where they are.
    pub health: Option<HealthCheck>,
    /// When an endpoint that answers with faults is left out.
    pub outlier: Outlier,
    /// Over how long an endpoint that is well again gets its full share; zero for at once.
    pub slow_start: Duration,
    /// What becomes of connections that are not in use.
    pub keep_alive: KeepAlive,
    /// How often names are looked up.
    pub dns_refresh: Duration,
    /// How TLS is spoken.
    pub tls: UpstreamTls,
    /// The HTTP proxy that connections are made through, where there is one.
    pub proxy: Option<Url>,
}

/// The version of HTTP that an upstream is spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// What the TLS handshake agrees on; HTTP/1.1 where there is none.
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// What an upstream reads as the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPolicy {
    /// The endpoint's own authority.
    Endpoint,
    /// What the consumer has sent.
    Preserve,
    /// Always this.
    Fixed(String),
}

/// Which endpoint a request goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Balance {
    /// Of two, the one with less to do.
    LeastRequest,
    /// One after the other.
    RoundRobin,
    /// The same for all requests with the same value of this header.
    HeaderHash(String),
    /// The same for all requests of a consumer.
    ConsumerHash,
    /// The same for requests from one address.
    AddressHash,
}

/// How much may go on at an upstream at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpstreamLimits {
    /// Connections that are open, in use or not.
    pub connections: usize,
    /// Connections that are being made.
    pub pending: usize,
    /// Requests whose answer has not ended.
    pub requests: usize,
}

/// How endpoints are asked after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked for.
    pub path: String,
    /// How often.
    pub interval: Duration,
    /// How long the answer may take.
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
    /// After how many faults in a row; never where it is zero.
    pub consecutive: u32,
    /// For how long the first time.
    pub ejection: Duration,
    /// For how long at most.
    pub longest: Duration,
}

/// What becomes of connections that are not in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// How many to one endpoint each core keeps.
    pub connections: usize,
    /// For how long.
    pub idle: Duration,
    /// How old a connection may become.
    pub age: Duration,
}

/// How TLS is spoken to the endpoints of an upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTls {
    /// The name that is asked for, where it is not the endpoint's host.
    pub sni: Option<String>,
    /// Whether TLS 1.2 is refused.
    pub only_tls13: bool,
    /// The files with what the gateway shows, where it shows anything from files.
    pub client: Option<ClientFiles>,
}

/// Files with a certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}
