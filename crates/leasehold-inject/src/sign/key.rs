//! Reads keys of signatures.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RSA_PSS_SHA512, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leasehold_model::{Hash, KeyForm, MessageAlgorithm};
use leasehold_provider::Material;
use leasehold_secret::Expose as _;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::{Zeroize as _, Zeroizing};

use super::SignError;
use crate::PrepareError;
use crate::prepare::{not_empty, wanted};

/// Reads a shared key.
pub(super) fn shared(
    field: &str,
    form: KeyForm,
    hash: Hash,
    material: &Material,
) -> Result<hmac::Key, PrepareError> {
    // EXPOSE: the key is read once into a signer; what it is decoded into is wiped here.
    let value = wanted(field, material)?.expose();
    not_empty(field, &value)?;
    let algorithm = match hash {
        Hash::Sha256 => hmac::HMAC_SHA256,
        Hash::Sha512 => hmac::HMAC_SHA512,
    };
    let unreadable = || PrepareError::UnreadableKey {
        field: field.to_owned(),
    };
    let bytes = match form {
        KeyForm::Plain => return Ok(hmac::Key::new(algorithm, &value)),
        KeyForm::Base64 => {
            let mut bytes = Zeroizing::new(vec![0; value.len()]);
            let read = STANDARD.decode_slice(value.trim_ascii(), &mut bytes);
            bytes.truncate(read.map_err(|_hidden| unreadable())?);
            bytes
        }
        KeyForm::Hex => {
            let text = value.trim_ascii();
            let mut bytes = Zeroizing::new(vec![0; text.len() / 2]);
            hex::decode_to_slice(text, &mut bytes).map_err(|_hidden| unreadable())?;
            bytes
        }
    };
    if bytes.is_empty() {
        return Err(unreadable());
    }
    Ok(hmac::Key::new(algorithm, &bytes))
}

/// A key of RFC 9421.
pub(super) enum MessageKey {
    Shared(Box<hmac::Key>),
    Ed25519(Ed25519KeyPair),
    Ecdsa(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

impl MessageKey {
    pub(super) fn read(
        algorithm: MessageAlgorithm,
        field: &str,
        form: KeyForm,
        material: &Material,
    ) -> Result<Self, PrepareError> {
        if algorithm == MessageAlgorithm::HmacSha256 {
            return shared(field, form, Hash::Sha256, material)
                .map(|key| Self::Shared(Box::new(key)));
        }
        // EXPOSE: the key is read once into a signer, which wipes its own copy when it is dropped.
        let value = wanted(field, material)?.expose();
        let not_pem = || PrepareError::NotPem {
            field: field.to_owned(),
        };
        let mut key = PrivateKeyDer::from_pem_slice(&value).map_err(|_hidden| not_pem())?;
        let read = pair(algorithm, key.secret_der());
        key.zeroize();
        read.ok_or_else(|| PrepareError::KeyOfOtherKind {
            field: field.to_owned(),
            algorithm: algorithm.name(),
        })
    }

    pub(super) fn sign(&self, base: &[u8]) -> Result<Vec<u8>, SignError> {
        let random = SystemRandom::new();
        match self {
            Self::Shared(key) => Ok(hmac::sign(key, base).as_ref().to_vec()),
            Self::Ed25519(key) => Ok(key.sign(base).as_ref().to_vec()),
            Self::Ecdsa(key) => {
                let signature = key.sign(&random, base);
                Ok(signature
                    .map_err(|_hidden| SignError::Key)?
                    .as_ref()
                    .to_vec())
            }
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                let signed = key.sign(&RSA_PSS_SHA512, &random, base, &mut signature);
                signed.map_err(|_hidden| SignError::Key)?;
                Ok(signature)
            }
        }
    }
}

fn pair(algorithm: MessageAlgorithm, der: &[u8]) -> Option<MessageKey> {
    match algorithm {
        MessageAlgorithm::HmacSha256 => None,
        MessageAlgorithm::Ed25519 => {
            let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok()?;
            Some(MessageKey::Ed25519(key))
        }
        MessageAlgorithm::EcdsaP256Sha256 => {
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let key = EcdsaKeyPair::from_pkcs8(algorithm, der);
            let key = key.or_else(|_| EcdsaKeyPair::from_private_key_der(algorithm, der));
            Some(MessageKey::Ecdsa(key.ok()?))
        }
        MessageAlgorithm::RsaPssSha512 => {
            let key = RsaKeyPair::from_pkcs8(der).or_else(|_| RsaKeyPair::from_der(der));
            Some(MessageKey::Rsa(key.ok()?))
        }
    }
}
