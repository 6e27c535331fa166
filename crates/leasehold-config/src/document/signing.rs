//! How requests are signed, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{DurationText, EncodingWord};

/// Signature Version 4 of AWS, in the headers of each request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SigV4")]
pub(crate) struct SigV4Document {
    /// The region that is signed for, like `eu-west-1`.
    pub(crate) region: String,
    /// The service that is signed for, like `s3` or `execute-api`.
    pub(crate) service: String,
    /// What is signed of the body. Default: `signed`.
    pub(crate) payload: Option<PayloadWord>,
    /// The name of the field with the access key id; never the id.
    #[schemars(extend("default" = "access_key"))]
    pub(crate) access_key: Option<String>,
    /// The name of the field with the secret access key; never the key.
    #[schemars(extend("default" = "secret_key"))]
    pub(crate) secret_key: Option<String>,
    /// The name of the field with the session token, which each generation must have then. Default:
    /// `security_token`, which is used where a generation has it.
    pub(crate) session_token: Option<String>,
}

/// What is signed of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Payload")]
pub(crate) enum PayloadWord {
    /// Nothing: `UNSIGNED-PAYLOAD`. Not every service takes it.
    Unsigned,
    /// Its digest. A body has 64 KiB at most then, and is read before the request is sent.
    Signed,
    /// A signature for each 64 KiB, while it goes by. S3 takes it. A request has a `Content-Length` then.
    Chunked,
}

/// An HMAC of a text that is put together from each request.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Hmac")]
pub(crate) struct HmacDocument {
    /// The name of the field with the key; never the key.
    pub(crate) key: String,
    /// How the key is written in its field. Default: `plain`.
    pub(crate) key_encoding: Option<KeyEncodingWord>,
    /// The algorithm. Default: `hmac-sha256`.
    pub(crate) algorithm: Option<HmacWord>,
    /// The text that is signed, like `"{method}\n{path}\n{timestamp}\n{body|sha256|hex}"`. In braces:
    /// `method`, `path`, `query`, `target`, `host`, `header:NAME`, `timestamp`, `nonce`, a digest of the
    /// body, or the name of a field.
    pub(crate) sign: String,
    /// How the time is written. Default: `unix`.
    pub(crate) timestamp: Option<TimestampWord>,
    /// How the signature is written. Default: `hex`.
    pub(crate) encode: Option<EncodingWord>,
    /// The headers that show it. What the consumer sent there is removed.
    #[schemars(length(min = 1))]
    pub(crate) headers: Vec<SignedHeaderDocument>,
}

/// A header that shows a signature, or what goes with it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SignedHeader")]
pub(crate) struct SignedHeaderDocument {
    /// The header's name.
    pub(crate) header: String,
    /// What it holds, like `"HMAC {id}:{signature}"`. In braces: `signature`, `timestamp`, `nonce`, or the
    /// name of a field.
    pub(crate) template: String,
}

/// How bytes of a key are written in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "KeyEncoding")]
pub(crate) enum KeyEncodingWord {
    /// As they are.
    Plain,
    /// In base64 with `+`, `/` and padding.
    Base64,
    /// In hexadecimal digits.
    Hex,
}

/// An HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(rename = "HmacAlgorithm")]
pub(crate) enum HmacWord {
    /// With SHA-256.
    #[serde(rename = "hmac-sha256")]
    Sha256,
    /// With SHA-512.
    #[serde(rename = "hmac-sha512")]
    Sha512,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Timestamp")]
pub(crate) enum TimestampWord {
    /// Seconds since 1970.
    Unix,
    /// Milliseconds since 1970.
    UnixMs,
    /// `2026-11-25T12:00:00Z`.
    Rfc3339,
    /// `20261125T120000Z`.
    Basic,
    /// `Wed, 25 Nov 2026 12:00:00 GMT`.
    HttpDate,
}

/// HTTP Message Signatures, RFC 9421.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "MessageSignature")]
pub(crate) struct MessageSignatureDocument {
    /// The name of the field with the key, in PEM or, with `hmac-sha256`, as `key_encoding` says; never
    /// the key.
    #[schemars(extend("default" = "private_key"))]
    pub(crate) key: Option<String>,
    /// With `hmac-sha256`: how the key is written in its field. Default: `plain`.
    pub(crate) key_encoding: Option<KeyEncodingWord>,
    /// The algorithm.
    pub(crate) algorithm: MessageAlgorithmWord,
    /// What is covered, in order: `@method`, `@target-uri`, `@authority`, `@scheme`, `@request-target`,
    /// `@path`, `@query`, `content-digest`, which the gateway makes (RFC 9530), and headers. A request
    /// without such a header is refused.
    #[schemars(length(min = 1))]
    pub(crate) components: Vec<String>,
    /// Headers that are covered, behind the others, where a request has them.
    pub(crate) if_present: Option<Vec<String>>,
    /// By what name the upstream knows the key. Default: none is said.
    pub(crate) key_id: Option<String>,
    /// The field of the credential with that name. Goes instead of `key_id`.
    pub(crate) key_id_field: Option<String>,
    /// The name of the signature. Default: `sig1`.
    pub(crate) label: Option<String>,
    /// What the signature is for, where the upstream asks for that.
    pub(crate) tag: Option<String>,
    /// For how long it is good. Default: that is not said.
    pub(crate) expires: Option<DurationText>,
    /// Whether each has a nonce. Default: `false`.
    pub(crate) nonce: Option<bool>,
    /// Whether each says its algorithm. Default: `true`.
    pub(crate) show_algorithm: Option<bool>,
}

/// An algorithm of RFC 9421.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[schemars(rename = "MessageAlgorithm")]
pub(crate) enum MessageAlgorithmWord {
    /// A shared key.
    #[serde(rename = "hmac-sha256")]
    HmacSha256,
    /// Ed25519.
    #[serde(rename = "ed25519")]
    Ed25519,
    /// ECDSA on the curve P-256.
    #[serde(rename = "ecdsa-p256-sha256")]
    EcdsaP256Sha256,
    /// RSA with PSS.
    #[serde(rename = "rsa-pss-sha512")]
    RsaPssSha512,
}
