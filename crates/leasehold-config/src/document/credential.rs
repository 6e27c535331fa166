//! What upstreams are shown and where it comes from, as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DurationText, JwtSourceDocument, TokenDocument};

/// What an upstream is shown.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Credential")]
pub(crate) struct CredentialDocument {
    /// Where it comes from.
    pub(crate) from: SourceDocument,
    /// Whether each consumer has one of its own: the word `consumer`, or
    /// `{ consumer: { cap: 100, idle: 10m } }`. Default: one for all of the gateway.
    pub(crate) per: Option<PerDocument>,
    /// The hosts that it may be sent to, like `payments.internal`, `*.eu.internal` or
    /// `payments.internal:8443`. An upstream elsewhere that is shown it is a fault. Default: any.
    #[schemars(length(min = 1))]
    pub(crate) hosts: Option<Vec<String>>,
}

/// Where a credential comes from: exactly one of `lease`, `static`, `certificate`, `kv`, `kv1`,
/// `path`, `oauth` and `jwt`; at the native provider, `jwt` goes with the `path` of its key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Source")]
pub(crate) struct SourceDocument {
    /// The provider's name.
    pub(crate) provider: String,
    /// Vault: a path that returns a lease, like `database/creds/orders`.
    pub(crate) lease: Option<String>,
    /// Vault: a path of an account whose password Vault changes, like
    /// `database/static-creds/orders`.
    #[serde(rename = "static")]
    pub(crate) rotating: Option<String>,
    /// Vault: a path that signs certificates, like `pki/sign/web`. The key is made in memory and is
    /// never sent. The credential has the fields `certificate`, `private_key`, `ca_chain` and
    /// `issuing_ca`, in PEM.
    pub(crate) certificate: Option<String>,
    /// Vault: a KV version 2 path as in `vault kv get`, like `kv/payments/api`. Its first
    /// segment is the mount unless `mount` says otherwise.
    pub(crate) kv: Option<String>,
    /// Vault: a KV version 1 path, mount included, like `kv1/payments/api`.
    pub(crate) kv1: Option<String>,
    /// Native: the path in the encrypted file, like `payments/api`.
    pub(crate) path: Option<String>,
    /// OAuth: what the token is asked for, like `{ scope: crm.read }`; `{}` for what the server gives
    /// by itself. The credential has the field `access_token`.
    pub(crate) oauth: Option<TokenDocument>,
    /// Vault and native: a token that is signed with a key at the provider. The credential has the field
    /// `token`.
    pub(crate) jwt: Option<JwtSourceDocument>,
    /// Vault, with `lease` or `certificate`: what the path is asked with, like
    /// `{ common_name: gateway.example.com, ttl: 24h }`. None of it may be secret.
    #[serde(default)]
    pub(crate) parameters: BTreeMap<String, String>,
    /// Vault, with `kv`: the mount, where it has more than one segment. `kv` is then the path
    /// below it, as with `vault kv get -mount`.
    pub(crate) mount: Option<String>,
    /// The field of the credential that an injected header shows.
    pub(crate) field: Option<String>,
    /// How often to look for a new value, with `kv`, `kv1` or `path`. Default: `30s` at Vault and
    /// `1s` at the native provider. At least `100ms`.
    pub(crate) poll: Option<DurationText>,
    /// With `kv`, `kv1` or `path`: how long a value may be used after the provider last confirmed
    /// it; in an outage, the route answers 503 from then on. At least twice `poll`. With `static`:
    /// how long a password may be used after it was due to change. At least `5s`.
    #[schemars(extend("default" = "1h"))]
    pub(crate) max_stale: Option<DurationText>,
}

/// For whom credentials are issued.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Per")]
pub(crate) enum PerDocument {
    /// For each consumer, within the default limits.
    Word(PerWord),
    /// For each consumer, within these limits.
    Limited(PerLimitedDocument),
}

/// The word that gives each consumer a credential of its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PerWord {
    /// For each consumer, within the default limits.
    Consumer,
}

/// For whom credentials are issued, with limits.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PerLimited")]
pub(crate) struct PerLimitedDocument {
    /// For each consumer, within these limits.
    pub(crate) consumer: PerConsumerDocument,
}

/// How many consumers may have a credential of their own, and for how long.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PerConsumer")]
pub(crate) struct PerConsumerDocument {
    /// How many consumers may have one at a time. Default: 100.
    #[schemars(range(min = 1, max = 10_000))]
    pub(crate) cap: Option<usize>,
    /// After how long without a request a consumer's own is given back. At least `1s`.
    #[schemars(extend("default" = "10m"))]
    pub(crate) idle: Option<DurationText>,
}
