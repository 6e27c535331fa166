use anyhow::{Context as _, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    UnparsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_model::{Clock as _, SystemClock};
use serde_json::{Value, json};

/// Somebody who signs JSON Web Tokens with ES256.
pub(crate) struct Signer {
    key: EcdsaKeyPair,
    public_pem: String,
}

impl Signer {
    pub(crate) fn generate() -> Result<Self> {
        let generated = rcgen::KeyPair::generate()?;
        let key = generated.serialize_der();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key);
        Ok(Self {
            key: key.ok().context("a key of this kind")?,
            public_pem: generated.public_key_pem(),
        })
    }

    pub(crate) fn public_pem(&self) -> &str {
        &self.public_pem
    }

    /// Signs claims, which expire so many seconds from now.
    pub(crate) fn sign(&self, mut claims: Value, seconds: i64) -> Result<String> {
        claims["exp"] = json!(now()? + seconds);
        claims["iat"] = json!(now()? - 1);
        let header = json!({ "alg": "ES256", "typ": "JWT" });
        let signed = format!("{}.{}", part(&header), part(&claims));
        let signature = self.key.sign(&SystemRandom::new(), signed.as_bytes());
        let signature = signature.ok().context("a signature")?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// Returns the claims of a token that this signer signed and that has not expired.
    pub(crate) fn check(&self, token: &str) -> Option<Value> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let public = self.key.public_key().as_ref();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public)
            .verify(signed.as_bytes(), &signature)
            .ok()?;
        let (_header, claims) = signed.split_once('.')?;
        let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        let expires = claims["exp"].as_i64()?;
        (expires > now().ok()?).then_some(claims)
    }
}

/// Returns the seconds since 1970.
pub(crate) fn now() -> Result<i64> {
    let since = SystemClock.wall().duration_since(std::time::UNIX_EPOCH)?;
    Ok(i64::try_from(since.as_secs())?)
}

fn part(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}
