use aws_lc_rs::hmac;
use http::header::AUTHORIZATION;
use serde_json::json;

use super::*;
use crate::KeySet;
use crate::mint::{Signer, encoded, message};

#[test]
fn each_algorithm_is_taken_with_its_own_kind_of_key() {
    for algorithm in [
        Algorithm::Es256,
        Algorithm::Es384,
        Algorithm::EdDsa,
        Algorithm::Rs256,
    ] {
        let lab = Lab::new(algorithm);
        let verified = lab.verify(&lab.token()).expect("a token that holds");
        assert_eq!(verified.subject.as_deref(), Some("alice"));
        assert_eq!(verified.id.as_deref(), Some("t-1"));
        assert_eq!(verified.scopes, ["orders:read", "orders:write"]);
        assert_eq!(verified.issuer.as_str(), "corp");
    }
}

/// Every byte of a token, each bit of it, and thousands of larger changes.
#[test]
fn no_change_of_a_token_holds() {
    let lab = Lab::new(Algorithm::Es256);
    let token = lab.token();
    let mut tried = 0;
    let mut refused = |changed: Vec<u8>| {
        tried += 1;
        let Ok(changed) = String::from_utf8(changed) else {
            return;
        };
        let held = changed != token && lab.verify(&changed).is_ok();
        assert!(!held, "{changed}");
    };
    for place in 0..token.len() {
        for bit in 0..8 {
            let mut changed = token.clone().into_bytes();
            changed[place] ^= 1 << bit;
            refused(changed);
        }
        let mut shorter = token.clone().into_bytes();
        shorter.remove(place);
        refused(shorter);
        refused(token.as_bytes()[..place].to_vec());
    }
    let mut random = fastrand::Rng::with_seed(7519);
    for _ in 0..10_000 {
        let mut changed = token.clone().into_bytes();
        for _ in 0..random.usize(1..6) {
            let place = random.usize(..changed.len());
            match random.u8(..3) {
                0 => changed[place] = random.choice(ALPHABET).copied().expect("a byte"),
                1 => changed.insert(place, *random.choice(ALPHABET).expect("a byte")),
                _ => drop(changed.remove(place)),
            }
        }
        refused(changed);
    }
    assert!(tried > 13_000, "{tried}");
    assert!(lab.verify(&token).is_ok());
}

#[test]
fn an_algorithm_is_not_the_senders_to_choose() {
    let lab = Lab::new(Algorithm::Rs256);
    let public = lab.signer.public();
    let keys = [
        public.clone(),
        lab.keys.clone(),
        encoded(&public).into_bytes(),
    ];
    for name in ["HS256", "HS384", "HS512", "hs256"] {
        for key in &keys {
            let message = message(&json!({ "alg": name, "kid": "k1" }), &Lab::claims());
            let algorithm = match name {
                "HS384" => hmac::HMAC_SHA384,
                "HS512" => hmac::HMAC_SHA512,
                _ => hmac::HMAC_SHA256,
            };
            let tag = hmac::sign(&hmac::Key::new(algorithm, key), message.as_bytes());
            let token = format!("{message}.{}", encoded(tag.as_ref()));
            assert_eq!(lab.fault(&token), "signature", "{name}");
        }
    }
    for name in ["none", "NONE", "None", "nOnE", "", "RS256 ", "rs256"] {
        let message = message(&json!({ "alg": name, "kid": "k1" }), &Lab::claims());
        assert_eq!(lab.fault(&format!("{message}.AA")), "signature", "{name}");
        assert_eq!(lab.fault(&format!("{message}.")), "malformed", "{name}");
    }
    // Signed by the right key, and said to be signed in another way.
    for name in ["RS384", "RS512", "PS256", "ES256", "EdDSA"] {
        let token = lab.signed(&json!({ "alg": name, "kid": "k1" }), &Lab::claims());
        assert_eq!(lab.fault(&token), "signature", "{name}");
    }
}

#[test]
fn a_curve_is_not_the_senders_to_choose() {
    let lab = Lab::new(Algorithm::Es256);
    for name in ["ES384", "EdDSA"] {
        let token = lab.signed(&json!({ "alg": name, "kid": "k1" }), &Lab::claims());
        assert_eq!(lab.fault(&token), "signature", "{name}");
    }
    let other = Signer::new(Algorithm::Es384);
    let token = other.sign(&json!({ "alg": "ES256", "kid": "k1" }), &Lab::claims());
    assert_eq!(lab.fault(&token), "signature");
}

#[test]
fn of_what_is_taken_only_the_listed_is() {
    let mut lab = Lab::new(Algorithm::Es256);
    lab.issuer.algorithms = vec![Algorithm::Rs256];
    assert_eq!(lab.fault(&lab.token()), "signature");
}

#[test]
fn keys_that_come_along_are_not_looked_at() {
    let lab = Lab::new(Algorithm::Es256);
    let own = Signer::new(Algorithm::Es256);
    for (name, value) in [
        ("jwk", own.jwk("k1")),
        ("jku", json!("https://attacker.example/jwks.json")),
        ("x5u", json!("https://attacker.example/chain.pem")),
        ("x5c", json!(["MIIB"])),
    ] {
        let mut head = json!({ "alg": "ES256", "kid": "k1" });
        head[name] = value;
        assert_eq!(lab.fault(&own.sign(&head, &Lab::claims())), "signature");
        assert!(
            lab.verify(&lab.signed(&head, &Lab::claims())).is_ok(),
            "{name}"
        );
    }
}

#[test]
fn the_id_of_a_key_is_looked_up_and_nothing_else() {
    let lab = Lab::new(Algorithm::Es256);
    for id in [
        "../../etc/passwd",
        "k1' OR '1'='1",
        "/dev/null",
        "K1",
        "",
        "k1\u{0}",
    ] {
        let token = lab.signed(&json!({ "alg": "ES256", "kid": id }), &Lab::claims());
        assert_eq!(lab.fault(&token), "unknown key", "{id}");
    }
    let token = lab.signed(&json!({ "alg": "ES256", "kid": ["k1"] }), &Lab::claims());
    assert_eq!(lab.fault(&token), "malformed");
}

#[test]
fn a_token_that_names_no_key_means_the_only_one() {
    let lab = Lab::new(Algorithm::Es256);
    let token = lab.signed(&json!({ "alg": "ES256" }), &Lab::claims());
    assert!(lab.verify(&token).is_ok());
    let other = Signer::new(Algorithm::Es256);
    let both = json!({ "keys": [lab.signer.jwk("k1"), other.jwk("k2")] });
    lab.publish(&both);
    assert_eq!(lab.fault(&token), "signature");
}

#[test]
fn extensions_and_other_types_are_refused() {
    let lab = Lab::new(Algorithm::Es256);
    let head = |name: &str, value: Value| {
        let mut head = json!({ "alg": "ES256", "kid": "k1" });
        head[name] = value;
        lab.signed(&head, &Lab::claims())
    };
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("zip", json!("DEF")),
        ("typ", json!("dpop+jwt")),
        ("typ", json!("logout+jwt")),
        ("typ", json!("secevent+jwt")),
        ("typ", json!(1)),
        ("alg", json!(null)),
    ] {
        assert_eq!(lab.fault(&head(name, value)), "malformed", "{name}");
    }
    for kind in ["JWT", "jwt", "at+jwt", "application/at+jwt"] {
        assert!(lab.verify(&head("typ", json!(kind))).is_ok(), "{kind}");
    }
}

#[test]
fn a_name_that_stands_twice_is_refused() {
    let lab = Lab::new(Algorithm::Es256);
    let head = json!({ "alg": "ES256", "kid": "k1" });
    let claims = Lab::claims().replacen('{', r#"{"sub":"mallory","#, 1);
    assert_eq!(lab.fault(&lab.signed(&head, &claims)), "malformed");
    let written = format!(
        "{}.{}.AA",
        encoded(br#"{"alg":"ES256","alg":"ES256"}"#),
        encoded(Lab::claims().as_bytes())
    );
    assert_eq!(lab.fault(&written), "malformed");
}

#[test]
fn times_are_checked_with_the_skew_and_not_beyond() {
    let lab = Lab::new(Algorithm::Es256);
    let with = |name: &str, value: Value| {
        let mut claims: Value = serde_json::from_str(&Lab::claims()).expect("claims");
        claims[name] = value;
        lab.fault(&lab.signed(&json!({ "alg": "ES256", "kid": "k1" }), &claims.to_string()))
    };
    for (name, value, fault) in [
        ("exp", json!(NOW - 29), ""),
        ("exp", json!(NOW - 30), "expired"),
        ("exp", json!(NOW as f64 - 29.5), ""),
        ("exp", json!(null), "malformed"),
        ("exp", json!("9999999999"), "malformed"),
        ("exp", json!(-1), "malformed"),
        ("nbf", json!(NOW + 30), ""),
        ("nbf", json!(NOW + 31), "expired"),
        ("nbf", json!("0"), "malformed"),
        ("iat", json!(NOW + 31), "expired"),
        ("aud", json!("us"), ""),
        ("aud", json!(["them", "us"]), ""),
        ("aud", json!(["them"]), "audience"),
        ("aud", json!("US"), "audience"),
        ("aud", json!([]), "audience"),
        ("aud", json!(["us", 1]), "malformed"),
        ("aud", json!({ "us": true }), "malformed"),
        ("iss", json!("https://issuer.example/"), "issuer"),
        ("iss", json!(1), "malformed"),
        ("sub", json!(1), "malformed"),
        ("sub", json!("x".repeat(256)), "malformed"),
        ("scope", json!("a\u{7}"), "malformed"),
        ("scope", json!(1), "malformed"),
        ("scope", json!(["a b"]), "malformed"),
    ] {
        assert_eq!(with(name, value.clone()), fault, "{name} {value}");
    }
    let mut claims: Value = serde_json::from_str(&Lab::claims()).expect("claims");
    let head = json!({ "alg": "ES256", "kid": "k1" });
    for name in ["exp", "aud", "iss"] {
        let taken = claims.as_object_mut().and_then(|it| it.remove(name));
        assert_ne!(
            lab.fault(&lab.signed(&head, &claims.to_string())),
            "",
            "{name}"
        );
        claims[name] = taken.expect("it was there");
    }
}

#[test]
fn too_long_a_token_and_keys_that_are_too_old_are_refused() {
    let mut lab = Lab::new(Algorithm::Es256);
    let token = lab.token();
    assert_eq!(lab.fault_at(&token, MAX_STALE), "");
    assert_eq!(
        lab.fault_at(&token, MAX_STALE + Duration::from_nanos(1)),
        "no keys"
    );
    lab.issuer.longest = token.len() - 1;
    assert_eq!(lab.fault(&token), "malformed");
    lab.issuer.keys = Arc::new(IssuerKeys::new(MAX_STALE));
    lab.issuer.longest = token.len();
    assert_eq!(lab.fault(&token), "no keys");
}

#[test]
fn a_token_is_taken_in_its_own_header_only() {
    let lab = Lab::new(Algorithm::Es256);
    let header = HeaderName::from_static("x-token");
    let issuers = std::slice::from_ref(&lab.issuer);
    assert!(verify(issuers, &header, &lab.token(), at(Duration::ZERO)).is_err());
}

/// Whatever is done to a set of keys, it is read or refused, and what is read does not check what it
/// should not.
#[test]
fn rubbish_is_no_set_of_keys() {
    let lab = Lab::new(Algorithm::Es256);
    let forged = Signer::new(Algorithm::Es256);
    let token = forged.sign(&json!({ "alg": "ES256", "kid": "k1" }), &Lab::claims());
    let mut random = fastrand::Rng::with_seed(7517);
    let mut read = 0;
    for _ in 0..20_000 {
        let mut changed = lab.keys.clone();
        for _ in 0..random.usize(1..4) {
            let place = random.usize(..changed.len());
            match random.u8(..4) {
                0 => changed[place] = random.u8(..),
                1 => changed.insert(place, *random.choice(b"{}[]\",:").expect("a byte")),
                2 => changed.truncate(place.max(1)),
                _ => drop(changed.remove(place)),
            }
            if changed.is_empty() {
                changed.push(b'{');
            }
        }
        if let Ok(keys) = KeySet::parse(&changed) {
            read += 1;
            lab.issuer.keys.publish(keys, BootTime::default());
            assert_ne!(lab.fault(&token), "");
        }
    }
    assert!(read > 100, "{read}");
    for rubbish in ["", "{}", "[]", "<html>", r#"{"keys":{}}"#, r#"{"keys":[]}"#] {
        KeySet::parse(rubbish.as_bytes()).expect_err(rubbish);
    }
}

#[test]
fn keys_for_something_else_are_passed_over() {
    let signer = Signer::new(Algorithm::Es256);
    let with = |name: &str, value: Value| {
        let mut key = signer.jwk("k1");
        key[name] = value;
        KeySet::parse(json!({ "keys": [key] }).to_string().as_bytes()).is_ok()
    };
    assert!(with("use", json!("sig")) && with("key_ops", json!(["verify"])));
    assert!(with("alg", json!("ES256")));
    for (name, value) in [
        ("use", json!("enc")),
        ("use", json!(1)),
        ("key_ops", json!(["encrypt"])),
        ("key_ops", json!("verify")),
        ("alg", json!("HS256")),
        ("alg", json!("ES384")),
        ("alg", json!("RS256")),
        ("alg", json!("none")),
        ("kty", json!("RSA")),
        ("kty", json!("oct")),
        ("crv", json!("P-521")),
        ("kid", json!(1)),
        ("x", json!("!")),
    ] {
        assert!(!with(name, value.clone()), "{name} {value}");
    }
    let secret = json!({ "keys": [{ "kty": "oct", "kid": "k1", "k": "c2VjcmV0" }] });
    KeySet::parse(secret.to_string().as_bytes()).expect_err("a secret");
}

struct Lab {
    signer: Signer,
    algorithm: Algorithm,
    issuer: Issuer,
    keys: Vec<u8>,
}

impl Lab {
    fn new(algorithm: Algorithm) -> Self {
        let signer = Signer::new(algorithm);
        let keys = json!({ "keys": [signer.jwk("k1")] });
        let issuer = Issuer {
            name: "corp".into(),
            identifier: "https://issuer.example".to_owned(),
            audiences: vec!["us".to_owned()],
            algorithms: Algorithm::ALL.to_vec(),
            clock_skew: Duration::from_secs(30),
            header: AUTHORIZATION,
            longest: 8192,
            keys: Arc::new(IssuerKeys::new(MAX_STALE)),
        };
        let lab = Self {
            signer,
            algorithm,
            issuer,
            keys: keys.to_string().into_bytes(),
        };
        lab.publish(&keys);
        lab
    }

    fn publish(&self, keys: &Value) {
        let keys = KeySet::parse(keys.to_string().as_bytes()).expect("keys");
        self.issuer.keys.publish(keys, BootTime::default());
    }

    fn claims() -> String {
        json!({
            "iss": "https://issuer.example", "aud": "us", "sub": "alice", "jti": "t-1",
            "exp": NOW + 60, "scope": "orders:read orders:write",
        })
        .to_string()
    }

    fn token(&self) -> String {
        let head = json!({ "alg": self.algorithm.name(), "kid": "k1", "typ": "JWT" });
        self.signed(&head, &Self::claims())
    }

    fn signed(&self, head: &Value, claims: &str) -> String {
        self.signer.sign(head, claims)
    }

    fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        let issuers = std::slice::from_ref(&self.issuer);
        verify(issuers, &AUTHORIZATION, token, at(Duration::ZERO))
    }

    /// Returns what is wrong; nothing where nothing is.
    fn fault(&self, token: &str) -> &'static str {
        self.fault_at(token, Duration::ZERO)
    }

    fn fault_at(&self, token: &str, boot: Duration) -> &'static str {
        let issuers = std::slice::from_ref(&self.issuer);
        match verify(issuers, &AUTHORIZATION, token, at(boot)) {
            Ok(_) => "",
            Err(TokenError::Malformed) => "malformed",
            Err(TokenError::Issuer) => "issuer",
            Err(TokenError::Signature) => "signature",
            Err(TokenError::UnknownKey(_)) => "unknown key",
            Err(TokenError::NoKeys(_)) => "no keys",
            Err(TokenError::Expired) => "expired",
            Err(TokenError::Audience) => "audience",
        }
    }
}

fn at(boot: Duration) -> Times {
    Times {
        wall: SystemTime::UNIX_EPOCH + Duration::from_secs(NOW),
        boot: BootTime::default().after(boot),
    }
}

const NOW: u64 = 1_800_000_000;
const MAX_STALE: Duration = Duration::from_secs(3600);
const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=";
