use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_model::{ConsumerName, JwtTerms};
use leasehold_secret::Secret;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::key::{KeyError, SigningKey};
use crate::text::{TextError, text};

/// Returns by what name a version of a key is known: the `kid` of a token's header and of a key set.
#[must_use]
pub fn key_id(name: &str, version: u64) -> String {
    format!("{name}.v{version}")
}

/// Why a token was not made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// A claim names the consumer, and it is issued for none.
    #[error("a claim names the consumer, and the token is issued for none")]
    NoConsumer,
    /// The claims can't be written.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The key can't sign it.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// What signed it gave back no signature.
    #[error("the signature is not in base64")]
    Signature,
}

/// A token that lacks its signature, and is of no use to anybody without.
#[derive(Debug)]
pub struct Unsigned {
    text: String,
    life: Duration,
}

impl Unsigned {
    /// Writes what the terms say of a consumer, of a moment `now`.
    ///
    /// # Errors
    ///
    /// When a claim names the consumer and there is none, and when the system's random source fails.
    pub fn write(
        terms: &JwtTerms,
        consumer: Option<&ConsumerName>,
        key_id: &str,
        now: SystemTime,
    ) -> Result<Self, MintError> {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let expires = since.as_secs().saturating_add(terms.lifetime.as_secs());
        let mut claims = Map::new();
        for (name, claim) in &terms.claims {
            let claim = claim.of(consumer).ok_or(MintError::NoConsumer)?;
            claims.insert(name.clone(), claim.into());
        }
        let subject = terms.subject.of(consumer).ok_or(MintError::NoConsumer)?;
        let audience = match terms.audiences.as_slice() {
            // Some who verify read the text alone, and none the list alone.
            [one] => Value::from(one.as_str()),
            many => Value::from(many),
        };
        let own = [
            ("iss", Value::from(terms.issuer.as_str())),
            ("sub", subject.into()),
            ("aud", audience),
            ("iat", since.as_secs().into()),
            ("nbf", since.as_secs().saturating_sub(SKEW.as_secs()).into()),
            ("exp", expires.into()),
            ("jti", random_id()?.into()),
        ];
        claims.extend(own.map(|(name, value)| (name.to_owned(), value)));
        Ok(Self {
            text: text(terms.algorithm, Some(key_id), &claims)?,
            // Seconds are whole in a token: it ends a part of one earlier than it would by `now`.
            life: Duration::from_secs(expires).saturating_sub(since),
        })
    }

    /// Returns what the signature is to be over.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns how long the token is good for.
    #[must_use]
    pub const fn life(&self) -> Duration {
        self.life
    }

    /// Signs the token with a key that is at hand.
    ///
    /// # Errors
    ///
    /// When the key is of another kind than the algorithm of the terms.
    pub fn signed_by(self, key: &SigningKey, terms: &JwtTerms) -> Result<Secret, MintError> {
        let signature = key.sign(terms.algorithm, self.text.as_bytes())?;
        let mut encoded = Zeroizing::new(vec![0; signature.len().div_ceil(3) * 4]);
        let length = URL_SAFE_NO_PAD.encode_slice(&*signature, &mut encoded);
        let length = length.map_err(|_too_small| MintError::Signature)?;
        Ok(self.join(encoded.get(..length).ok_or(MintError::Signature)?))
    }

    /// Completes the token with a signature that is encoded already, in base64 of either alphabet.
    ///
    /// # Errors
    ///
    /// When the signature is not in base64.
    pub fn with_signature(self, encoded: &[u8]) -> Result<Secret, MintError> {
        let end = encoded.iter().position(|it| *it == b'=');
        let bare = encoded.get(..end.unwrap_or(encoded.len()));
        let mut signature = Zeroizing::new(bare.unwrap_or_default().to_vec());
        for each in signature.iter_mut() {
            *each = match *each {
                b'+' => b'-',
                b'/' => b'_',
                it => it,
            };
        }
        let is_base64 = |it: &u8| it.is_ascii_alphanumeric() || matches!(it, b'-' | b'_');
        if signature.is_empty() || !signature.iter().all(is_base64) {
            return Err(MintError::Signature);
        }
        Ok(self.join(&signature))
    }

    fn join(self, signature: &[u8]) -> Secret {
        // Sized from the start, so that growing leaves no part of it behind.
        let mut token = Vec::with_capacity(self.text.len() + 1 + signature.len());
        token.extend_from_slice(self.text.as_bytes());
        token.push(b'.');
        token.extend_from_slice(signature);
        Secret::new(token)
    }
}

fn random_id() -> Result<String, KeyError> {
    let mut id = [0; 16];
    let drawn = SystemRandom::new().fill(&mut id);
    drawn.map_err(|_unspecified| KeyError::Random)?;
    Ok(hex::encode(id))
}

/// By how much the clock of who verifies may be behind ours.
const SKEW: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
