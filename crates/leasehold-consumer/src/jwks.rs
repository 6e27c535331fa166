//! The keys of an issuer, as a JWK Set of RFC 7517.

use jsonwebtoken::DecodingKey;
use serde_json::Value;

use crate::algorithm::{Algorithm, RSA};
use crate::strict::Strict;

/// Keys that signatures can be checked with.
#[derive(Clone, Debug, Default)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut told = f.debug_struct("Key");
        told.field("id", &self.id)
            .field("algorithms", &self.algorithms);
        told.finish_non_exhaustive()
    }
}

/// Why a document is no set of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is larger than any.
    #[error("the set of keys is larger than {MOST_BYTES} bytes")]
    TooLarge,
    /// It has not the form of one.
    #[error("this is no JSON object with a list `keys` of RFC 7517")]
    Malformed,
    /// It has more keys than anybody needs.
    #[error("there are more than {MOST_KEYS} keys")]
    TooMany,
    /// No key in it can check a signature of a token.
    #[error(
        "no key in it can check signatures: RSA from 2048 bits on, EC on P-256 or P-384, or OKP Ed25519"
    )]
    Useless,
}

impl KeySet {
    /// Reads a set. Keys that are of no use here are passed over, as RFC 7517 has it: symmetric ones,
    /// those for encryption, and those of kinds that nobody here knows.
    ///
    /// # Errors
    ///
    /// When it is no set of keys, or none of them is of use.
    pub fn parse(document: &[u8]) -> Result<Self, KeySetError> {
        if document.len() > MOST_BYTES {
            return Err(KeySetError::TooLarge);
        }
        let read = Strict::read(document).ok_or(KeySetError::Malformed)?;
        let Some(Value::Array(written)) = read.0.get("keys") else {
            return Err(KeySetError::Malformed);
        };
        if written.len() > MOST_KEYS {
            return Err(KeySetError::TooMany);
        }
        let keys: Vec<_> = written.iter().filter_map(key).collect();
        if keys.is_empty() {
            return Err(KeySetError::Useless);
        }
        Ok(Self { keys })
    }

    /// Returns how many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Tells whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Tells whether a key of that id is there.
    pub(crate) fn knows(&self, id: &str) -> bool {
        self.keys.iter().any(|key| key.id.as_deref() == Some(id))
    }

    /// Tells whether a key that the token may mean has signed the message. A token that names no key
    /// can mean one only where there is but one of the kind.
    pub(crate) fn verify(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        message: &str,
        signature: &str,
    ) -> bool {
        let fits = |key: &&Key| {
            key.algorithms.contains(&algorithm) && (id.is_none() || key.id.as_deref() == id)
        };
        let fitting: Vec<_> = self.keys.iter().filter(fits).collect();
        if id.is_none() && fitting.len() > 1 {
            return false;
        }
        fitting.into_iter().any(|key| {
            let message = message.as_bytes();
            let checked =
                jsonwebtoken::crypto::verify(signature, message, &key.key, algorithm.library());
            checked.unwrap_or(false)
        })
    }
}

/// Reads a key; `None` where it is of no use for checking signatures.
fn key(written: &Value) -> Option<Key> {
    let text = |name: &str| written.get(name).map(|it| it.as_str().ok_or(()));
    let needed = |name: &str| text(name)?.ok();
    // A field that is there and of another type makes the key useless, and not the field absent.
    let optional = |name: &str| text(name).transpose().ok();
    if optional("use")?.is_some_and(|it| it != "sig") || !may_verify(written) {
        return None;
    }
    let (fitting, key) = match needed("kty")? {
        "RSA" => {
            let key = DecodingKey::from_rsa_components(needed("n")?, needed("e")?).ok()?;
            (RSA, key)
        }
        "EC" => {
            let fitting: &[_] = match needed("crv")? {
                "P-256" => &[Algorithm::Es256],
                "P-384" => &[Algorithm::Es384],
                _ => return None,
            };
            let key = DecodingKey::from_ec_components(needed("x")?, needed("y")?).ok()?;
            (fitting, key)
        }
        "OKP" if needed("crv")? == "Ed25519" => {
            let key = DecodingKey::from_ed_components(needed("x")?).ok()?;
            (&[Algorithm::EdDsa][..], key)
        }
        _ => return None,
    };
    let algorithms = match optional("alg")? {
        None => fitting.to_vec(),
        Some(name) => {
            let named = Algorithm::from_name(name).filter(|it| fitting.contains(it))?;
            vec![named]
        }
    };
    let id = optional("kid")?.map(str::to_owned);
    Some(Key {
        id,
        algorithms,
        key,
    })
}

/// Tells whether a key may check signatures, as far as its `key_ops` say.
fn may_verify(written: &Value) -> bool {
    match written.get("key_ops") {
        None => true,
        Some(Value::Array(operations)) => operations.iter().any(|it| it == "verify"),
        Some(_) => false,
    }
}

/// More than any issuer has.
pub(crate) const MOST_BYTES: usize = 512 * 1024;
const MOST_KEYS: usize = 256;
