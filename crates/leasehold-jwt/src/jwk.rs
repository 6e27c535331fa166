use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use leasehold_model::JwtAlgorithm;
use serde_json::{Value, json};
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::{self, RSAPublicKey};
use x509_parser::x509::SubjectPublicKeyInfo;

/// The key by which others verify a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// An RSA key.
    Rsa {
        /// Big-endian, without leading zeros.
        modulus: Vec<u8>,
        /// Big-endian, without leading zeros.
        exponent: Vec<u8>,
    },
    /// A point of P-256 or P-384, uncompressed.
    Point(Vec<u8>),
    /// A key of Ed25519.
    Ed25519(Vec<u8>),
}

/// A public key is of no kind that verifies tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the public key can't be read, or is of a kind that verifies no tokens")]
pub struct PublicKeyError;

impl PublicKey {
    /// Reads a public key as Vault writes it: in PEM, or, of Ed25519, its bytes in base64.
    ///
    /// # Errors
    ///
    /// When it is not of a kind that verifies tokens.
    pub fn read(text: &str) -> Result<Self, PublicKeyError> {
        if !text.contains("-----BEGIN") {
            let bytes = STANDARD
                .decode(text.trim())
                .map_err(|_other| PublicKeyError)?;
            let is_whole = bytes.len() == ED25519_LENGTH;
            return is_whole
                .then_some(Self::Ed25519(bytes))
                .ok_or(PublicKeyError);
        }
        let (_, pem) = parse_x509_pem(text.as_bytes()).map_err(|_other| PublicKeyError)?;
        let info = SubjectPublicKeyInfo::from_der(&pem.contents);
        let (_, info) = info.map_err(|_other| PublicKeyError)?;
        match info.parsed().map_err(|_other| PublicKeyError)? {
            public_key::PublicKey::RSA(key) => Ok(Self::Rsa {
                modulus: without_zeros(key.modulus),
                exponent: without_zeros(key.exponent),
            }),
            public_key::PublicKey::EC(point) => Ok(Self::Point(point.data().to_vec())),
            _ => {
                let bytes = info.subject_public_key.data.to_vec();
                let is_whole = bytes.len() == ED25519_LENGTH;
                is_whole
                    .then_some(Self::Ed25519(bytes))
                    .ok_or(PublicKeyError)
            }
        }
    }

    /// Reads a key of RSA as PKCS #1 has it, in DER.
    pub(crate) fn of_rsa(der: &[u8]) -> Result<Self, PublicKeyError> {
        let (_, key) = RSAPublicKey::from_der(der).map_err(|_other| PublicKeyError)?;
        Ok(Self::Rsa {
            modulus: without_zeros(key.modulus),
            exponent: without_zeros(key.exponent),
        })
    }

    /// Returns the key as an entry of a key set (RFC 7517).
    ///
    /// # Errors
    ///
    /// When it is not of the kind of the algorithm.
    pub fn jwk(&self, key_id: &str, algorithm: JwtAlgorithm) -> Result<Value, PublicKeyError> {
        let mut jwk = match (self, algorithm) {
            (Self::Rsa { modulus, exponent }, JwtAlgorithm::Rs256 | JwtAlgorithm::Ps256) => {
                json!({ "kty": "RSA", "n": encoded(modulus), "e": encoded(exponent) })
            }
            (Self::Point(point), JwtAlgorithm::Es256) => on_curve(point, "P-256", 32)?,
            (Self::Point(point), JwtAlgorithm::Es384) => on_curve(point, "P-384", 48)?,
            (Self::Ed25519(key), JwtAlgorithm::EdDsa) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": encoded(key) })
            }
            _ => return Err(PublicKeyError),
        };
        if let Some(jwk) = jwk.as_object_mut() {
            jwk.insert("kid".to_owned(), key_id.into());
            jwk.insert("alg".to_owned(), algorithm.name().into());
            jwk.insert("use".to_owned(), "sig".into());
        }
        Ok(jwk)
    }
}

/// Writes an uncompressed point whose coordinates have this many bytes each.
fn on_curve(point: &[u8], curve: &str, length: usize) -> Result<Value, PublicKeyError> {
    let point = point.strip_prefix(&[UNCOMPRESSED]).ok_or(PublicKeyError)?;
    if point.len() != 2 * length {
        return Err(PublicKeyError);
    }
    let (x, y) = point.split_at(length);
    Ok(json!({ "kty": "EC", "crv": curve, "x": encoded(x), "y": encoded(y) }))
}

fn without_zeros(number: &[u8]) -> Vec<u8> {
    let first = number.iter().position(|it| *it != 0);
    first
        .and_then(|first| number.get(first..))
        .unwrap_or_default()
        .to_vec()
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

const UNCOMPRESSED: u8 = 4;
const ED25519_LENGTH: usize = 32;
