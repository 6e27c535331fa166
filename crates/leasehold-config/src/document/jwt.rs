//! Tokens that the gateway has signed, as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::DurationText;
use super::provider::OneOrMany;

/// A JWT that is signed with a key at the provider.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Jwt")]
pub(crate) struct JwtSourceDocument {
    /// Vault: the name of the key in the transit engine, which signs and does not give the key away.
    pub(crate) key: Option<String>,
    /// Vault: where the transit engine is mounted. Default: `transit`.
    pub(crate) mount: Option<String>,
    /// Native, with `path`: the field that has the key, in PEM. Default: `private_key`.
    pub(crate) key_field: Option<String>,
    /// How it is signed. The key has to be of that kind.
    pub(crate) algorithm: JwtAlgorithmWord,
    /// Who says it, the claim `iss`, like `https://gateway.example.com`.
    pub(crate) issuer: String,
    /// For whom it is, the claim `aud`: one, or a list.
    pub(crate) audience: OneOrMany,
    /// Of whom it speaks, the claim `sub`. `{consumer}` in it is the name of the consumer, with
    /// `per: consumer`.
    pub(crate) subject: String,
    /// Further claims, all text. `{consumer}` in one is the name of the consumer, with `per: consumer`.
    #[serde(default)]
    pub(crate) claims: BTreeMap<String, String>,
    /// How long a token is good for, from `30s` to `1h`. It is replaced before.
    #[schemars(extend("default" = "5m"))]
    pub(crate) lifetime: Option<DurationText>,
}

/// How a token is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(rename = "JwtAlgorithm")]
pub(crate) enum JwtAlgorithmWord {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RS256,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// Ed25519.
    EdDSA,
}
