use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use leasehold_model::ListenerName;

/// An address that requests are accepted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name.
    pub name: ListenerName,
    /// Its address.
    pub address: ListenerAddress,
    /// Its certificates, where it speaks TLS.
    pub tls: Option<ListenerTls>,
    /// Whether HTTP/2 is spoken.
    pub http2: bool,
    /// Who may send the PROXY headers that its connections begin with, where they do.
    pub proxy_protocol: Option<Vec<IpNet>>,
    /// What its connections may take up.
    pub limits: Limits,
}

/// Where a listener listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenerAddress {
    /// An IP address and a port; with port 0, the system chooses one.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix {
        /// Its file.
        path: PathBuf,
        /// The mode of its file.
        mode: u32,
    },
}

/// The TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// Its certificates, at least one, the default first.
    pub certificates: Vec<CertificateFiles>,
    /// Whether TLS 1.2 is spoken beside TLS 1.3.
    pub tls12: bool,
    /// What clients must prove, where they must prove anything.
    pub client: Option<ClientTls>,
}

/// The files of a certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    /// The certificate and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What clients must prove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTls {
    /// The file with the authorities that vouch for them.
    pub ca: PathBuf,
    /// The files with the lists of revoked certificates.
    pub crls: Vec<PathBuf>,
    /// Whether a client without a certificate is refused.
    pub required: bool,
}

/// What the connections of a listener may take up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections that each worker keeps.
    pub connections: usize,
    /// Requests on one connection.
    pub requests: u64,
    /// Header lines in one head.
    pub headers: usize,
    /// Bytes in one head.
    pub head_size: usize,
    /// For a head, a TLS handshake, a PROXY header.
    pub head_timeout: Duration,
    /// For a connection on which nothing is asked.
    pub idle_timeout: Duration,
    /// For the next part of a body, either way.
    pub body_timeout: Duration,
    /// Bytes a second that a client must send or take; 0 for any number.
    pub minimum_rate: u64,
    /// How far a client may fall behind that.
    pub rate_grace: Duration,
    /// Bytes in the body of a request.
    pub body_size: u64,
    /// Requests at a time on one connection of HTTP/2.
    pub streams: u32,
    /// Bytes that may be sent ahead on a stream of HTTP/2.
    pub stream_window: u32,
    /// The same, on a connection.
    pub connection_window: u32,
}
