//! The examples of the forms in which a credential is shown (`docs/injection.md`), run as they stand but for
//! addresses and files, against an origin that tells what it was shown.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use leasehold_testkit::origin::{Echo, TokenServer};
use leasehold_testkit::{GatewayProcess, Origin, Scratch, secret};
use rcgen::{KeyPair, PKCS_ED25519, PublicKeyData as _};
use serde_json::{Value, json};

use crate::native;
use crate::support::{Gateway, binary, lab};

#[tokio::test]
async fn header_basic_template_query_and_cookie() -> Result<()> {
    let (stage, key) = (Stage::new().await?, secret()?);
    let pair = json!({ "id": "me", "key": key });
    let mut gateway = stage
        .start("injection-forms.yaml", "demo/pair", &pair)
        .await?;
    let pair = format!("me:{key}");
    for (route, header, expected) in [
        ("header", "authorization", format!("Bearer {key}")),
        (
            "basic",
            "authorization",
            format!("Basic {}", STANDARD.encode(&pair)),
        ),
        (
            "template",
            "authorization",
            format!("ApiKey {}", STANDARD.encode(&pair)),
        ),
        (
            "cookie",
            "cookie",
            format!("session=me.{}; a=b", URL_SAFE_NO_PAD.encode(&key)),
        ),
    ] {
        let shown = asked(&gateway, &format!("/{route}/x?y=1"), "").await?;
        ensure!(header_of(&shown, header)? == expected, "{route}: {shown}");
        ensure!(shown["target"] == format!("/{route}/x?y=1"), "{shown}");
    }
    let shown = asked(&gateway, "/query/x?y=1&API_KEY=mine", "").await?;
    ensure!(
        shown["target"] == format!("/query/x?api_key={key}&y=1"),
        "{shown}"
    );
    gateway.stop().await
}

#[tokio::test]
async fn an_hmac_of_each_request() -> Result<()> {
    let (stage, key) = (Stage::new().await?, secret()?);
    let pair = json!({ "id": "me", "key": key });
    let mut gateway = stage
        .start("upstream-hmac.yaml", "demo/pair", &pair)
        .await?;
    for body in ["", "{\"amount\":1}"] {
        let shown = asked(&gateway, "/pay?x=%20", body).await?;
        let header = |name| header_of(&shown, name);
        let digest = hex::encode(digest(&SHA256, body.as_bytes()));
        let signed = [
            shown["method"].as_str().context("a method")?,
            "/pay?x=%20",
            &header("x-timestamp")?,
            &header("x-nonce")?,
            &digest,
        ]
        .join("\n");
        let authorization = header("authorization")?;
        let signature = authorization.strip_prefix("HMAC me:").context("ours")?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
        let verified = hmac::verify(&key, signed.as_bytes(), &STANDARD.decode(signature)?);
        ensure!(verified.is_ok(), "{signed:?}\n{shown}");
    }
    gateway.stop().await
}

#[tokio::test]
async fn a_message_signature_of_each_request() -> Result<()> {
    let stage = Stage::new().await?;
    let key = KeyPair::generate_for(&PKCS_ED25519)?;
    let pem = json!({ "private_key": key.serialize_pem() });
    let example = "upstream-message-signature.yaml";
    let mut gateway = stage.start(example, "demo/signer", &pem).await?;
    for body in ["", "{\"amount\":1}"] {
        let shown = asked(&gateway, "/pay?x=%20", body).await?;
        let input = header_of(&shown, "signature-input")?;
        let (label, parameters) = input.split_once('=').context("a label")?;
        let covered = parameters.split_once(')').context("a list")?.0;
        let mut base = String::new();
        for name in covered.trim_start_matches('(').split(' ') {
            let value = match name.trim_matches('"') {
                "@method" => shown["method"].as_str().context("a method")?.to_owned(),
                "@authority" => stage.origin.address().to_string(),
                "@path" => "/pay".to_owned(),
                "@query" => "?x=%20".to_owned(),
                header => header_of(&shown, header)?,
            };
            base.push_str(&format!("{name}: {value}\n"));
        }
        base.push_str(&format!("\"@signature-params\": {parameters}"));
        let digest = STANDARD.encode(digest(&SHA256, body.as_bytes()));
        ensure!(header_of(&shown, "content-digest")? == format!("sha-256=:{digest}:"));
        let signature = header_of(&shown, "signature")?;
        let signature = signature
            .strip_prefix(&format!("{label}=:"))
            .context("ours")?;
        let signature = STANDARD.decode(signature.trim_end_matches(':'))?;
        let public = UnparsedPublicKey::new(&ED25519, key.der_bytes());
        ensure!(
            public.verify(base.as_bytes(), &signature).is_ok(),
            "{base}\n{shown}"
        );
    }
    gateway.stop().await
}

#[tokio::test]
async fn an_access_token_asked_for_with_a_secret_of_vault() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let (server, client) = (
        TokenServer::new(std::time::Duration::from_hours(1)),
        secret()?,
    );
    server.accept(&client);
    let origin = server.start().await?;
    lab.openbao
        .kv_put(
            "kv",
            "idp/client",
            json!({ "client_id": "gateway", "client_secret": client }),
        )
        .await?;
    let approle = lab.approle("gateway").await?;
    let text = replaced(
        &example("oauth-client-credentials.yaml")?,
        &[
            ("0.0.0.0:8080", "127.0.0.1:0"),
            ("http://127.0.0.1:8200", &lab.openbao.address()),
            ("5b2c9a7e-0d1f-4a53-9d0e-0c4b7e2f1a66", &approle.role_id),
            (
                "/run/leasehold/secret-id",
                &approle.secret_id_file.display().to_string(),
            ),
            (
                "https://idp.example.com/oauth/token",
                &format!("{}/token", origin.url()),
            ),
            ("https://crm.internal:8443", &origin.url()),
            // Its mount is `kv` in the lab.
            ("kv: idp/client", "kv: kv/idp/client"),
        ],
    )?;
    let mut gateway = gateway(&text).await?;
    let answer = ask(&gateway, "/crm/contacts", "").await?;
    ensure!(answer["accepted"] == true, "{answer}");
    ensure!(
        server
            .issued()
            .iter()
            .all(|it| it.form["scope"] == "crm.read")
    );
    gateway.stop().await
}

/// What an example that has all from the native provider needs around it.
struct Stage {
    scratch: Scratch,
    origin: Origin<Echo>,
}

impl Stage {
    async fn new() -> Result<Self> {
        Ok(Self {
            scratch: Scratch::new()?,
            origin: Origin::echo().await?,
        })
    }

    /// Starts a gateway with an example, when the fields of its credential have been put.
    async fn start(&self, name: &str, path: &str, fields: &Value) -> Result<Gateway> {
        let directory = self.scratch.path();
        native::put_all(directory, path, fields)?;
        let text = replaced(
            &example(name)?,
            &[
                ("127.0.0.1:8080", "127.0.0.1:0"),
                ("http://127.0.0.1:9000", &self.origin.url()),
                (
                    "leasehold.native",
                    &directory.join("data").display().to_string(),
                ),
                (
                    "leasehold.key",
                    &directory.join("key").display().to_string(),
                ),
            ],
        )?;
        gateway(&text).await
    }
}

async fn gateway(text: &str) -> Result<Gateway> {
    let text = format!("admin: {{ address: \"127.0.0.1:0\" }}\n{text}");
    Gateway::of(GatewayProcess::start(binary(), &text).await?).await
}

fn example(name: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../examples")
        .join(name);
    std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

fn replaced(text: &str, changes: &[(&str, &str)]) -> Result<String> {
    changes
        .iter()
        .try_fold(text.to_owned(), |text, (from, to)| {
            ensure!(text.contains(from), "the example has no {from:?} any more");
            Ok(text.replace(from, to))
        })
}

/// Asks as the consumer of the examples does, and returns what the origin was shown.
async fn asked(gateway: &Gateway, target: &str, body: &str) -> Result<Value> {
    let shown = ask(gateway, target, body).await?;
    ensure!(shown.get("body") == Some(&body.into()), "{shown}");
    Ok(shown)
}

async fn ask(gateway: &Gateway, target: &str, body: &str) -> Result<Value> {
    let mut last = String::new();
    let what = format!("an answer to {target}");
    let answer = leasehold_testkit::wait::until(&what, crate::support::PATIENCE, async || {
        // Forged where the credential goes.
        let mut request = gateway
            .request_as("demo-key", target)
            .header("authorization", "Bearer mine")
            .header("cookie", "session=mine; a=b");
        if !body.is_empty() {
            request = request
                .header("content-type", "application/json")
                .body(body.to_owned());
        }
        let response = request.send().await?;
        let ready = response.status().is_success();
        last = response.text().await?;
        Ok(ready.then(|| last.clone()))
    });
    Ok(serde_json::from_str(&answer.await?)?)
}

fn header_of(shown: &Value, name: &str) -> Result<String> {
    let headers = shown["headers"].as_array().context("headers")?;
    let mut named = headers.iter().filter(|it| it[0] == name);
    let value = named
        .next()
        .with_context(|| format!("no {name}: {shown}"))?;
    ensure!(named.next().is_none(), "{name} twice: {shown}");
    Ok(value[1].as_str().context("text")?.to_owned())
}
