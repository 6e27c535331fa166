use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use leasehold_model::ListenerName;

use super::tls::ListenerTls;

/// Where and how requests are accepted.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerSpec {
    /// The listener's name.
    pub name: ListenerName,
    /// Where it listens.
    pub address: ListenerAddress,
    /// Its certificates; without them it speaks in the clear.
    pub tls: Option<ListenerTls>,
    /// Whether it speaks HTTP/2: as the client chooses by ALPN with TLS, by prior knowledge without.
    pub http2: bool,
    /// Who may say, in a PROXY header that each connection then begins with, whom it comes from.
    pub proxy_protocol: Option<Trusted>,
    /// What its connections may take up.
    pub limits: Limits,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerAddress {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix {
        /// Its file.
        path: PathBuf,
        /// The mode of its file.
        mode: u32,
    },
}

impl ListenerAddress {
    /// Returns the IP address and the port, where it has them.
    #[must_use]
    pub const fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address) => Some(*address),
            Self::Unix { .. } => None,
        }
    }
}

impl From<SocketAddr> for ListenerAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl fmt::Display for ListenerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

/// The networks whose word is taken for who a client is. Whoever reaches a Unix socket is trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted(pub Vec<IpNet>);

impl Trusted {
    pub(super) fn trusts(&self, peer: Option<SocketAddr>) -> bool {
        peer.is_none_or(|peer| {
            // An IPv4 peer of a socket for both has an address of IPv6.
            let address = peer.ip().to_canonical();
            self.0.iter().any(|network| network.contains(&address))
        })
    }
}

/// What the connections of one listener may take up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that each worker keeps at the listener. One more is answered 503 and closed.
    pub connections: usize,
    /// Requests on one connection, after which it is closed in order.
    pub requests: u64,
    /// Header lines in one head.
    pub headers: usize,
    /// Bytes in one head.
    pub head_size: usize,
    /// For a head, from its first byte on; for a TLS handshake and for a PROXY header too.
    pub head_timeout: Duration,
    /// For a connection on which nothing is asked.
    pub idle_timeout: Duration,
    /// For the next part of a request's body, and for a client to take the next part of its answer.
    pub body_timeout: Duration,
    /// How fast a client must be at least.
    pub pace: Pace,
    /// Bytes in the body of a request.
    pub body_size: u64,
    /// Requests at a time on one connection of HTTP/2.
    pub streams: u32,
    /// What a client may send on a stream of HTTP/2 before it was taken, in bytes.
    pub stream_window: u32,
    /// The same, for all streams of a connection.
    pub connection_window: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            requests: 100_000,
            headers: 100,
            head_size: 64 * 1024,
            head_timeout: Duration::from_secs(10),
            // Longer than the minute that balancers keep a connection idle: whoever closes first must
            // be the side that sends, or a request crosses the end of its connection.
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(60),
            pace: Pace::default(),
            body_size: 1 << 30,
            streams: 100,
            stream_window: 64 * 1024,
            connection_window: 1024 * 1024,
        }
    }
}

/// How fast a client must be at least, in what it sends and in what it takes.
///
/// Only the time in which the gateway waits for the client counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Bytes in a second; 0 where any pace will do.
    pub rate: u64,
    /// How long a client may be behind that.
    pub grace: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            rate: 240,
            grace: Duration::from_secs(60),
        }
    }
}
