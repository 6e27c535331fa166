//! Where requests are accepted, as written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::DurationText;

/// An address that requests are accepted on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Listener")]
pub(crate) struct ListenerDocument {
    /// IP address and port, like `0.0.0.0:8080` or `[::]:8080`, or a Unix socket, like
    /// `unix:/run/leasehold/public.sock`.
    pub(crate) address: String,
    /// The mode of the Unix socket, in octal digits.
    #[schemars(extend("default" = "0660"))]
    pub(crate) mode: Option<String>,
    /// The certificates that it shows. Without them it speaks in the clear.
    pub(crate) tls: Option<ListenerTlsDocument>,
    /// Whether HTTP/2 is spoken: with TLS where the client chooses it, in the clear by prior knowledge.
    /// Default: `true` with `tls`, `false` without.
    pub(crate) http2: Option<bool>,
    /// Whether each connection begins with a PROXY header, version 1 or 2. Goes with `trusted`.
    /// Default: `false`.
    pub(crate) proxy_protocol: Option<bool>,
    /// The networks that may send PROXY headers, like `10.0.0.0/8`. Others are not served. A Unix socket
    /// needs none.
    #[schemars(length(min = 1))]
    pub(crate) trusted: Option<Vec<String>>,
    /// What its connections may take up.
    pub(crate) limits: Option<LimitsDocument>,
}

/// The TLS of a listener: `certificate` and `key`, or `certificates`. Files are looked at every few
/// seconds, and used once all of them are good.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ListenerTls")]
pub(crate) struct ListenerTlsDocument {
    /// A file with the certificate and those between it and its authority, in PEM.
    pub(crate) certificate: Option<PathBuf>,
    /// A file with the certificate's private key, in PEM, readable by its owner only.
    pub(crate) key: Option<PathBuf>,
    /// Several certificates, of which the client's host name chooses one, and the first where it
    /// chooses none.
    #[schemars(length(min = 1))]
    pub(crate) certificates: Option<Vec<CertificateDocument>>,
    /// The least version of TLS.
    pub(crate) min_version: Option<TlsVersionWord>,
    /// What clients must prove. Default: nothing.
    pub(crate) client: Option<ClientTlsDocument>,
}

/// A certificate and its key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ListenerCertificate")]
pub(crate) struct CertificateDocument {
    /// A file with the certificate and those between it and its authority, in PEM.
    pub(crate) certificate: PathBuf,
    /// A file with the certificate's private key, in PEM, readable by its owner only.
    pub(crate) key: PathBuf,
}

/// A version of TLS. Default: `"1.2"`.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub(crate) enum TlsVersionWord {
    /// TLS 1.2, and 1.3 where the client speaks it.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 alone.
    #[serde(rename = "1.3")]
    Tls13,
}

/// Certificates that clients prove themselves with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ClientTls")]
pub(crate) struct ClientTlsDocument {
    /// A file with the authorities that vouch for clients, in PEM.
    pub(crate) ca: PathBuf,
    /// Files with lists of revoked certificates, in PEM. Where there is one, every authority of a
    /// client's chain needs one.
    pub(crate) crl: Option<Vec<PathBuf>>,
    /// Whether a client without a certificate is refused. Default: `true`.
    pub(crate) required: Option<bool>,
}

/// What the connections of a listener may take up.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Limits")]
pub(crate) struct LimitsDocument {
    /// How many connections each worker keeps at this listener. One more is answered 503 and closed.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 10000))]
    pub(crate) connections: Option<usize>,
    /// How many requests a connection carries before it is closed in order.
    #[schemars(range(min = 1, max = 1_000_000_000), extend("default" = 100_000))]
    pub(crate) requests_per_connection: Option<u64>,
    /// How many header lines a request may have.
    #[schemars(range(min = 1, max = 10000), extend("default" = 100))]
    pub(crate) headers: Option<usize>,
    /// How many bytes the head of a request may have.
    #[schemars(range(min = 8192, max = 1_048_576), extend("default" = 65536))]
    pub(crate) head_size: Option<usize>,
    /// How long a head may take from its first byte on, and a TLS handshake and a PROXY header.
    #[schemars(extend("default" = "10s"))]
    pub(crate) head_timeout: Option<DurationText>,
    /// How long a connection may be idle.
    #[schemars(extend("default" = "75s"))]
    pub(crate) idle_timeout: Option<DurationText>,
    /// How long a client may owe the next part of a request's body, or not take the next part of its
    /// answer.
    #[schemars(extend("default" = "60s"))]
    pub(crate) body_timeout: Option<DurationText>,
    /// How many bytes a second a client must send of a body, and take of an answer, while it is waited
    /// for; 0 for any number.
    #[schemars(range(min = 0, max = 1_000_000_000), extend("default" = 240))]
    pub(crate) minimum_rate: Option<u64>,
    /// How far a client may fall behind the minimum rate.
    #[schemars(extend("default" = "60s"))]
    pub(crate) rate_grace: Option<DurationText>,
    /// How many bytes the body of a request may have.
    #[schemars(range(min = 0), extend("default" = 1_073_741_824))]
    pub(crate) body_size: Option<u64>,
    /// How many requests a connection of HTTP/2 carries at a time.
    #[schemars(range(min = 1, max = 10000), extend("default" = 100))]
    pub(crate) concurrent_streams: Option<u32>,
    /// How many bytes a client may send ahead on a stream of HTTP/2.
    #[schemars(range(min = 65_535, max = 16_777_216), extend("default" = 65536))]
    pub(crate) stream_window: Option<u32>,
    /// How many bytes a client may send ahead on a connection of HTTP/2.
    #[schemars(range(min = 65_535, max = 268_435_456), extend("default" = 1_048_576))]
    pub(crate) connection_window: Option<u32>,
}
