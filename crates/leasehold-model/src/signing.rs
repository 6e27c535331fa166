use std::time::Duration;

use crate::Encoding;

/// How each request to an upstream is signed. It names fields of a credential, and holds no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signing {
    /// Signature Version 4 of AWS.
    SigV4(SigV4),
    /// An HMAC of a text that is put together from the request.
    Hmac(HmacSigning),
    /// HTTP Message Signatures, RFC 9421.
    Message(MessageSigning),
}

/// Signature Version 4 of AWS, in the headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigV4 {
    /// The region that is signed for.
    pub region: String,
    /// The service that is signed for.
    pub service: String,
    /// What is signed of the body.
    pub payload: Payload,
    /// The field with the access key id.
    pub access_key: String,
    /// The field with the secret access key.
    pub secret_key: String,
    /// The field with the session token.
    pub session_token: String,
    /// Whether each generation must have a session token.
    pub needs_session_token: bool,
}

/// What Signature Version 4 says of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing.
    Unsigned,
    /// Its digest, which the whole of it is read for first.
    Signed,
    /// A signature for each part of it, as it goes by.
    Chunked,
}

/// An HMAC of a text that is put together from the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HmacSigning {
    /// The field with the key.
    pub key: String,
    /// How the key is written there.
    pub key_form: KeyForm,
    /// The hash.
    pub hash: Hash,
    /// The text that is signed.
    pub text: Vec<SignedPart>,
    /// How the time is written.
    pub time: TimeForm,
    /// How the signature is written.
    pub encoding: Encoding,
    /// The headers, by their names in small letters, and what each holds.
    pub headers: Vec<(String, Vec<ShownPart>)>,
}

/// How bytes of a key are written in a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyForm {
    /// As they are.
    Plain,
    /// In base64.
    Base64,
    /// In hexadecimal digits.
    Hex,
}

/// A hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hash {
    /// SHA-256.
    Sha256,
    /// SHA-512.
    Sha512,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeForm {
    /// Seconds since 1970.
    Unix,
    /// Milliseconds since 1970.
    UnixMillis,
    /// `2026-11-25T12:00:00Z`.
    Rfc3339,
    /// `20261125T120000Z`.
    Basic,
    /// `Wed, 25 Nov 2026 12:00:00 GMT`.
    HttpDate,
}

/// A part of a text that is signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedPart {
    /// What stands there as it is.
    Text(String),
    /// The method.
    Method,
    /// The path, as it is sent.
    Path,
    /// The query, as it is sent and without its `?`; nothing where there is none.
    Query,
    /// Path and query, as they are sent.
    Target,
    /// The host and, where it is sent, the port.
    Host,
    /// The values of a header, by its name in small letters, with `, ` between them; nothing where it is
    /// not there.
    Header(String),
    /// The time.
    Time,
    /// What no other request has.
    Nonce,
    /// A digest of the body.
    Body(Hash, Encoding),
    /// A field of the credential.
    Field(String),
}

/// A part of a header that shows a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShownPart {
    /// What stands there as it is.
    Text(String),
    /// The signature.
    Signature,
    /// The time.
    Time,
    /// What no other request has.
    Nonce,
    /// A field of the credential.
    Field(String),
}

/// HTTP Message Signatures, RFC 9421.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageSigning {
    /// The field with the key.
    pub key: String,
    /// How a shared key is written there. Any other is in PEM.
    pub key_form: KeyForm,
    /// The algorithm.
    pub algorithm: MessageAlgorithm,
    /// What is covered, in order.
    pub components: Vec<Component>,
    /// What says which key it is, where anything does.
    pub key_id: Option<KeyId>,
    /// The name of the signature among others.
    pub label: String,
    /// What says what the signature is for, where anything does.
    pub tag: Option<String>,
    /// How long it is good for, where that is said.
    pub expires: Option<Duration>,
    /// Whether it has what no other has.
    pub nonce: bool,
    /// Whether it says its algorithm.
    pub shows_algorithm: bool,
}

/// What says which key a message was signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyId {
    /// This name.
    Named(String),
    /// A field of the credential.
    Field(String),
}

/// An algorithm of the registry of RFC 9421.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageAlgorithm {
    /// `hmac-sha256`.
    HmacSha256,
    /// `ed25519`.
    Ed25519,
    /// `ecdsa-p256-sha256`.
    EcdsaP256Sha256,
    /// `rsa-pss-sha512`.
    RsaPssSha512,
}

impl MessageAlgorithm {
    /// Returns its name in the registry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::HmacSha256 => "hmac-sha256",
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256Sha256 => "ecdsa-p256-sha256",
            Self::RsaPssSha512 => "rsa-pss-sha512",
        }
    }
}

/// A component of a message that a signature covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Component {
    /// `@method`.
    Method,
    /// `@target-uri`.
    TargetUri,
    /// `@authority`.
    Authority,
    /// `@scheme`.
    Scheme,
    /// `@request-target`.
    RequestTarget,
    /// `@path`.
    Path,
    /// `@query`.
    Query,
    /// `content-digest` of RFC 9530, which the gateway makes.
    ContentDigest,
    /// A header, by its name in small letters.
    Header {
        /// Its name.
        name: String,
        /// Whether a request without it is signed without it, and not refused.
        is_optional: bool,
    },
}
