//! Who may call, as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Somebody who may call: by at least one of `keys`, `tokens` and `certificates`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Consumer")]
pub(crate) struct ConsumerDocument {
    /// Digests of the keys that the consumer may show.
    #[schemars(length(min = 1))]
    pub(crate) keys: Option<Vec<ConsumerKeyDocument>>,
    /// Which tokens are the consumer's.
    #[schemars(length(min = 1))]
    pub(crate) tokens: Option<Vec<ConsumerTokenDocument>>,
    /// Which client certificates are the consumer's, among those that the listener's authorities vouch for.
    #[schemars(length(min = 1))]
    pub(crate) certificates: Option<Vec<ConsumerCertificateDocument>>,
    /// What the consumer may do when known by a key or a certificate. A token has its own.
    #[schemars(length(min = 1))]
    pub(crate) scopes: Option<Vec<String>>,
}

/// A consumer key, known by its digest only.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConsumerKey")]
pub(crate) struct ConsumerKeyDocument {
    /// The SHA-256 of the key in hexadecimal: `printf %s "$KEY" | sha256sum`.
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{64}$"))]
    pub(crate) sha256: String,
}

/// Tokens of one issuer, by `subject`, by `claims` or by both.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConsumerToken")]
pub(crate) struct ConsumerTokenDocument {
    /// The issuer's name under `token_issuers`.
    pub(crate) issuer: String,
    /// What the token has as `sub`.
    pub(crate) subject: Option<String>,
    /// What other claims of the token are, each of them a text.
    #[serde(default)]
    pub(crate) claims: BTreeMap<String, String>,
}

/// A client certificate, by exactly one of these. Compared as a whole, character by character.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConsumerCertificate")]
pub(crate) struct ConsumerCertificateDocument {
    /// A URI among its subject's alternative names, such as a SPIFFE id.
    pub(crate) san_uri: Option<String>,
    /// A DNS name among them.
    pub(crate) san_dns: Option<String>,
    /// Its subject as `openssl x509 -subject -nameopt RFC2253` prints it, like `CN=checkout,O=Example`.
    pub(crate) subject: Option<String>,
    /// The SHA-256 of the certificate in DER, in hexadecimal.
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{64}$"))]
    pub(crate) sha256: Option<String>,
}
