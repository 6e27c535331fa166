//! Several credentials on one upstream: a certificate of OpenBao's PKI, and one of three keys of its KV store, by
//! who calls and by which route.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use leasehold_testkit::origin::{Handler, Peer, json};
use leasehold_testkit::{Lab, Origin, Scratch, secret, wait};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::operator::run;
use crate::support::{CONSUMER_KEY, Gateway, OTHER_KEY, PATIENCE, Record, lab, vault_provider};

#[tokio::test]
async fn each_request_shows_a_certificate_and_the_key_that_is_for_it() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let origin = witness(&lab).await?;
    let mut keys = Keys::default();
    for name in KEYS {
        keys.put(&lab, name).await?;
    }
    let scratch = Scratch::new()?;
    let socket = scratch.path().join("s");
    let parts = parts(&lab, &origin).await?;
    let mut gateway = Gateway::start_operated("several", &socket, &parts).await?;
    gateway.ready("pay").await?;
    gateway.ready("eu").await?;

    let over = Arc::new(AtomicBool::new(false));
    let mut callers = tokio::task::JoinSet::new();
    for (key, path, name) in CALLERS {
        let request = gateway.request_as(key, path);
        callers.spawn(call(request, name, Arc::clone(&over)));
    }
    let replaced = async {
        for round in 0..ROUNDS {
            for name in KEYS {
                let value = keys.put(&lab, name).await?;
                let seen = || origin.handler().keys().contains(&value);
                wait::until_true(&format!("{name} of round {round}"), PATIENCE, async || {
                    Ok(seen())
                })
                .await?;
            }
            let before = origin.handler().certificates();
            let said = run(&["lease", "rotate", "identity"], &socket).await?;
            ensure!(said.code == 0, "{said:?}");
            wait::until_true("another certificate", PATIENCE, async || {
                Ok(origin.handler().certificates() > before)
            })
            .await?;
        }
        Ok(())
    };
    tokio::select! {
        replaced = replaced => replaced?,
        Some(ended) = callers.join_next() => bail!("a caller has ended: {ended:?}"),
    }
    over.store(true, Ordering::Relaxed);
    let mut answered = 0;
    while let Some(caller) = callers.join_next().await {
        let shown = caller??;
        answered += shown.values().sum::<usize>();
        ensure!(
            shown.keys().all(|it| keys.0.contains(it)),
            "a key that was never put"
        );
    }
    ensure!(origin.handler().0.lock().strange.is_empty());
    ensure!(origin.handler().certificates() > ROUNDS);
    ensure!(answered > 100, "{answered} requests");
    gateway.stop().await?;
    let records = gateway.process().stdout()?;
    ensure!(records.lines().count() >= answered, "{answered} answers");
    for line in records.lines() {
        let record: Value = serde_json::from_str(line)?;
        let of = |place: &str| record.pointer(place).and_then(Value::as_str);
        let second = of("/other_credentials/0/credential").context("a second")?;
        ensure!(
            of("/credential") == Some("identity") && KEYS.contains(&second),
            "{line}"
        );
    }
    gateway.assert_no_leak(&keys.0.into_iter().collect::<Vec<_>>())
}

#[tokio::test]
async fn where_one_is_missing_nothing_is_sent() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let origin = witness(&lab).await?;
    let mut keys = Keys::default();
    for name in ["tester", "eu"] {
        keys.put(&lab, name).await?;
    }
    let mut gateway = Gateway::start(&parts(&lab, &origin).await?).await?;
    let ask = async |key, path| -> Result<u16> {
        Ok(gateway
            .request_as(key, path)
            .send()
            .await?
            .status()
            .as_u16())
    };
    wait::until_true("the keys that are there", PATIENCE, async || {
        Ok(ask(CONSUMER_KEY, "/pay").await? == 200 && ask(OTHER_KEY, "/eu/pay").await? == 200)
    })
    .await?;
    let before = origin.handler().requests();
    for _ in 0..20 {
        ensure!(ask(OTHER_KEY, "/pay").await? == 503);
    }
    ensure!(origin.handler().requests() == before, "something was sent");
    ensure!(origin.handler().0.lock().strange.is_empty());
    gateway.stop().await?;
    let mut refused = gateway.records()?;
    refused.retain(|it| it.status == Some(503));
    let unavailable = |it: &Record| it.reason.as_deref() == Some("credential_unavailable");
    ensure!(
        refused.len() >= 20 && refused.iter().all(unavailable),
        "{refused:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn the_origin_lets_nobody_in_without_a_certificate_of_the_pki() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let origin = witness(&lab).await?;
    let ca = std::fs::read(origin.ca_pem().context("it speaks TLS")?)?;
    let ca = reqwest::Certificate::from_pem(&ca)?;
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([ca])
        .build()?;
    ensure!(client.get(origin.url()).send().await.is_err());
    ensure!(origin.connections() == 1 && origin.handler().requests() == 0);
    Ok(())
}

/// Asks again and again; returns what keys were shown. Each answer must be 200, and have been shown the key of
/// that name.
async fn call(
    request: reqwest::RequestBuilder,
    name: &'static str,
    over: Arc<AtomicBool>,
) -> Result<BTreeMap<String, usize>> {
    let mut shown = BTreeMap::new();
    while !over.load(Ordering::Relaxed) {
        let request = request.try_clone().context("it has no body")?;
        let answer = request.header("x-api-token", "mine").send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == 200, "{name}: {status} {text}");
        let told: Value = serde_json::from_str(&text)?;
        let key = told.pointer("/key").and_then(Value::as_str);
        let key = key.context("one key")?;
        ensure!(
            key.starts_with(&format!("{name}.")),
            "{name} was shown another's"
        );
        *shown.entry(key.to_owned()).or_default() += 1;
    }
    Ok(shown)
}

/// Every key that was ever put.
#[derive(Default)]
struct Keys(BTreeSet<String>);

impl Keys {
    async fn put(&mut self, lab: &Lab, name: &str) -> Result<String> {
        let value = format!("{name}.{}", secret()?);
        let path = format!("several/{name}");
        lab.openbao
            .kv_put("kv", &path, json!({ "key": value }))
            .await?;
        self.0.insert(value.clone());
        Ok(value)
    }
}

async fn parts(lab: &Lab, origin: &Origin<Witness>) -> Result<String> {
    let key = |name| {
        format!(
            "  {name}: {{ from: {{ provider: vault, kv: kv/several/{name}, field: key, poll: 100ms }} }}\n"
        )
    };
    Ok(format!(
        "{}credentials:\n  \
           identity: {{ from: {{ provider: vault, certificate: pki/sign/nolease, \
             parameters: {{ common_name: gateway.test, ttl: 1h }} }} }}\n{}\
         upstreams:\n  \
           api:\n    \
             endpoints: [{:?}]\n    \
             ca: {:?}\n    \
             credentials:\n      \
               - {{ credential: identity, inject: {{ client_certificate: {{}} }} }}\n      \
               - {{ credential: tester, inject: {{ header: X-Api-Token }}, for: {{ consumers: [tester] }} }}\n      \
               - {{ credential: eu, inject: {{ header: X-Api-Token }}, for: {{ routes: [eu] }} }}\n      \
               - {{ credential: all, inject: {{ header: X-Api-Token }} }}\n\
         routes:\n  \
           - {{ name: eu, match: {{ path: /eu/ }}, upstream: api, consumers: [tester, other] }}\n  \
           - {{ name: pay, match: {{ path: /pay }}, upstream: api, consumers: [tester, other] }}\n",
        vault_provider(lab).await?,
        KEYS.map(key).concat(),
        origin.url(),
        origin.ca_pem().context("it speaks TLS")?,
    ))
}

/// Starts an origin that lets in whoever has a certificate of the lab's PKI.
async fn witness(lab: &Lab) -> Result<Origin<Witness>> {
    let answer = lab.openbao.api("GET", "pki/cert/ca", None).await?;
    let authority = answer.pointer("/data/certificate").and_then(Value::as_str);
    let authority = authority.context("an authority")?;
    Origin::serve_mtls(Witness::default(), authority).await
}

/// Takes note of who has come, and with what.
#[derive(Default)]
struct Witness(Mutex<Seen>);

#[derive(Default)]
struct Seen {
    requests: usize,
    keys: BTreeSet<String>,
    certificates: BTreeSet<Vec<u8>>,
    /// Requests without a certificate, or with another number of keys than one.
    strange: Vec<String>,
}

impl Witness {
    fn keys(&self) -> BTreeSet<String> {
        self.0.lock().keys.clone()
    }

    fn certificates(&self) -> usize {
        self.0.lock().certificates.len()
    }

    fn requests(&self) -> usize {
        self.0.lock().requests
    }
}

impl Handler for Witness {
    async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        let shown = request.headers().get_all("x-api-token").iter();
        let shown: Vec<_> = shown
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect();
        let mut seen = self.0.lock();
        seen.requests += 1;
        match (request.extensions().get::<Peer>(), shown.as_slice()) {
            (Some(peer), [key]) => {
                seen.certificates.insert(peer.0.clone());
                seen.keys.insert(key.clone());
                json(200, &json!({ "key": key }))
            }
            (peer, keys) => {
                seen.strange
                    .push(format!("{} keys, {}", keys.len(), peer.is_some()));
                json(401, &json!({}))
            }
        }
    }
}

const KEYS: [&str; 3] = ["tester", "eu", "all"];
const CALLERS: [(&str, &str, &str); 4] = [
    (CONSUMER_KEY, "/pay", "tester"),
    (CONSUMER_KEY, "/eu/pay", "tester"),
    (OTHER_KEY, "/eu/pay", "eu"),
    (OTHER_KEY, "/pay", "all"),
];
const ROUNDS: usize = 5;
