use std::collections::BTreeMap;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
};
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use leasehold_model::{ClaimPart, ClaimText, Clock as _, JwtAlgorithm, SystemClock};
use leasehold_secret::Expose as _;

use super::*;

const ALL: [JwtAlgorithm; 5] = [
    JwtAlgorithm::Rs256,
    JwtAlgorithm::Ps256,
    JwtAlgorithm::Es256,
    JwtAlgorithm::Es384,
    JwtAlgorithm::EdDsa,
];

fn pem(algorithm: JwtAlgorithm) -> Secret {
    let curve = |curve| {
        let key = EcdsaKeyPair::generate(curve).expect("a key");
        key.to_pkcs8v1().expect("DER").as_ref().to_vec()
    };
    let der = match algorithm {
        JwtAlgorithm::Rs256 | JwtAlgorithm::Ps256 => {
            let key = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key");
            let der: Pkcs8V1Der<'_> = key.as_der().expect("DER");
            der.as_ref().to_vec()
        }
        JwtAlgorithm::Es256 => curve(&ECDSA_P256_SHA256_FIXED_SIGNING),
        JwtAlgorithm::Es384 => curve(&ECDSA_P384_SHA384_FIXED_SIGNING),
        JwtAlgorithm::EdDsa => {
            let key = Ed25519KeyPair::generate().expect("a key");
            let der: Pkcs8V1Der<'_> = key.as_der().expect("DER");
            der.as_ref().to_vec()
        }
    };
    let text = STANDARD.encode(der);
    Secret::new(format!(
        "-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n"
    ))
}

fn terms(algorithm: JwtAlgorithm) -> JwtTerms {
    let fixed = |text: &str| ClaimText(vec![ClaimPart::Text(text.to_owned())]);
    JwtTerms {
        algorithm,
        issuer: "https://gateway.example".to_owned(),
        audiences: vec!["https://partner.example".to_owned()],
        subject: ClaimText(vec![ClaimPart::Consumer]),
        claims: BTreeMap::from([("tenant".to_owned(), fixed("acme"))]),
        lifetime: Duration::from_secs(300),
    }
}

fn text_of(token: &Secret) -> String {
    // EXPOSE: the test verifies a token of its own.
    token.expose().as_str().expect("text").to_owned()
}

#[test]
fn a_token_of_each_algorithm_is_verified_by_the_key_that_is_published() {
    let consumer = ConsumerName::from("shop");
    let now = SystemClock.wall();
    for algorithm in ALL {
        let key = SigningKey::read(&pem(algorithm)).expect("a key");
        let terms = terms(algorithm);
        let unsigned = Unsigned::write(&terms, Some(&consumer), "k.v1", now).expect("claims");
        assert!(unsigned.life() <= terms.lifetime);
        assert!(unsigned.life() > terms.lifetime - Duration::from_secs(1));
        let token = text_of(&unsigned.signed_by(&key, &terms).expect("a token"));

        let jwk = key
            .public()
            .expect("a public key")
            .jwk("k.v1", algorithm)
            .expect("an entry");
        let jwk: Jwk = serde_json::from_value(jwk).expect("a jwk");
        let mut rules = Validation::new(algorithm.name().parse::<Algorithm>().expect("known"));
        rules.set_audience(&terms.audiences);
        rules.set_issuer(&[&terms.issuer]);
        rules.validate_nbf = true;
        let public = DecodingKey::from_jwk(&jwk).expect("a key");
        let read = decode::<Value>(&token, &public, &rules).expect("a good signature");
        assert_eq!(read.claims["sub"], "shop");
        assert_eq!(read.claims["tenant"], "acme");
        assert_eq!(read.header.kid.as_deref(), Some("k.v1"));
        let number = |name: &str| read.claims[name].as_u64().expect("a number");
        assert_eq!(number("exp") - number("iat"), 300);
        assert_eq!(number("iat") - number("nbf"), 30);

        let forged = token.replacen('.', "x.", 1);
        assert!(decode::<Value>(&forged, &public, &rules).is_err());
        assert_eq!(
            decode_header(&token).expect("a header").kid,
            read.header.kid
        );
    }
}

#[test]
fn two_tokens_have_two_ids() {
    let id = || random_id().expect("random bytes");
    assert_ne!(id(), id());
}

#[test]
fn a_key_signs_by_no_other_algorithm_than_its_own() {
    let key = SigningKey::read(&pem(JwtAlgorithm::Es256)).expect("a key");
    for algorithm in ALL.into_iter().filter(|it| *it != JwtAlgorithm::Es256) {
        let error = key.sign(algorithm, b"text").expect_err("another kind");
        assert_eq!(error, KeyError::Mismatch(algorithm));
        assert!(
            key.public()
                .expect("a public key")
                .jwk("k", algorithm)
                .is_err()
        );
    }
    assert!(!format!("{key:?}").contains("BEGIN"));
}

#[test]
fn what_is_no_key_is_told_without_a_word_of_it() {
    let error = SigningKey::read(&Secret::new("canary")).expect_err("no key");
    assert_eq!(error, KeyError::NotPem);
    let text = "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----\n";
    let error = SigningKey::read(&Secret::new(text)).expect_err("no key");
    assert_eq!(error, KeyError::Unsupported);
}

#[test]
fn a_token_that_names_its_consumer_is_issued_for_nobody_else() {
    let terms = terms(JwtAlgorithm::Es256);
    let error = Unsigned::write(&terms, None, "k.v1", SystemClock.wall());
    assert!(matches!(error, Err(MintError::NoConsumer)));
}

#[test]
fn several_audiences_are_a_list() {
    let mut terms = terms(JwtAlgorithm::Es256);
    terms.audiences.push("https://other.example".to_owned());
    let consumer = ConsumerName::from("shop");
    let unsigned =
        Unsigned::write(&terms, Some(&consumer), "k", SystemClock.wall()).expect("claims");
    let (_, claims) = unsigned.text().split_once('.').expect("two parts");
    let claims = URL_SAFE_NO_PAD.decode(claims).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("json");
    assert_eq!(claims["aud"].as_array().map(Vec::len), Some(2));
}

#[test]
fn a_signature_of_either_alphabet_is_taken_and_anything_else_is_not() {
    let consumer = ConsumerName::from("shop");
    let terms = terms(JwtAlgorithm::Es256);
    let unsigned =
        || Unsigned::write(&terms, Some(&consumer), "k", SystemClock.wall()).expect("claims");
    let token = unsigned().with_signature(b"a+/b==").expect("a token");
    assert!(text_of(&token).ends_with(".a-_b"));
    for other in [&b""[..], b"==", b"a b", b"a.b"] {
        assert!(unsigned().with_signature(other).is_err());
    }
}
