//! A token that the transit engine signs, with a key that never leaves the server.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use leasehold_jwt::{MintError, PublicKey, Unsigned, key_id};
use leasehold_model::{ConsumerName, Holder, JwtAlgorithm, JwtTerms, SessionEpoch};
use leasehold_provider::{Fetched, Holding, Material, ProviderError};
use leasehold_secret::{Expose as _, Secret};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::checked;
use crate::answer;
use crate::call::{Call, Operation};
use crate::client::Answer;
use crate::envelope::{self, Unreadable};
use crate::path::VaultPath;
use crate::provider::VaultProvider;
use crate::refusal::{lost, misconfigured, unreadable};

/// What is to be signed, and by what.
pub(super) struct Asked<'a> {
    pub(super) mount: &'a str,
    pub(super) key: &'a str,
    pub(super) terms: &'a JwtTerms,
    pub(super) consumer: Option<&'a ConsumerName>,
}

impl VaultProvider {
    /// Has a token signed by the latest version of a key.
    ///
    /// The token names that version, so it is asked for before: the upstream is to know by which of
    /// the key's public halves to verify.
    pub(super) async fn mint_token(
        &self,
        holder: Holder,
        asked: &Asked<'_>,
    ) -> Result<Fetched, ProviderError> {
        let look = Call::read(Operation::ReadKey, asked.path("keys", Operation::ReadKey)?);
        let key: TransitKey = data(&look, &self.held_by(holder, &look).await?)?;
        let version = key.fit_for(asked.terms.algorithm);
        let version = version.map_err(|detail| misconfigured(&look, detail))?;
        let kid = key_id(asked.key, version);
        let now = self.clock.wall();
        let token = Unsigned::write(asked.terms, asked.consumer, &kid, now);
        let token = token.map_err(|error| misconfigured(&look, error.to_string()))?;
        let path = asked.path("sign", Operation::SignToken)?;
        let order = order(asked.terms.algorithm, version, token.text());
        let call = Call::write(Operation::SignToken, path, order);
        let answer = self.held_by(holder, &call).await?;
        complete(&call, &answer, token, version)
    }
}

impl VaultProvider {
    /// Returns what is public of a transit key, one entry a version that may still verify, each by the name
    /// that tokens have it by.
    ///
    /// # Errors
    ///
    /// When the session is dead, when there is no such key, and when it is none that verifies tokens.
    pub async fn public_keys(
        &self,
        epoch: SessionEpoch,
        mount: &str,
        key: &str,
    ) -> Result<Vec<(String, PublicKey)>, ProviderError> {
        let path = key_path(mount, "keys", key, Operation::ReadKey)?;
        let look = Call::read(Operation::ReadKey, path);
        let found: TransitKey = data(&look, &self.in_session(epoch, &look).await?)?;
        let mut keys = Vec::new();
        for (version, public) in &found.keys {
            let text = public.get("public_key").and_then(Value::as_str);
            let public = text.and_then(|it| PublicKey::read(it).ok());
            let (Some(public), Ok(version)) = (public, version.parse()) else {
                let detail = "it is no key that verifies tokens";
                return Err(misconfigured(&look, detail));
            };
            keys.push((key_id(key, version), public));
        }
        Ok(keys)
    }
}

impl Asked<'_> {
    fn path(&self, verb: &'static str, operation: Operation) -> Result<VaultPath, ProviderError> {
        key_path(self.mount, verb, self.key, operation)
    }
}

fn key_path(
    mount: &str,
    verb: &'static str,
    key: &str,
    operation: Operation,
) -> Result<VaultPath, ProviderError> {
    let mount = checked(operation, mount)?;
    let key = checked(operation, key)?;
    Ok(mount.join(&VaultPath::fixed(verb)).join(&key))
}

/// What transit tells of a key.
#[derive(Deserialize)]
struct TransitKey {
    #[serde(rename = "type")]
    kind: String,
    latest_version: u64,
    /// By version; of keys that are not asymmetric, each is a number.
    #[serde(default)]
    keys: BTreeMap<String, Value>,
}

impl TransitKey {
    /// Returns its latest version, or what is wrong with it.
    fn fit_for(&self, algorithm: JwtAlgorithm) -> Result<u64, String> {
        let wanted = kinds(algorithm);
        if wanted.contains(&self.kind.as_str()) {
            return Ok(self.latest_version);
        }
        let name = algorithm.name();
        // A kind is one of a few words of the server's; anything else is not repeated.
        let is_plain = |it: u8| it.is_ascii_alphanumeric() || it == b'-';
        let kind = if self.kind.bytes().all(is_plain) {
            self.kind.as_str()
        } else {
            "another"
        };
        let wanted = wanted.join(" or ");
        Err(format!(
            "the key is of type {kind}, and {name} takes one of type {wanted}"
        ))
    }
}

/// The types of keys that transit signs with by an algorithm.
const fn kinds(algorithm: JwtAlgorithm) -> &'static [&'static str] {
    match algorithm {
        JwtAlgorithm::Rs256 | JwtAlgorithm::Ps256 => &["rsa-2048", "rsa-3072", "rsa-4096"],
        JwtAlgorithm::Es256 => &["ecdsa-p256"],
        JwtAlgorithm::Es384 => &["ecdsa-p384"],
        JwtAlgorithm::EdDsa => &["ed25519"],
    }
}

/// Writes what the engine is to sign, by which version and how.
fn order(algorithm: JwtAlgorithm, version: u64, text: &str) -> Bytes {
    let mut order = Map::new();
    let mut set = |name: &str, value: Value| order.insert(name.to_owned(), value);
    set("input", STANDARD.encode(text).into());
    set("key_version", version.into());
    match algorithm {
        JwtAlgorithm::Rs256 | JwtAlgorithm::Es256 => {
            set("hash_algorithm", "sha2-256".into());
            set("signature_algorithm", "pkcs1v15".into());
        }
        JwtAlgorithm::Ps256 => {
            set("hash_algorithm", "sha2-256".into());
            set("signature_algorithm", "pss".into());
            // RFC 7518 wants a salt as long as the hash; by itself the engine takes the longest.
            set("salt_length", "hash".into());
        }
        JwtAlgorithm::Es384 => {
            set("hash_algorithm", "sha2-384".into());
        }
        JwtAlgorithm::EdDsa => {}
    }
    if matches!(algorithm, JwtAlgorithm::Es256 | JwtAlgorithm::Es384) {
        // Two numbers side by side, as tokens have them, and not in ASN.1.
        set("marshaling_algorithm", "jws".into());
    }
    Bytes::from(Value::Object(order).to_string())
}

#[derive(Deserialize)]
struct Signed {
    #[serde(deserialize_with = "envelope::secret")]
    signature: Secret,
}

/// Puts the token together with its signature, which is written as `vault:v3:…`.
fn complete(
    call: &Call,
    answer: &Answer,
    token: Unsigned,
    version: u64,
) -> Result<Fetched, ProviderError> {
    let envelope = answer::open(call, answer)?;
    let Signed { signature } = data(call, answer)?;
    let life = token.life();
    let token = {
        // EXPOSE: the signature completes the token, which goes into a secret of its own.
        let signature = signature.expose();
        let prefix = format!("vault:v{version}:");
        let encoded = signature.strip_prefix(prefix.as_bytes());
        let encoded = encoded.ok_or_else(|| lost(call, "the signature is of another version"))?;
        let token = token.with_signature(encoded);
        token.map_err(|error: MintError| lost(call, error.to_string()))?
    };
    let mut material = Material::default();
    material.insert("token", token);
    Ok(Fetched {
        material,
        holding: Holding::Token { ttl: life },
        request_id: envelope.request_id(),
        warnings: envelope.warnings(),
    })
}

fn data<T: DeserializeOwned>(call: &Call, answer: &Answer) -> Result<T, ProviderError> {
    let data = answer::open(call, answer)?.data;
    let data = data.ok_or_else(|| lost(call, "the answer holds no fields"))?;
    let read = serde_json::from_str(data.get());
    read.map_err(|error: serde_json::Error| unreadable(call, Unreadable::from(error)))
}
