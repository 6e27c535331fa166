//! The systems that credentials come from, as written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{AuthDocument, DurationText, OauthClientDocument};

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
        /// What leases hang on instead of the login, so that they outlive it.
        anchor: Option<AnchorDocument>,
    },
    /// The encrypted file of this machine, kept by `leasehold native`.
    Native {
        /// The encrypted file.
        file: PathBuf,
        /// The file with its key, readable by its owner only.
        key_file: PathBuf,
    },
    /// An OAuth 2.0 authorization server, which issues access tokens to the gateway as its client.
    Oauth {
        /// Where tokens are asked for, like `https://idp.example.com/oauth/token`.
        token_endpoint: String,
        /// A file with the certificate authorities that vouch for the server, in PEM.
        /// Default: those that the system trusts.
        ca: Option<PathBuf>,
        /// How long a token counts as valid whose answer does not say. At least `1s`.
        #[schemars(extend("default" = "5m"))]
        default_life: Option<DurationText>,
        /// What proves the gateway to be the client.
        client: Box<OauthClientDocument>,
    },
}

/// What leases hang on: an orphan, periodic token.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Anchor")]
pub(crate) struct AnchorDocument {
    /// Vault's token role that anchors are made through, which makes orphans with a period.
    pub(crate) token_role: String,
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
