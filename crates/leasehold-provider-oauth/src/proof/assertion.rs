//! A client assertion of RFC 7523: a JWT that the client signs with its key.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_jwt::{KeyError, SigningKey, TextError};
use leasehold_model::JwtAlgorithm;
use leasehold_secret::Secret;
use serde::Serialize;

/// What an assertion says.
pub(crate) struct Assertion<'a> {
    pub(crate) client: &'a str,
    pub(crate) audience: &'a str,
    pub(crate) key_id: Option<&'a str>,
    pub(crate) now: SystemTime,
}

/// Why there is no assertion.
#[derive(Debug)]
pub(crate) enum AssertionError {
    NotPem,
    Unsupported,
    Random,
    Unencodable,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    jti: String,
    iat: u64,
    exp: u64,
}

impl Assertion<'_> {
    /// Returns the assertion in its compact form, which is good for a minute and for one use.
    pub(crate) fn signed_by(&self, key: &Secret) -> Result<String, AssertionError> {
        let key = SigningKey::read(key)?;
        let algorithm = key.algorithm();
        if !matches!(algorithm, JwtAlgorithm::Rs256 | JwtAlgorithm::Es256) {
            return Err(AssertionError::Unsupported);
        }
        let mut id = [0; 16];
        let drawn = SystemRandom::new().fill(&mut id);
        drawn.map_err(|_unspecified| AssertionError::Random)?;
        let issued = self.now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let claims = Claims {
            iss: self.client,
            sub: self.client,
            aud: self.audience,
            jti: hex::encode(id),
            iat: issued.as_secs(),
            exp: issued.saturating_add(LIFE).as_secs(),
        };
        let mut text = leasehold_jwt::text(algorithm, self.key_id, &claims)?;
        let signature = key.sign(algorithm, text.as_bytes())?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(&*signature, &mut text);
        Ok(text)
    }
}

impl From<KeyError> for AssertionError {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::NotPem => Self::NotPem,
            KeyError::Unsupported | KeyError::Mismatch(_) => Self::Unsupported,
            KeyError::Random => Self::Random,
        }
    }
}

impl From<TextError> for AssertionError {
    fn from(_: TextError) -> Self {
        Self::Unencodable
    }
}

/// Long enough for clocks that differ by half of it, short enough to be of no use to a thief.
const LIFE: Duration = Duration::from_secs(60);
