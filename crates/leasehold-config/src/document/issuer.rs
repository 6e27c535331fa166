//! Whose tokens are taken, as written.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DurationText, SizeText};

/// Somebody whose tokens (JWT, signed by RFC 7515) tell who calls.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "TokenIssuer")]
pub(crate) struct TokenIssuerDocument {
    /// What its tokens have as `iss`, character by character.
    pub(crate) issuer: String,
    /// Where its keys are, as a JWK Set.
    pub(crate) jwks: JwksDocument,
    /// Whom its tokens are for: one of these stands in `aud`.
    #[schemars(length(min = 1))]
    pub(crate) audiences: Vec<String>,
    /// How its tokens may be signed. Default: in every way that these words name and that the key is for.
    #[schemars(length(min = 1))]
    pub(crate) algorithms: Option<Vec<AlgorithmWord>>,
    /// How far its clock may be from this one's, `5m` at most.
    #[schemars(extend("default" = "30s"))]
    pub(crate) clock_skew: Option<DurationText>,
    /// The request header that its tokens come in; in `authorization` as bearer tokens.
    #[schemars(extend("default" = "authorization"))]
    pub(crate) header: Option<String>,
    /// How large a token may be, `64KiB` at most.
    #[schemars(extend("default" = "8KiB"))]
    pub(crate) max_token_size: Option<SizeText>,
}

/// Where keys are: exactly one of `url` and `file`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Jwks")]
pub(crate) struct JwksDocument {
    /// A URL with `https`, or with `http` on this machine itself. Redirects are not followed.
    pub(crate) url: Option<String>,
    /// A PEM file of the authorities to trust instead of the system's. Goes with `url`.
    pub(crate) ca: Option<PathBuf>,
    /// A file with the keys.
    pub(crate) file: Option<PathBuf>,
    /// How often to look for new keys.
    #[schemars(extend("default" = "5m"))]
    pub(crate) refresh: Option<DurationText>,
    /// How long keys are used after they were last confirmed.
    #[schemars(extend("default" = "24h"))]
    pub(crate) max_stale: Option<DurationText>,
}

/// A way to sign a token with a key that only the issuer has.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "TokenAlgorithm")]
pub(crate) enum AlgorithmWord {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RS384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    RS512,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}

/// The headers in which upstreams are told who calls. What callers send in them is removed on all routes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "IdentityHeaders")]
pub(crate) struct IdentityHeadersDocument {
    /// The header with the consumer's name.
    pub(crate) consumer: Option<String>,
    /// The header with the subject of the token.
    pub(crate) subject: Option<String>,
    /// The header with the name of the token's issuer.
    pub(crate) issuer: Option<String>,
    /// The header with what the consumer may do, a space between each two scopes.
    pub(crate) scopes: Option<String>,
    /// The header with `key`, `token` or `certificate`.
    pub(crate) authenticated_by: Option<String>,
}
