//! How an upstream is spoken to and how requests are spread over it, as written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::DurationText;

/// One endpoint: its URL, or its URL and its weight.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Endpoint")]
pub(crate) enum EndpointDocument {
    /// Its URL.
    Url(String),
    /// Its URL and its weight.
    Weighted(WeightedEndpointDocument),
}

/// An endpoint that gets another share than its neighbours.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "WeightedEndpoint")]
pub(crate) struct WeightedEndpointDocument {
    /// Scheme, host and port.
    pub(crate) url: String,
    /// Its share of the requests, beside those of the others.
    #[schemars(range(min = 1, max = 128), extend("default" = 1))]
    pub(crate) weight: Option<u32>,
}

/// The version of HTTP that an upstream is spoken to in.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Protocol")]
pub(crate) enum ProtocolDocument {
    Auto,
    Http1,
    Http2,
}

/// Which endpoint a request goes to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Balance")]
pub(crate) enum BalanceDocument {
    /// One that has little to do, or one after the other.
    Word(BalanceWord),
    /// The same for requests that belong together.
    Ring(RingDocument),
}

/// How endpoints that are alike are chosen from.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum BalanceWord {
    LeastRequest,
    RoundRobin,
}

/// Requests that belong together go to the same endpoint, as far as it is well.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Ring")]
pub(crate) struct RingDocument {
    /// What they have in common: the word `consumer` or `client_address`, or `{ header: NAME }`.
    pub(crate) ring_hash: HashKeyDocument,
}

/// What requests that belong together have in common.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "HashKey")]
pub(crate) enum HashKeyDocument {
    /// Who sends them, or from where.
    Word(HashKeyWord),
    /// The value of a header.
    Header(HashHeaderDocument),
}

/// What requests that belong together have in common.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HashKeyWord {
    /// The consumer.
    Consumer,
    /// The address that they come from.
    ClientAddress,
}

/// A header whose value requests that belong together have in common.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HashHeader")]
pub(crate) struct HashHeaderDocument {
    /// The header's name. A request without it goes to any endpoint.
    pub(crate) header: String,
}

/// How much may go on at an upstream at a time, over all cores.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UpstreamLimits")]
pub(crate) struct UpstreamLimitsDocument {
    /// Connections that are open, in use or not.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 4096))]
    pub(crate) connections: Option<usize>,
    /// Connections that are being made.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 1024))]
    pub(crate) pending: Option<usize>,
    /// Requests whose answer has not ended.
    #[schemars(range(min = 1, max = 1_000_000), extend("default" = 8192))]
    pub(crate) requests: Option<usize>,
}

/// How endpoints are asked after.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Health")]
pub(crate) struct HealthDocument {
    /// What is asked for, without any credential.
    #[schemars(regex(pattern = "^/"))]
    pub(crate) path: String,
    /// How often.
    #[schemars(extend("default" = "10s"))]
    pub(crate) interval: Option<DurationText>,
    /// How long the answer may take, the connection included.
    #[schemars(extend("default" = "2s"))]
    pub(crate) timeout: Option<DurationText>,
    /// How many good answers in a row make an endpoint well again.
    #[schemars(range(min = 1, max = 100), extend("default" = 2))]
    pub(crate) healthy: Option<u32>,
    /// How many bad ones in a row make it unwell.
    #[schemars(range(min = 1, max = 100), extend("default" = 3))]
    pub(crate) unhealthy: Option<u32>,
    /// The one status that is good.
    #[schemars(range(min = 200, max = 599), extend("default" = 200))]
    pub(crate) status: Option<u16>,
}

/// When an endpoint is left out for a time because of its answers. At most half of an upstream's
/// endpoints are.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Outlier")]
pub(crate) struct OutlierDocument {
    /// After how many faults in a row, 5xx or no answer; 0 for never.
    #[schemars(range(max = 1000), extend("default" = 5))]
    pub(crate) consecutive: Option<u32>,
    /// For how long the first time; each further time as long again.
    #[schemars(extend("default" = "30s"))]
    pub(crate) ejection: Option<DurationText>,
    /// For how long at most.
    #[schemars(extend("default" = "5m"))]
    pub(crate) longest: Option<DurationText>,
}

/// What becomes of connections that are not in use.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "KeepAlive")]
pub(crate) struct KeepAliveDocument {
    /// How many to one endpoint each core keeps.
    #[schemars(range(max = 100_000), extend("default" = 256))]
    pub(crate) connections: Option<usize>,
    /// For how long: less than the upstream does. An HTTP/2 connection is kept for a minute at least.
    #[schemars(extend("default" = "4s"))]
    pub(crate) idle: Option<DurationText>,
    /// How old a connection may become before it takes no more requests.
    #[schemars(extend("default" = "1h"))]
    pub(crate) age: Option<DurationText>,
}

/// How names are looked up.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Dns")]
pub(crate) struct DnsDocument {
    /// How often, from 5 seconds to 5 minutes. Where a name can't be looked up its last addresses stay.
    #[schemars(extend("default" = "30s"))]
    pub(crate) refresh: Option<DurationText>,
}

/// How TLS is spoken to the endpoints of an upstream.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UpstreamTls")]
pub(crate) struct UpstreamTlsDocument {
    /// The name that is asked for and that the certificate must be for. Default: the endpoint's host.
    pub(crate) sni: Option<String>,
    /// The oldest version that is spoken: `1.2` or `1.3`, in quotes. Default: `1.2`.
    pub(crate) min_version: Option<UpstreamTlsVersionDocument>,
    /// A certificate from files that the gateway shows. One that is held on lease is a credential with
    /// `inject: { client_certificate: {} }`.
    pub(crate) client: Option<ClientFilesDocument>,
}

/// Files with a certificate and its key. They are read again when they change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ClientFiles")]
pub(crate) struct ClientFilesDocument {
    /// The file with the certificate and those between it and its authority, in PEM.
    pub(crate) certificate: PathBuf,
    /// The file with its private key, in PEM and not encrypted.
    pub(crate) key: PathBuf,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "UpstreamTlsVersion")]
pub(crate) enum UpstreamTlsVersionDocument {
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}
