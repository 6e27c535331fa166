//! Where credentials come from, as written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{AuthDocument, DurationText};

/// A system that keeps or issues credentials.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[schemars(rename = "Provider")]
pub(crate) enum ProviderDocument {
    /// HashiCorp Vault or OpenBao.
    Vault {
        /// One address or several of one cluster, like `https://vault-1:8200`.
        address: OneOrMany,
        /// The Vault namespace that everything is asked for in.
        namespace: Option<String>,
        /// A file with the certificate authorities that vouch for the provider, in PEM.
        /// Default: those that the system trusts.
        ca: Option<PathBuf>,
        /// How the gateway logs in.
        auth: Box<AuthDocument>,
    },
    /// The encrypted file of this machine, kept by `leasehold native`.
    Native {
        /// The encrypted file.
        file: PathBuf,
        /// The file with its key, readable by its owner only.
        key_file: PathBuf,
    },
}

/// What an upstream is shown.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Credential")]
pub(crate) struct CredentialDocument {
    /// Where it comes from.
    pub(crate) from: SourceDocument,
}

/// Where a credential comes from: exactly one of `lease`, `kv` and `path`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Source")]
pub(crate) struct SourceDocument {
    /// The provider's name.
    pub(crate) provider: String,
    /// Vault: a path that returns a lease, like `database/creds/orders`.
    pub(crate) lease: Option<String>,
    /// Vault: a KV version 2 path as in `vault kv get`, like `kv/payments/api`. Its first
    /// segment is the mount unless `mount` says otherwise.
    pub(crate) kv: Option<String>,
    /// Native: the path in the encrypted file, like `payments/api`.
    pub(crate) path: Option<String>,
    /// Vault, with `kv`: the mount, where it has more than one segment. `kv` is then the path
    /// below it, as with `vault kv get -mount`.
    pub(crate) mount: Option<String>,
    /// The field of the credential that an injected header shows.
    pub(crate) field: Option<String>,
    /// How often to look for a new version, with `kv` or `path`. Default: `30s` at Vault and
    /// `1s` at the native provider. At least `100ms`.
    pub(crate) poll: Option<DurationText>,
    /// How long a value may be used after the provider last confirmed it, with `kv` or `path`: in
    /// an outage, the route answers 503 from then on. At least twice `poll`.
    #[schemars(extend("default" = "1h"))]
    pub(crate) max_stale: Option<DurationText>,
}

/// One text or a list of texts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(#[schemars(length(min = 1))] Vec<String>),
}
