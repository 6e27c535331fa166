//! Tokens that OpenBao's transit engine signs, verified with the public half of the key.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, TokenData, Validation, decode, decode_header};
use leasehold_model::{
    ClaimPart, ClaimText, ConsumerName, Failure, JwtAlgorithm, JwtKey, JwtTerms,
};
use leasehold_provider::{Fetched, Holding, Provider as _, Source};
use leasehold_testkit::Lab;
use serde_json::{Value, json};

use crate::bench::{ANCHOR, BY_ANCHOR, BY_SESSION, Bench, SESSION, failure, field};

#[tokio::test]
async fn a_token_of_each_algorithm_is_good_by_the_key_that_is_published() -> Result<()> {
    let bench = Bench::logged_in().await?;
    bench.provider.mint_anchor(SESSION, ANCHOR).await?;
    for (algorithm, kind) in [
        (JwtAlgorithm::Rs256, "rsa-2048"),
        (JwtAlgorithm::Ps256, "rsa-3072"),
        (JwtAlgorithm::Es256, "ecdsa-p256"),
        (JwtAlgorithm::Es384, "ecdsa-p384"),
        (JwtAlgorithm::EdDsa, "ed25519"),
    ] {
        make_key(&bench.lab, kind, kind).await?;
        let source = minted(kind, algorithm, Some("shop"));
        for holder in [BY_SESSION, BY_ANCHOR] {
            let fetched = bench.provider.fetch(holder, &source).await?;
            let Holding::Token { ttl } = fetched.holding else {
                bail!("{:?}", fetched.holding);
            };
            ensure!(ttl > Duration::from_secs(298), "{ttl:?}");
            ensure!(ttl <= Duration::from_secs(300), "{ttl:?}");
            ensure!(fetched.request_id.is_some(), "it is found in the log");
            let read = verified(&bench, &fetched, kind, algorithm).await?;
            ensure!(read.claims["sub"] == "shop", "{:?}", read.claims);
            ensure!(read.claims["tenant"] == "acme", "{:?}", read.claims);
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_version_of_a_rotated_key_is_named_by_the_next_token() -> Result<()> {
    let bench = Bench::logged_in().await?;
    let algorithm = JwtAlgorithm::Es256;
    make_key(&bench.lab, "partner", "ecdsa-p256").await?;
    let source = minted("partner", algorithm, Some("shop"));
    let mut tokens = Vec::new();
    for version in 1..=3 {
        let fetched = bench.provider.fetch(BY_SESSION, &source).await?;
        let kid = decode_header(field(&fetched, "token")?)?.kid;
        ensure!(kid == Some(format!("partner.v{version}")), "{kid:?}");
        tokens.push(fetched);
        let path = "transit/keys/partner/rotate";
        bench.lab.openbao.api("POST", path, None).await?;
    }
    // The set has the former versions too, so that what they signed is good until it runs out.
    for token in &tokens {
        verified(&bench, token, "partner", algorithm).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_a_person_must_mend_is_told_as_such() -> Result<()> {
    let bench = Bench::logged_in().await?;
    make_key(&bench.lab, "partner", "ecdsa-p256").await?;
    make_key(&bench.lab, "symmetric", "aes256-gcm96").await?;
    let of = |key: &str, algorithm| minted(key, algorithm, Some("shop"));
    let cases = [
        (of("none", JwtAlgorithm::Es256), "there is no such key"),
        (
            of("partner", JwtAlgorithm::EdDsa),
            "takes one of type ed25519",
        ),
        (of("symmetric", JwtAlgorithm::Es256), "of type aes256-gcm96"),
        (
            minted("partner", JwtAlgorithm::Es256, None),
            "issued for none",
        ),
    ];
    for (source, said) in cases {
        let outcome = bench.provider.fetch(BY_SESSION, &source).await;
        ensure!(
            failure(&outcome) == Some(Failure::Misconfigured),
            "{outcome:?}"
        );
        let text = outcome.err().context("an error")?.to_string();
        ensure!(text.contains(said), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_forbidden_is_denied_and_what_is_sealed_is_not_reached() -> Result<()> {
    let bench = Bench::logged_in().await?;
    make_key(&bench.lab, "partner", "ecdsa-p256").await?;
    let source = minted("partner", JwtAlgorithm::Es256, Some("shop"));
    for forbidden in ["transit/sign/partner", "transit/keys/partner"] {
        let policy = bench.lab.openbao.api("GET", POLICY, None).await?;
        let policy = policy.pointer("/data/policy").and_then(Value::as_str);
        let policy = policy.context("the policy")?;
        let denied = format!("{policy}\npath {forbidden:?} {{ capabilities = [\"deny\"] }}\n");
        let put = |text: &str| {
            let body = json!({ "policy": text });
            bench.lab.openbao.api("PUT", POLICY, Some(body))
        };
        put(&denied).await?;
        let outcome = bench.provider.fetch(BY_SESSION, &source).await;
        ensure!(failure(&outcome) == Some(Failure::Denied), "{outcome:?}");
        put(policy).await?;
        bench.provider.fetch(BY_SESSION, &source).await?;
    }
    bench.lab.openbao.seal().await?;
    let outcome = bench.provider.fetch(BY_SESSION, &source).await;
    ensure!(
        failure(&outcome) == Some(Failure::Unreachable),
        "{outcome:?}"
    );
    Ok(())
}

async fn make_key(lab: &Lab, name: &str, kind: &str) -> Result<()> {
    let path = format!("transit/keys/{name}");
    let body = json!({ "type": kind });
    lab.openbao.api("POST", &path, Some(body)).await?;
    Ok(())
}

fn minted(key: &str, algorithm: JwtAlgorithm, consumer: Option<&str>) -> Source {
    let tenant = ClaimText(vec![ClaimPart::Text("acme".to_owned())]);
    Source::Minted {
        key: JwtKey::Transit {
            mount: "transit".to_owned(),
            name: key.to_owned(),
        },
        terms: Arc::new(JwtTerms {
            algorithm,
            issuer: "https://gateway.example".to_owned(),
            audiences: vec!["https://partner.example".to_owned()],
            subject: ClaimText(vec![ClaimPart::Consumer]),
            claims: BTreeMap::from([("tenant".to_owned(), tenant)]),
            lifetime: Duration::from_secs(300),
        }),
        consumer: consumer.map(ConsumerName::from),
    }
}

/// Verifies a token with the key that its header names, out of those that are published.
async fn verified(
    bench: &Bench,
    fetched: &Fetched,
    key: &str,
    algorithm: JwtAlgorithm,
) -> Result<TokenData<Value>> {
    let token = field(fetched, "token")?;
    let kid = decode_header(&token)?.kid.context("a kid")?;
    let keys = bench.provider.public_keys(SESSION, "transit", key).await?;
    let (_, public) = keys
        .into_iter()
        .find(|(id, _)| *id == kid)
        .context("a key of that name")?;
    let jwk: Jwk = serde_json::from_value(public.jwk(&kid, algorithm)?)?;
    let mut rules = Validation::new(algorithm.name().parse::<Algorithm>()?);
    rules.set_audience(&["https://partner.example"]);
    rules.set_issuer(&["https://gateway.example"]);
    rules.validate_nbf = true;
    Ok(decode(&token, &DecodingKey::from_jwk(&jwk)?, &rules)?)
}

const POLICY: &str = "sys/policies/acl/gateway";
