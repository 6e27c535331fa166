use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair,
};
use leasehold_model::JwtAlgorithm;
use leasehold_secret::{Expose as _, Secret};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use crate::jwk::{PublicKey, PublicKeyError};

/// A key that signs tokens, for as long as that takes.
///
/// What it is parsed into belongs to the library and is freed with it, and wiped by the allocator.
pub struct SigningKey(Kind);

enum Kind {
    Rsa(RsaKeyPair),
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

/// Why a key can't sign. Never names anything of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is not in PEM, or it is encrypted.
    #[error("it is not an unencrypted key in pem form")]
    NotPem,
    /// It is a key of a kind that is not known.
    #[error(
        "it is neither an rsa key of 2048 bits or more nor one of the curves p-256, p-384 and ed25519"
    )]
    Unsupported,
    /// It is a key of another kind than the algorithm.
    #[error("it is not a key of {}", .0.name())]
    Mismatch(JwtAlgorithm),
    /// There was nothing random to sign with.
    #[error("the system's random source failed")]
    Random,
}

impl SigningKey {
    /// Reads a key in PEM: PKCS #8, or the older forms of RSA and of curves.
    ///
    /// # Errors
    ///
    /// When it is not a key that can sign.
    pub fn read(key: &Secret) -> Result<Self, KeyError> {
        // EXPOSE: the key is parsed to sign with; the DER in between is wiped by the allocator when it
        // is freed, at the end of this call.
        let der = PrivateKeyDer::from_pem_slice(&key.expose());
        let der = der.map_err(|_may_quote_the_key| KeyError::NotPem)?;
        let bytes = der.secret_der();
        if let Ok(rsa) =
            RsaKeyPair::from_pkcs8(bytes).or_else(|_rejected| RsaKeyPair::from_der(bytes))
        {
            let enough = rsa.public_modulus_len() >= LEAST_RSA;
            let key = enough.then_some(Self(Kind::Rsa(rsa)));
            return key.ok_or(KeyError::Unsupported);
        }
        if let Some(key) = on_curve(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes) {
            return Ok(Self(Kind::P256(key)));
        }
        if let Some(key) = on_curve(&ECDSA_P384_SHA384_FIXED_SIGNING, bytes) {
            return Ok(Self(Kind::P384(key)));
        }
        // Without the public key beside it, which is how it is usually written.
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes);
        let key = key.map_err(|_rejected| KeyError::Unsupported)?;
        Ok(Self(Kind::Ed25519(key)))
    }

    /// Returns the algorithm that a key of its kind signs with unless it is told another.
    #[must_use]
    pub const fn algorithm(&self) -> JwtAlgorithm {
        match self.0 {
            Kind::Rsa(_) => JwtAlgorithm::Rs256,
            Kind::P256(_) => JwtAlgorithm::Es256,
            Kind::P384(_) => JwtAlgorithm::Es384,
            Kind::Ed25519(_) => JwtAlgorithm::EdDsa,
        }
    }

    /// Signs a text. The signature is as tokens have it, and not encoded.
    ///
    /// # Errors
    ///
    /// When the key is of another kind than the algorithm, or nothing random was to be had.
    pub fn sign(
        &self,
        algorithm: JwtAlgorithm,
        text: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let signature = match (&self.0, algorithm) {
            (Kind::Rsa(key), JwtAlgorithm::Rs256) => rsa(key, &RSA_PKCS1_SHA256, text)?,
            (Kind::Rsa(key), JwtAlgorithm::Ps256) => rsa(key, &RSA_PSS_SHA256, text)?,
            (Kind::P256(key), JwtAlgorithm::Es256) | (Kind::P384(key), JwtAlgorithm::Es384) => {
                let signed = key.sign(&SystemRandom::new(), text);
                let signed = signed.map_err(|_unspecified| KeyError::Random)?;
                signed.as_ref().to_vec()
            }
            (Kind::Ed25519(key), JwtAlgorithm::EdDsa) => key.sign(text).as_ref().to_vec(),
            _ => return Err(KeyError::Mismatch(algorithm)),
        };
        Ok(Zeroizing::new(signature))
    }

    /// Returns the key by which others verify what it signs.
    ///
    /// # Errors
    ///
    /// When what the library writes of it can't be read.
    pub fn public(&self) -> Result<PublicKey, PublicKeyError> {
        Ok(match &self.0 {
            Kind::Rsa(key) => {
                return PublicKey::of_rsa(key.public_key().as_ref());
            }
            Kind::P256(key) | Kind::P384(key) => {
                PublicKey::Point(key.public_key().as_ref().to_vec())
            }
            Kind::Ed25519(key) => PublicKey::Ed25519(key.public_key().as_ref().to_vec()),
        })
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({}, redacted)", self.algorithm().name())
    }
}

fn on_curve(curve: &'static EcdsaSigningAlgorithm, der: &[u8]) -> Option<EcdsaKeyPair> {
    let key = EcdsaKeyPair::from_pkcs8(curve, der)
        .or_else(|_rejected| EcdsaKeyPair::from_private_key_der(curve, der));
    key.ok()
}

fn rsa(
    key: &RsaKeyPair,
    padding: &'static dyn RsaEncoding,
    text: &[u8],
) -> Result<Vec<u8>, KeyError> {
    let mut signature = vec![0; key.public_modulus_len()];
    let signed = key.sign(padding, &SystemRandom::new(), text, &mut signature);
    signed.map_err(|_unspecified| KeyError::Random)?;
    Ok(signature)
}

/// In bytes.
const LEAST_RSA: usize = 256;
