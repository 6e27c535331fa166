use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_consumer::{Algorithm, Consumers, Issuer, IssuerKeys, KeySet, TokenRule};
use leasehold_model::{BootTime, Clock as _, SystemClock};
use parking_lot::Mutex;
use serde_json::{Value, json};

/// An issuer whose keys come late, and somebody who would be it.
pub(super) struct Issuers {
    true_key: EcdsaKeyPair,
    false_key: EcdsaKeyPair,
    /// Anew for each gateway, so that its first request finds none.
    keys: Mutex<Arc<IssuerKeys>>,
}

impl Issuers {
    pub(super) fn new() -> Self {
        let key = || EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        Self {
            true_key: key(),
            false_key: key(),
            keys: Mutex::new(Arc::new(IssuerKeys::new(LIFE))),
        }
    }

    pub(super) fn added_to(&self, consumers: Consumers) -> Consumers {
        let keys = Arc::new(IssuerKeys::new(LIFE));
        *self.keys.lock() = Arc::clone(&keys);
        let issuer = Issuer {
            name: "corp".into(),
            identifier: ISSUER.to_owned(),
            audiences: vec!["api".to_owned()],
            algorithms: vec![Algorithm::Es256],
            clock_skew: Duration::from_secs(30),
            header: http::header::AUTHORIZATION,
            longest: 8192,
            keys,
        };
        let rule = TokenRule {
            consumer: "checkout".into(),
            issuer: "corp".into(),
            subject: None,
            claims: vec![],
        };
        consumers.with_tokens(vec![issuer], vec![rule])
    }

    /// Has the issuer's keys come.
    pub(super) fn publish(&self, now: BootTime) {
        let point = &self.true_key.public_key().as_ref()[1..];
        let (x, y) = point.split_at(32);
        let (x, y) = (encoded(x), encoded(y));
        let key = json!({ "kty": "EC", "crv": "P-256", "kid": "k1", "x": x, "y": y });
        let keys = json!({ "keys": [key] }).to_string();
        let keys = KeySet::parse(keys.as_bytes()).expect("keys");
        self.keys.lock().publish(keys, now);
    }

    /// Returns a header with a token, signed by the issuer's key or by another.
    pub(super) fn bearer(&self, truly: bool) -> String {
        let now = SystemClock.wall().duration_since(SystemTime::UNIX_EPOCH);
        let ends = now.expect("a time").as_secs() + 300;
        let claims = json!({ "iss": ISSUER, "aud": "api", "sub": "alice", "exp": ends });
        let head = json!({ "alg": "ES256", "kid": "k1" });
        let part = |it: &Value| encoded(it.to_string().as_bytes());
        let message = format!("{}.{}", part(&head), part(&claims));
        let key = if truly {
            &self.true_key
        } else {
            &self.false_key
        };
        let signed = key.sign(&SystemRandom::new(), message.as_bytes());
        let signature = encoded(signed.expect("a signature").as_ref());
        format!("Authorization: Bearer {message}.{signature}\r\n")
    }
}

fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

const ISSUER: &str = "https://issuer.example";
const LIFE: Duration = Duration::from_secs(3600);
