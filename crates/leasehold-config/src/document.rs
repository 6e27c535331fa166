//! The document as written: its shape is stated here once, and its JSON Schema is made from it.
//!
//! The doc comments here are the descriptions that editors show, so they speak to the
//! operator. What is optional here gets its default in `validate`.

mod auth;
mod consumer;
mod credential;
mod issuer;
mod jwt;
mod limit;
mod listener;
mod oauth;
mod provider;
mod route;
mod signing;
mod telemetry;
mod upstream;
mod upstream_traffic;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use auth::{
    AppRoleDocument, AuthDocument, AwsCredentialsDocument, AwsCredentialsWord, AwsDocument,
    CertDocument, JwtDocument, KubernetesDocument, SecretIdDocument,
};
pub(crate) use consumer::{
    ConsumerCertificateDocument, ConsumerDocument, ConsumerKeyDocument, ConsumerTokenDocument,
};
pub(crate) use credential::{CredentialDocument, PerConsumerDocument, PerDocument, SourceDocument};
pub(crate) use issuer::{
    AlgorithmWord, IdentityHeadersDocument, JwksDocument, TokenIssuerDocument,
};
pub(crate) use jwt::{JwtAlgorithmWord, JwtSourceDocument};
pub(crate) use limit::{
    ConcurrencyLimitDocument, LimitPerDocument, LimitPerWord, RateLimitDocument,
};
pub(crate) use listener::{
    CertificateDocument, ClientTlsDocument, LimitsDocument, ListenerDocument, ListenerTlsDocument,
    TlsVersionWord,
};
pub(crate) use oauth::{OauthClientDocument, OauthMethodWord, TokenDocument};
pub(crate) use provider::{AnchorDocument, OneOrMany, ProviderDocument};
pub(crate) use route::{
    AdmissionDocument, AdmissionWord, CorsDocument, DotSegmentsWord, EncodedSlashesWord,
    HeaderEditsDocument, HeaderTestDocument, MatchDocument, MirrorDocument, OriginsDocument,
    OriginsWord, PathDocument, PathKindDocument, PathPolicyDocument, RedirectDocument,
    ReflectionWord, RetryDocument, RewriteDocument, RouteDocument, RouteLimitsDocument,
    RouteTimeoutsDocument, UpgradeWord, WeightedDocument,
};
pub(crate) use signing::{
    HmacDocument, HmacWord, KeyEncodingWord, MessageAlgorithmWord, MessageSignatureDocument,
    PayloadWord, SigV4Document, SignedHeaderDocument, TimestampWord,
};
pub(crate) use telemetry::TelemetryDocument;
pub(crate) use upstream::{
    BasicDocument, ClientCertificateDocument, CredentialUseDocument, EncodingWord,
    InjectionDocument, SelectorDocument, SuspectDocument, TimeoutsDocument, UpstreamDocument,
};
pub(crate) use upstream_traffic::{
    BalanceDocument, BalanceWord, DnsDocument, EndpointDocument, HashKeyDocument, HashKeyWord,
    HealthDocument, KeepAliveDocument, OutlierDocument, ProtocolDocument, UpstreamLimitsDocument,
    UpstreamTlsDocument, UpstreamTlsVersionDocument,
};

/// The configuration of one Leasehold gateway.
///
/// It holds addresses, names and references. A secret value in it is a fault.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
// These fields are required. They have stand-ins for the sake of documents that lack one: the
// rest of such a document is still looked at.
#[schemars(
    title = "Leasehold configuration",
    extend("required" = ["instance", "listeners", "upstreams", "routes"])
)]
pub(crate) struct Document {
    /// Names this gateway process in records and at the providers.
    pub(crate) instance: Option<String>,
    /// How many cores serve requests, one runtime each. Default: one for each core of the machine.
    #[schemars(range(min = 1, max = 1024))]
    pub(crate) workers: Option<usize>,
    /// Where requests are accepted, by listener name.
    #[serde(default)]
    #[schemars(extend("minProperties" = 1))]
    pub(crate) listeners: BTreeMap<String, ListenerDocument>,
    /// Where `/livez`, `/readyz` and `/metrics` are served.
    pub(crate) admin: Option<AdminDocument>,
    /// Where access records are written.
    pub(crate) access_record: Option<AccessRecordDocument>,
    /// Where traces and logs are sent. Default: nowhere.
    pub(crate) telemetry: Option<TelemetryDocument>,
    /// Where the leases that are held are written down, without what they are for.
    pub(crate) ledger: Option<LedgerDocument>,
    /// How long the parts of a shutdown may take.
    pub(crate) shutdown: Option<ShutdownDocument>,
    /// The request header that carries the consumer key.
    #[schemars(extend("default" = "x-api-key"))]
    pub(crate) consumer_key_header: Option<String>,
    /// Whose tokens tell who calls, by issuer name.
    #[serde(default)]
    pub(crate) token_issuers: BTreeMap<String, TokenIssuerDocument>,
    /// The headers in which upstreams are told who calls. Default: none.
    pub(crate) identity_headers: Option<IdentityHeadersDocument>,
    /// The systems that keep or issue credentials, by provider name.
    #[serde(default)]
    pub(crate) providers: BTreeMap<String, ProviderDocument>,
    /// What upstreams are shown, by credential name.
    #[serde(default)]
    pub(crate) credentials: BTreeMap<String, CredentialDocument>,
    /// The services that requests are forwarded to, by upstream name.
    #[serde(default)]
    #[schemars(extend("minProperties" = 1))]
    pub(crate) upstreams: BTreeMap<String, UpstreamDocument>,
    /// Who may call, by consumer name.
    #[serde(default)]
    pub(crate) consumers: BTreeMap<String, ConsumerDocument>,
    /// How many requests of a caller may come in a time, by limit name. Routes name the limits that they
    /// have.
    #[serde(default)]
    pub(crate) rate_limits: BTreeMap<String, RateLimitDocument>,
    /// How many requests of a caller may be under way at a time, by limit name. Routes name the limits
    /// that they have.
    #[serde(default)]
    pub(crate) concurrency_limits: BTreeMap<String, ConcurrencyLimitDocument>,
    /// What is done about paths that two servers may read differently.
    pub(crate) path_policy: Option<PathPolicyDocument>,
    /// Which requests go to which upstream. Of several routes that take a request, the one with the
    /// more exact host wins, then the one with the more exact path, then the one with more
    /// conditions, then the first.
    #[serde(default)]
    #[schemars(length(min = 1))]
    pub(crate) routes: Vec<RouteDocument>,
}

/// The admin listener.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Admin")]
pub(crate) struct AdminDocument {
    /// IP address and port.
    #[schemars(extend("default" = "127.0.0.1:9901"))]
    pub(crate) address: Option<String>,
    /// A Unix socket for the operator's commands, which the gateway makes for its own user alone.
    /// Default: none.
    pub(crate) socket: Option<PathBuf>,
}

/// The durable list of the leases that are held. It holds no secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Ledger")]
pub(crate) struct LedgerDocument {
    /// The file that it is kept in, made where there is none. One process at a time has it open.
    pub(crate) file: PathBuf,
}

/// Where access records go: one JSON line a request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "AccessRecord")]
pub(crate) struct AccessRecordDocument {
    /// The word `stdout`, `{ file: PATH }`, or `{ syslog: … }`.
    #[schemars(extend("default" = "stdout"))]
    pub(crate) to: Option<AccessRecordTarget>,
}

/// The word `stdout`, a file, or a syslog server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum AccessRecordTarget {
    /// Standard output.
    Word(RecordWord),
    /// A file or a syslog server.
    Sink(SinkDocument),
}

/// The word for standard output.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RecordWord {
    /// Standard output.
    Stdout,
}

/// A file or a syslog server: exactly one of `file` and `syslog`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RecordSink")]
pub(crate) struct SinkDocument {
    /// A file that lines are appended to.
    pub(crate) file: Option<PathBuf>,
    /// A syslog server, which is sent each line as a message of RFC 5424.
    pub(crate) syslog: Option<SyslogDocument>,
}

/// Where a syslog server listens: exactly one of `unix` and `tcp`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Syslog")]
pub(crate) struct SyslogDocument {
    /// A Unix socket, of datagrams or a stream, such as `/dev/log`.
    pub(crate) unix: Option<PathBuf>,
    /// A host and port, over TCP without TLS.
    pub(crate) tcp: Option<String>,
}

/// How long the parts of a shutdown may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Shutdown")]
pub(crate) struct ShutdownDocument {
    /// How long requests in flight may go on.
    #[schemars(extend("default" = "30s"))]
    pub(crate) drain: Option<DurationText>,
    /// How long giving leases back may take.
    #[schemars(extend("default" = "10s"))]
    pub(crate) revoke: Option<DurationText>,
}

/// A span of time: a whole number and its unit, `ms`, `s`, `m` or `h`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(rename = "Duration")]
pub(crate) struct DurationText(
    #[schemars(regex(pattern = r"^[0-9]{1,9}(ms|s|m|h)$"))] pub(crate) String,
);

/// A number of bytes: a whole number and its unit, `B`, `KiB`, `MiB` or `GiB`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(rename = "Size")]
pub(crate) struct SizeText(
    #[schemars(regex(pattern = r"^[0-9]{1,9}(B|KiB|MiB|GiB)$"))] pub(crate) String,
);
