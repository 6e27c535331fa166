use std::path::PathBuf;
use std::time::Duration;

use leasehold_model::CredentialName;
use url::Url;

/// How an OAuth 2.0 authorization server is asked for tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oauth {
    /// Where tokens are asked for: `https`, or on this machine.
    pub token_endpoint: Url,
    /// A PEM file of the authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// How long a token counts as valid whose answer does not say.
    pub default_life: Duration,
    /// The credential that proves the client. It comes from a provider that is none of these.
    pub parent: CredentialName,
    /// The client's identifier.
    pub client_id: ClientId,
    /// How the client authenticates.
    pub method: ClientMethod,
}

/// Where a client's identifier is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientId {
    /// In the document.
    Fixed(String),
    /// In this field of the credential.
    Field(String),
}

/// How a client authenticates, by fields of its credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientMethod {
    /// `client_secret_basic`.
    SecretBasic {
        /// The field with the secret.
        secret: String,
    },
    /// `client_secret_post`.
    SecretPost {
        /// The field with the secret.
        secret: String,
    },
    /// `private_key_jwt`.
    PrivateKeyJwt {
        /// The field with the key.
        key: String,
        /// The key's name at the server.
        key_id: Option<String>,
    },
    /// `tls_client_auth`.
    Tls {
        /// The field with the certificate.
        certificate: String,
        /// The field with its key.
        key: String,
        /// The field with those between it and its authority.
        chain: Option<String>,
    },
}
