use std::collections::BTreeMap;
use std::time::Duration;

use crate::ConsumerName;

/// How a JWT is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JwtAlgorithm {
    /// RSA with PKCS #1 padding and SHA-256.
    Rs256,
    /// RSA with PSS padding and SHA-256.
    Ps256,
    /// The curve P-256 with SHA-256.
    Es256,
    /// The curve P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
}

impl JwtAlgorithm {
    /// Returns the name that the header of a token has it by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// Where the key is that signs a JWT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtKey {
    /// At a provider that signs by itself and does not give the key away: Vault's transit engine.
    Transit {
        /// The mount.
        mount: String,
        /// The key's name.
        name: String,
    },
    /// Among a provider's stored values; it is opened to sign and for nothing else.
    Stored {
        /// The path.
        path: String,
        /// The field that has it, in PEM.
        field: String,
    },
}

/// What a JWT that the gateway has signed says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtTerms {
    /// How it is signed.
    pub algorithm: JwtAlgorithm,
    /// Who says it: `iss`.
    pub issuer: String,
    /// For whom it is said, at least one: `aud`.
    pub audiences: Vec<String>,
    /// Of whom it is said: `sub`.
    pub subject: ClaimText,
    /// What else is said. None of it is a claim that the gateway writes by itself.
    pub claims: BTreeMap<String, ClaimText>,
    /// How long it is good for: from `iat` to `exp`.
    pub lifetime: Duration,
}

/// The text of a claim, which may name the consumer that a token is issued for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimText(pub Vec<ClaimPart>);

/// A part of a [`ClaimText`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimPart {
    /// What stands there as it is.
    Text(String),
    /// The name of the consumer.
    Consumer,
}

impl ClaimText {
    /// Returns the text for a consumer; `None` where it names one and there is none.
    #[must_use]
    pub fn of(&self, consumer: Option<&ConsumerName>) -> Option<String> {
        let parts = self.0.iter().map(|part| match part {
            ClaimPart::Text(text) => Some(text.as_str()),
            ClaimPart::Consumer => consumer.map(ConsumerName::as_str),
        });
        parts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_names_a_consumer_is_none_without() {
        let text = ClaimText(vec![
            ClaimPart::Text("acme/".to_owned()),
            ClaimPart::Consumer,
        ]);
        let consumer = ConsumerName::from("shop");
        assert_eq!(text.of(Some(&consumer)).as_deref(), Some("acme/shop"));
        assert_eq!(text.of(None), None);
        let fixed = ClaimText(vec![ClaimPart::Text("acme".to_owned())]);
        assert_eq!(fixed.of(None).as_deref(), Some("acme"));
    }
}
