//! Tokens that the gateway has signed, shown to an origin that verifies each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode, decode_header};
use leasehold_testkit::origin::{Handler, json};
use leasehold_testkit::{GatewayProcess, Lab, Origin, Scratch, wait};
use parking_lot::Mutex;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::native;
use crate::support::{
    CONSUMER_KEY, Gateway, OTHER_KEY, PATIENCE, binary, document, lab, vault_provider,
};

/// Takes a token where one of the published keys has signed it, for this audience and in its time; says
/// for whom it is.
#[derive(Default)]
struct Partner {
    keys: Mutex<BTreeMap<String, Jwk>>,
    /// The configuration whose keys it asks for anew where a token names one that it does not know.
    config: Mutex<Option<PathBuf>>,
    shown: Mutex<BTreeSet<Shown>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Shown {
    token: String,
    kid: String,
    subject: String,
}

impl Partner {
    fn trust(&self, keys: JwkSet) {
        let named = keys.keys.into_iter();
        let named = named.filter_map(|it| Some((it.common.key_id.clone()?, it)));
        self.keys.lock().extend(named);
    }

    fn read(&self, token: &str) -> Result<Shown> {
        let kid = decode_header(token)?.kid.context("a kid")?;
        let config = self.config.lock().clone();
        let known = self.keys.lock().contains_key(&kid);
        if let (false, Some(config)) = (known, config) {
            self.trust(published(&config)?);
        }
        let key = self.keys.lock().get(&kid).cloned();
        let key = key.with_context(|| format!("there is no key {kid}"))?;
        let mut rules = Validation::new(Algorithm::ES256);
        rules.set_audience(&["https://partner.example"]);
        rules.set_issuer(&["https://gateway.example"]);
        rules.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        rules.validate_nbf = true;
        rules.leeway = 0;
        let read = decode::<Value>(token, &DecodingKey::from_jwk(&key)?, &rules)?;
        let text = |name: &str| read.claims.get(name)?.as_str().map(str::to_owned);
        let subject = text("sub").context("a subject")?;
        ensure!(text("client") == Some(format!("acme/{subject}")));
        Ok(Shown {
            token: token.to_owned(),
            kid,
            subject,
        })
    }
}

struct AtPartner(Arc<Partner>);

impl Handler for AtPartner {
    async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        let shown = request.headers().get_all("authorization").iter();
        let shown: Vec<_> = shown.filter_map(|it| it.to_str().ok()).collect();
        let token = match shown.as_slice() {
            [one] => one.strip_prefix("Bearer "),
            _ => None,
        };
        match token.map(|it| self.0.read(it)) {
            Some(Ok(shown)) => {
                let answer = json(200, &serde_json::json!({ "sub": shown.subject }));
                self.0.shown.lock().insert(shown);
                answer
            }
            Some(Err(error)) => json(401, &serde_json::json!({ "error": error.to_string() })),
            None => json(401, &serde_json::json!({ "error": "no token" })),
        }
    }
}

/// An origin that verifies, and what it has seen.
async fn partner() -> Result<(Origin<AtPartner>, Arc<Partner>)> {
    let partner = Arc::new(Partner::default());
    let origin = Origin::serve(AtPartner(Arc::clone(&partner))).await?;
    Ok((origin, partner))
}

fn parts(providers: &str, from: &str, origin: &Origin<AtPartner>) -> String {
    format!(
        "{providers}\
         credentials:\n  \
           partner: {{ from: {from}, per: consumer }}\n\
         upstreams:\n  \
           partner:\n    \
             endpoints: [{:?}]\n    \
             credential: partner\n    \
             inject: {{ header: Authorization, prefix: 'Bearer ', field: token }}\n\
         routes: [{{ name: partner, upstream: partner, consumers: [tester, other] }}]\n",
        origin.url()
    )
}

fn jwt(key: &str, lifetime: &str) -> String {
    format!(
        "{{ {key} algorithm: ES256, issuer: 'https://gateway.example', \
         audience: 'https://partner.example', subject: '{{consumer}}', \
         claims: {{ client: 'acme/{{consumer}}' }}, lifetime: {lifetime} }}"
    )
}

fn of_vault(lifetime: &str) -> String {
    let jwt = jwt("key: partner,", lifetime);
    format!("{{ provider: vault, jwt: {jwt} }}")
}

async fn make_key(lab: &Lab) -> Result<()> {
    let body = serde_json::json!({ "type": "ecdsa-p256" });
    let path = "transit/keys/partner";
    lab.openbao.api("POST", path, Some(body)).await?;
    Ok(())
}

/// Has the key set printed by the command.
fn published(config: &Path) -> Result<JwkSet> {
    let printed = jwks(config, "partner")?;
    ensure!(printed.status.success(), "{printed:?}");
    Ok(serde_json::from_slice(&printed.stdout)?)
}

fn jwks(config: &Path, credential: &str) -> Result<Output> {
    let mut command = Command::new(binary());
    command.args(["jwks", "--config"]).arg(config);
    Ok(command.arg(credential).output()?)
}

/// Starts a gateway whose partner asks it for its keys.
async fn started(parts: &str, partner: &Partner) -> Result<Gateway> {
    let process = GatewayProcess::start(binary(), &document(parts)).await?;
    *partner.config.lock() = Some(process.config_file());
    Gateway::of(process).await
}

/// Asks as both consumers at once, until `done`. Each is answered as itself, every time.
async fn both_until(gateway: &Gateway, done: impl Future<Output = Result<()>>) -> Result<usize> {
    let over = Arc::new(AtomicBool::new(false));
    let mut asking = JoinSet::new();
    let each = [(CONSUMER_KEY, "tester"), (OTHER_KEY, "other")];
    for (key, name) in each.into_iter().cycle().take(8) {
        let (request, over) = (gateway.request_as(key, "/"), Arc::clone(&over));
        asking.spawn(async move {
            let (mut answers, mut ticks) = (0, tokio::time::interval(PACE));
            while !over.load(Ordering::Relaxed) {
                ticks.tick().await;
                let request = request.try_clone().context("no body")?;
                let answer = request.send().await?;
                let status = answer.status();
                let text = answer.text().await?;
                ensure!(status == 200, "{name}: {status} {text}");
                ensure!(text.contains(&format!("{name:?}")), "{name} got {text}");
                answers += 1;
            }
            Ok(answers)
        });
    }
    let done = done.await;
    over.store(true, Ordering::Relaxed);
    let mut answers = 0;
    while let Some(ended) = asking.join_next().await {
        answers += ended??;
    }
    done?;
    Ok(answers)
}

/// Waits until each consumer has been seen with a token of this key.
async fn both_shown(partner: &Partner, kid: &str) -> Result<()> {
    wait::until_true(&format!("both with {kid}"), LONGEST, async || {
        let shown = partner.shown.lock().clone();
        let of_it = shown.iter().filter(|it| it.kid == kid);
        let subjects: BTreeSet<_> = of_it.map(|it| it.subject.clone()).collect();
        Ok(subjects.len() == 2)
    })
    .await
}

/// Every token was one consumer's, and nothing of any shows in what the gateway wrote.
fn never_mixed(gateway: &Gateway, partner: &Partner) -> Result<usize> {
    let shown = partner.shown.lock().clone();
    let mut whose: BTreeMap<String, String> = BTreeMap::new();
    for it in shown {
        let subject = whose.entry(it.token).or_insert_with(|| it.subject.clone());
        ensure!(*subject == it.subject, "a token was shown for two");
    }
    let signatures = whose.keys().filter_map(|it| it.rsplit('.').next());
    let signatures: Vec<_> = signatures.map(str::to_owned).collect();
    gateway.assert_no_leak(&signatures)?;
    Ok(whose.len())
}

#[tokio::test]
async fn each_consumer_is_shown_as_itself_while_the_key_is_rotated() -> Result<()> {
    let (_turn, lab) = lab().await?;
    make_key(&lab).await?;
    let (origin, partner) = partner().await?;
    let parts = parts(&vault_provider(&lab).await?, &of_vault("30s"), &origin);
    let mut gateway = started(&parts, &partner).await?;
    gateway.ready("partner").await?;
    let rotated = async {
        both_shown(&partner, "partner.v1").await?;
        let path = "transit/keys/partner/rotate";
        lab.openbao.api("POST", path, None).await?;
        both_shown(&partner, "partner.v2").await
    };
    let answers = both_until(&gateway, rotated).await?;
    gateway.stop().await?;
    let tokens = never_mixed(&gateway, &partner)?;
    println!("{answers} answers with {tokens} tokens of two consumers");
    ensure!(tokens >= 4, "{tokens} tokens");
    Ok(())
}

#[tokio::test]
async fn a_key_that_may_not_sign_closes_the_route_and_says_why() -> Result<()> {
    let (_turn, lab) = lab().await?;
    make_key(&lab).await?;
    let (origin, partner) = partner().await?;
    let from = of_vault("5m").replace("partner,", "elsewhere, mount: other,");
    let parts = parts(&vault_provider(&lab).await?, &from, &origin);
    let process = GatewayProcess::start(binary(), &document(&parts)).await?;
    let printed = jwks(&process.config_file(), "partner")?;
    ensure!(!printed.status.success(), "{printed:?}");
    let said = String::from_utf8_lossy(&printed.stderr).into_owned();
    ensure!(said.contains("other/keys/elsewhere"), "{said}");
    let mut gateway = Gateway::of(process).await?;
    let answer = gateway.get("/").await?;
    ensure!(answer.status == 503, "{answer:?}");
    ensure!(answer.text.contains("credential_unavailable"), "{answer:?}");
    wait::until_true("the cause", PATIENCE, async || {
        Ok(gateway.admin("/readyz").await?.text.contains("denied"))
    })
    .await?;
    gateway.stop().await?;
    ensure!(partner.shown.lock().is_empty(), "nothing went out");
    Ok(())
}

#[tokio::test]
async fn a_key_of_the_native_provider_is_replaced_at_once_and_under_load() -> Result<()> {
    let scratch = Scratch::new()?;
    let (origin, partner) = partner().await?;
    native::put(scratch.path(), "keys/partner", &key()?)?;
    let (file, key_file) = (scratch.path().join("data"), scratch.path().join("key"));
    let provider = format!(
        "providers: {{ local: {{ kind: native, file: {file:?}, key_file: {key_file:?} }} }}\n"
    );
    let jwt = jwt("key_field: key,", "1h");
    let from = format!("{{ provider: local, path: keys/partner, jwt: {jwt} }}");
    let parts = parts(&provider, &from, &origin);
    let mut gateway = started(&parts, &partner).await?;
    gateway.ready("partner").await?;
    let rotated = async {
        both_shown(&partner, "keys/partner.v1").await?;
        for version in 2..=4 {
            // A partner that is told of a key in advance refuses no token of it.
            let next = key()?;
            partner.trust(known_as(&next, version)?);
            native::put(scratch.path(), "keys/partner", &next)?;
            both_shown(&partner, &format!("keys/partner.v{version}")).await?;
        }
        Ok(())
    };
    let answers = both_until(&gateway, rotated).await?;
    native::delete(scratch.path(), "keys/partner")?;
    gateway.stop().await?;
    let tokens = never_mixed(&gateway, &partner)?;
    println!("{answers} answers with {tokens} tokens of two consumers");
    ensure!(tokens >= 8, "{tokens} tokens");
    Ok(())
}

/// A key in PEM.
fn key() -> Result<String> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    Ok(key.serialize_pem())
}

/// What is public of a key, as it is going to be named.
fn known_as(pem: &str, version: u64) -> Result<JwkSet> {
    let elsewhere = Scratch::new()?;
    native::put(elsewhere.path(), "keys/partner", pem)?;
    let (file, key_file) = (elsewhere.path().join("data"), elsewhere.path().join("key"));
    let file = leasehold_provider_native::NativeFile::open(file, key_file)?;
    let (_, public) = file.public_key("keys/partner", "key")?;
    let kid = format!("keys/partner.v{version}");
    let jwk = public.jwk(&kid, leasehold_model::JwtAlgorithm::Es256)?;
    Ok(serde_json::from_value(
        serde_json::json!({ "keys": [jwk] }),
    )?)
}

/// Between two requests of one asker.
const PACE: Duration = Duration::from_millis(20);
/// Longer than a token of 30 seconds lives.
const LONGEST: Duration = Duration::from_secs(60);
