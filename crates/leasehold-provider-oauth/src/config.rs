use std::io;
use std::path::PathBuf;
use std::time::Duration;

use leasehold_model::ProviderName;
use url::Url;

/// Where tokens come from, and by what the gateway proves to be the client.
///
/// Holds no secret: each is named by the field of the parent credential that it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OauthConfig {
    /// The declared name of the provider.
    pub name: ProviderName,
    /// Where tokens are asked for. What proves the client goes there and nowhere else.
    pub token_endpoint: Url,
    /// A PEM file of the authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// How long a token counts as valid whose answer does not say.
    pub default_life: Duration,
    /// The client's identifier.
    pub client_id: ClientId,
    /// How the client authenticates.
    pub method: Method,
}

/// The client's identifier, which is not secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientId {
    /// It is this one.
    Fixed(String),
    /// It is what this field of the parent holds, so that both are replaced at once.
    Field(String),
}

/// How the client authenticates at the token endpoint, by fields of the parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
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
    /// `private_key_jwt` of RFC 7523.
    PrivateKeyJwt {
        /// The field with the key, in PEM: RSA or of the curve P-256.
        key: String,
        /// By what name the server knows the key, where it has several.
        key_id: Option<String>,
    },
    /// `tls_client_auth` of RFC 8705.
    Tls {
        /// The field with the certificate, in PEM.
        certificate: String,
        /// The field with its key, in PEM.
        key: String,
        /// The field with those between it and its authority, where there are any.
        chain: Option<String>,
    },
}

impl OauthConfig {
    /// Returns the fields of the parent that a token is asked for with.
    #[must_use]
    pub fn fields(&self) -> Vec<String> {
        let id = match &self.client_id {
            ClientId::Fixed(_) => None,
            ClientId::Field(field) => Some(field),
        };
        let of_method = match &self.method {
            Method::SecretBasic { secret } | Method::SecretPost { secret } => vec![secret],
            Method::PrivateKeyJwt { key, .. } => vec![key],
            Method::Tls {
                certificate,
                key,
                chain,
            } => [certificate, key].into_iter().chain(chain).collect(),
        };
        id.into_iter().chain(of_method).cloned().collect()
    }
}

/// Why a provider could not be set up from its configuration.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The file of authorities could not be read.
    #[error("read authorities from {}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file of authorities holds none.
    #[error("no certificate in PEM form in {}", path.display())]
    CaEmpty {
        /// The file.
        path: PathBuf,
    },
    /// The HTTP client refused its settings, an authority that is no certificate among them.
    #[error("set up the http client")]
    Http {
        /// What the HTTP client said.
        #[source]
        source: reqwest::Error,
    },
}
