//! Tokens that are signed with a key of the file.

use std::time::SystemTime;

use leasehold_jwt::{KeyError, MintError, PublicKey, PublicKeyError, SigningKey, Unsigned, key_id};
use leasehold_model::{ConsumerName, Failure, JwtTerms};
use leasehold_provider::{Fetched, Holding, Material};

use crate::{NativeError, NativeFile};

/// Where a key is, as the file has it.
pub(crate) struct KeyPlace {
    pub(crate) path: String,
    pub(crate) field: String,
}

/// Why nothing was signed. Names the field and nothing of the key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignError {
    #[error(transparent)]
    File(#[from] NativeError),
    #[error("the record has no field `{0}`")]
    NoField(String),
    #[error("field `{field}` can't sign: {problem}")]
    Key { field: String, problem: KeyError },
    #[error(transparent)]
    Mint(#[from] MintError),
    #[error("the key was replaced while it signed")]
    Replaced,
}

/// A public key of the file could not be told.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The key could not be read.
    #[error("{0}")]
    Key(String),
    /// What is public of it could not be told.
    #[error(transparent)]
    Public(#[from] PublicKeyError),
}

/// Signs a token with the latest version of a key, which is wiped before this returns.
pub(crate) fn sign(
    file: &NativeFile,
    place: &KeyPlace,
    terms: &JwtTerms,
    consumer: Option<&ConsumerName>,
    now: SystemTime,
) -> Result<Fetched, SignError> {
    let (key, version) = open(file, place)?;
    let kid = key_id(&place.path, version);
    let token = Unsigned::write(terms, consumer, &kid, now)?;
    let life = token.life();
    let token = token.signed_by(&key, terms)?;
    drop(key);
    if file.version(&place.path)? != version {
        // It would outlive the key that it was signed with, by its whole life.
        return Err(SignError::Replaced);
    }
    let mut material = Material::default();
    material.insert("token", token);
    Ok(Fetched {
        material,
        holding: Holding::Token { ttl: life },
        request_id: None,
        warnings: Vec::new(),
    })
}

impl NativeFile {
    /// Returns what is public of the key in a field, by the name that tokens have it by.
    ///
    /// # Errors
    ///
    /// When there is no such key, and when the file can't be read.
    pub fn public_key(&self, path: &str, field: &str) -> Result<(String, PublicKey), PublishError> {
        let place = KeyPlace {
            path: path.to_owned(),
            field: field.to_owned(),
        };
        let key = open(self, &place);
        let (key, version) = key.map_err(|error| PublishError::Key(error.to_string()))?;
        Ok((key_id(path, version), key.public()?))
    }
}

fn open(file: &NativeFile, place: &KeyPlace) -> Result<(SigningKey, u64), SignError> {
    let (material, version) = file.get(&place.path)?;
    let field = &place.field;
    let secret = material.field(field);
    let secret = secret.ok_or_else(|| SignError::NoField(field.clone()))?;
    let key = SigningKey::read(secret).map_err(|problem| SignError::Key {
        field: field.clone(),
        problem,
    })?;
    Ok((key, version))
}

impl SignError {
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::File(error) => error.failure(),
            Self::Replaced
            | Self::Mint(MintError::Key(KeyError::Random))
            | Self::Key {
                problem: KeyError::Random,
                ..
            } => Failure::Transient,
            Self::NoField(_) | Self::Key { .. } | Self::Mint(_) => Failure::Misconfigured,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use leasehold_model::{ClaimPart, ClaimText, Clock as _, JwtAlgorithm, SystemClock};
    use leasehold_secret::{Expose as _, Secret};

    use super::*;

    fn terms(algorithm: JwtAlgorithm) -> JwtTerms {
        JwtTerms {
            algorithm,
            issuer: "https://gateway.example".to_owned(),
            audiences: vec!["https://partner.example".to_owned()],
            subject: ClaimText(vec![ClaimPart::Consumer]),
            claims: BTreeMap::new(),
            lifetime: Duration::from_secs(60),
        }
    }

    fn file_with(dir: &tempfile::TempDir, pem: &str) -> NativeFile {
        let file = NativeFile::create(dir.path().join("file"), dir.path().join("key"));
        let file = file.expect("created");
        put(&file, pem);
        file
    }

    fn put(file: &NativeFile, pem: &str) {
        let mut material = Material::default();
        material.insert("private_key", Secret::new(pem));
        file.put("keys/partner", &material).expect("put");
    }

    fn place(field: &str) -> KeyPlace {
        KeyPlace {
            path: "keys/partner".to_owned(),
            field: field.to_owned(),
        }
    }

    #[test]
    fn what_can_not_sign_is_told_without_a_word_of_the_key() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = file_with(&dir, "canary");
        let now = SystemClock.wall();
        let consumer = ConsumerName::from("shop");
        let terms = terms(JwtAlgorithm::Es256);
        for field in ["private_key", "other"] {
            let error = sign(&file, &place(field), &terms, Some(&consumer), now);
            let error = error.expect_err("no key");
            assert_eq!(error.failure(), Failure::Misconfigured);
            let text = format!("{error} {error:?}");
            assert!(text.contains(field) && !text.contains("canary"), "{text}");
        }
    }

    #[test]
    fn each_version_of_a_key_has_a_name_of_its_own() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = file_with(&dir, &key());
        let (first, _) = file
            .public_key("keys/partner", "private_key")
            .expect("a key");
        assert_eq!(first, "keys/partner.v1");
        put(&file, &key());
        let (second, _) = file
            .public_key("keys/partner", "private_key")
            .expect("a key");
        assert_eq!(second, "keys/partner.v2");
        let terms = terms(JwtAlgorithm::Es256);
        let consumer = ConsumerName::from("shop");
        let now = SystemClock.wall();
        let signed = sign(&file, &place("private_key"), &terms, Some(&consumer), now);
        let signed = signed.expect("a token");
        let names: Vec<_> = signed.material.names().collect();
        assert_eq!(names, ["token"]);
        // EXPOSE: the test looks at a token of its own.
        let token = signed.material.field("token").expect("a token").expose();
        assert_eq!(token.iter().filter(|it| **it == b'.').count(), 2);
    }

    fn key() -> String {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let der = STANDARD.encode(key.to_pkcs8v1().expect("DER").as_ref());
        format!("-----BEGIN PRIVATE KEY-----\n{der}\n-----END PRIVATE KEY-----\n")
    }
}
