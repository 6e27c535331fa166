//! A client assertion of RFC 7523: a JWT that the client signs with its key.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_secret::{Expose as _, Secret};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Serialize;

/// What an assertion says.
pub(crate) struct Assertion<'a> {
    pub(crate) client: &'a str,
    pub(crate) audience: &'a str,
    pub(crate) key_id: Option<&'a str>,
    pub(crate) now: SystemTime,
}

/// Why a key can't sign.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum KeyError {
    NotPem,
    Unsupported,
    Random,
    Unencodable,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'a str,
    typ: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
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
    pub(crate) fn signed_by(&self, key: &Secret) -> Result<String, KeyError> {
        let key = Key::read(key)?;
        let random = SystemRandom::new();
        let mut id = [0; 16];
        random
            .fill(&mut id)
            .map_err(|_unspecified| KeyError::Random)?;
        let issued = self.now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let header = Header {
            alg: key.algorithm(),
            typ: "JWT",
            kid: self.key_id,
        };
        let claims = Claims {
            iss: self.client,
            sub: self.client,
            aud: self.audience,
            jti: hex::encode(id),
            iat: issued.as_secs(),
            exp: issued.saturating_add(LIFE).as_secs(),
        };
        let mut text = part(&header)?;
        text.push('.');
        text.push_str(&part(&claims)?);
        let signature = key.sign(&random, text.as_bytes())?;
        text.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut text);
        Ok(text)
    }
}

enum Key {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
}

impl Key {
    fn read(key: &Secret) -> Result<Self, KeyError> {
        // EXPOSE: the key signs the assertion; what it is parsed into is freed, and wiped by the
        // allocator, when that is done.
        let der = PrivateKeyDer::from_pem_slice(&key.expose());
        let der = der.map_err(|_may_quote_the_key| KeyError::NotPem)?;
        let bytes = der.secret_der();
        let rsa = RsaKeyPair::from_pkcs8(bytes).or_else(|_rejected| RsaKeyPair::from_der(bytes));
        if let Ok(rsa) = rsa {
            let enough = rsa.public_modulus_len() >= LEAST_RSA;
            return enough
                .then_some(Self::Rsa(rsa))
                .ok_or(KeyError::Unsupported);
        }
        let curve = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let p256 = EcdsaKeyPair::from_pkcs8(curve, bytes)
            .or_else(|_rejected| EcdsaKeyPair::from_private_key_der(curve, bytes));
        p256.map(Self::P256)
            .map_err(|_rejected| KeyError::Unsupported)
    }

    const fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "RS256",
            Self::P256(_) => "ES256",
        }
    }

    fn sign(&self, random: &SystemRandom, text: &[u8]) -> Result<Vec<u8>, KeyError> {
        match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let signed = key.sign(&RSA_PKCS1_SHA256, random, text, &mut signature);
                signed.map_err(|_unspecified| KeyError::Random)?;
                Ok(signature)
            }
            Self::P256(key) => {
                let signed = key.sign(random, text);
                let signed = signed.map_err(|_unspecified| KeyError::Random)?;
                Ok(signed.as_ref().to_vec())
            }
        }
    }
}

fn part<T: Serialize>(value: &T) -> Result<String, KeyError> {
    let json = serde_json::to_vec(value).map_err(|_unreachable| KeyError::Unencodable)?;
    Ok(URL_SAFE_NO_PAD.encode(json))
}

/// Long enough for clocks that differ by half of it, short enough to be of no use to a thief.
const LIFE: Duration = Duration::from_secs(60);
/// In bytes.
const LEAST_RSA: usize = 256;
