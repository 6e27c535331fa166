use std::path::PathBuf;
use std::time::Duration;

use leasehold_model::IssuerName;
use url::Url;

/// Somebody whose tokens tell who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenIssuer {
    /// Its name here.
    pub name: IssuerName,
    /// What its tokens have as `iss`.
    pub identifier: String,
    /// Its keys.
    pub keys: Jwks,
    /// Whom its tokens are for; at least one.
    pub audiences: Vec<String>,
    /// How its tokens may be signed, by the names of RFC 7518; at least one.
    pub algorithms: Vec<&'static str>,
    /// How far its clock may be from ours.
    pub clock_skew: Duration,
    /// The header that its tokens come in, in small letters; not that of the consumer keys.
    pub header: String,
    /// How many bytes a token has at most.
    pub max_token_size: usize,
}

/// The keys of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwks {
    /// Where they are.
    pub from: JwksSource,
    /// How often to look for new ones.
    pub refresh: Duration,
    /// How long they are used after they were last confirmed.
    pub max_stale: Duration,
}

/// Where keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwksSource {
    /// In a file.
    File(PathBuf),
    /// At a URL.
    Url {
        /// The URL: `https`, or on this machine itself.
        url: Url,
        /// A PEM file of the authorities to trust instead of the system's.
        ca: Option<PathBuf>,
    },
}

/// The headers in which upstreams are told who calls, in small letters, no two of them alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// Holds the consumer's name.
    pub consumer: Option<String>,
    /// Holds the token's subject.
    pub subject: Option<String>,
    /// Holds the name of the token's issuer.
    pub issuer: Option<String>,
    /// Holds what the consumer may do.
    pub scopes: Option<String>,
    /// Holds how the consumer is known.
    pub authenticated_by: Option<String>,
}

impl IdentityHeaders {
    /// Returns the headers that there are, each with its field.
    pub(crate) fn named(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let all = [
            ("consumer", &self.consumer),
            ("subject", &self.subject),
            ("issuer", &self.issuer),
            ("scopes", &self.scopes),
            ("authenticated_by", &self.authenticated_by),
        ];
        all.into_iter()
            .filter_map(|(field, name)| Some((field, name.as_deref()?)))
    }
}
