use std::fs;

use anyhow::{Context as _, Result, ensure};
use leasehold_model::Failure;
use leasehold_provider::Provider as _;
use leasehold_provider_vault::{SecretId, VaultProvider};
use serde_json::{Value, json};

use super::approle::{login, role};
use super::log::Log;
use super::{Server, denied, failed, live_a_session, provider_at};
use crate::bench::{SESSION, make};
use crate::fake::{self, Fake, Reply};

const ISSUE: &str = "auth/approle/role/gateway/secret-id";
const STOLEN: &str = "its secret id may be stolen";
const PLANTED: &str = "it may be planted";

/// A server, and a gateway whose secret ids are delivered wrapped.
async fn delivered() -> Result<(Server, VaultProvider)> {
    let server = Server::start().await?;
    let role_id = role(&server).await?;
    let file = server.file("wrapping-token");
    let provider = server.provider(login(&role_id, SecretId::Wrapped(file)))?;
    Ok((server, provider))
}

/// Has the answer to a call wrapped, and returns the wrapping token.
async fn wrap(server: &Server, path: &str, body: Value) -> Result<String> {
    let answer = reqwest::Client::new()
        .post(format!("{}/v1/{path}", server.bao.address()))
        .header("X-Vault-Token", server.bao.root_token())
        .header("X-Vault-Wrap-TTL", "60")
        .body(body.to_string());
    let answer: Value = serde_json::from_str(&answer.send().await?.text().await?)?;
    assert_eq!(answer["request_id"], "", "a wrapped answer has no id");
    let token = answer.pointer("/wrap_info/token").and_then(Value::as_str);
    Ok(token.context("a wrapping token")?.to_owned())
}

async fn unwrap(server: &Server, token: &str) -> Result<Value> {
    let answer = server.bao.call(token, "POST", "sys/wrapping/unwrap", None);
    let answer = answer.await?;
    ensure!(answer.status == 200, "unwrap: {}", answer.text());
    Ok(answer.body)
}

#[tokio::test]
async fn f27_a_wrapped_secret_id_is_unwrapped_once_and_serves_every_login() -> Result<()> {
    let (server, provider) = delivered().await?;
    let token = wrap(&server, ISSUE, json!({})).await?;
    let file = server.write("wrapping-token", &format!("{token}\n"))?;
    let log = Log::start();
    live_a_session(&provider).await?;
    live_a_session(&provider).await?;
    // The file may go once it has been read: what came out of it is kept.
    fs::remove_file(&file)?;
    live_a_session(&provider).await?;
    assert!(unwrap(&server, &token).await.is_err(), "it was used");

    let next = wrap(&server, ISSUE, json!({})).await?;
    server.write("wrapping-token", &next)?;
    live_a_session(&provider).await?;
    assert!(unwrap(&server, &next).await.is_err(), "the new one too");
    assert_eq!(log.errors_with(""), 0, "{}", log.text());
    for secret in [&token, &next] {
        assert!(!log.text().contains(secret.as_str()));
    }
    Ok(())
}

#[tokio::test]
async fn f27_a_wrapping_token_that_somebody_else_used_raises_an_alarm_once() -> Result<()> {
    let (server, provider) = delivered().await?;
    let token = wrap(&server, ISSUE, json!({})).await?;
    server.write("wrapping-token", &token)?;
    let stolen = unwrap(&server, &token).await?;
    assert!(stolen.pointer("/data/secret_id").is_some());

    let log = Log::start();
    let said = denied(&provider, SESSION).await;
    assert!(said.contains("destroy it by its accessor"), "{said}");
    assert!(!said.contains(token.as_str()), "{said}");
    assert_eq!(log.errors_with(STOLEN), 1, "{}", log.text());
    assert!(log.text().contains(r#""own_answer_lost":false"#));

    let before = server.requests()?;
    denied(&provider, SESSION).await;
    denied(&provider, SESSION).await;
    assert_eq!(server.requests()?, before, "the server is left in peace");
    assert_eq!(log.errors_with(STOLEN), 1, "one alarm is enough");
    assert!(!log.text().contains(token.as_str()));

    let next = wrap(&server, ISSUE, json!({})).await?;
    server.write("wrapping-token", &next)?;
    live_a_session(&provider).await?;
    Ok(())
}

#[tokio::test]
async fn f27_what_was_not_made_by_issuing_a_secret_id_is_not_unwrapped() -> Result<()> {
    let (server, provider) = delivered().await?;
    let planted = json!({ "secret_id": "canary", "secret_id_accessor": "a" });
    let token = wrap(&server, "sys/wrapping/wrap", planted).await?;
    server.write("wrapping-token", &token)?;
    let log = Log::start();
    let said = denied(&provider, SESSION).await;
    denied(&provider, SESSION).await;
    assert!(said.contains("not made by issuing a secret id"), "{said}");
    assert_eq!(log.errors_with(PLANTED), 1, "{}", log.text());
    let planted = unwrap(&server, &token).await?;
    assert_eq!(planted["data"]["secret_id"], "canary", "it was not opened");

    let other = json!({ "type": "approle" });
    server.post("sys/auth/other", other).await?;
    server.post("auth/other/role/gateway", json!({})).await?;
    let token = wrap(&server, "auth/other/role/gateway/secret-id", json!({})).await?;
    server.write("wrapping-token", &token)?;
    denied(&provider, SESSION).await;
    assert_eq!(log.errors_with(PLANTED), 2, "{}", log.text());
    unwrap(&server, &token).await?;
    Ok(())
}

#[tokio::test]
async fn f27_an_unwrapped_secret_id_outlives_a_server_that_is_down() -> Result<()> {
    let (mut server, provider) = delivered().await?;
    let token = wrap(&server, ISSUE, json!({})).await?;
    server.write("wrapping-token", &token)?;
    server.bao.stop().await?;
    // Nothing was sent, so the token is as good as before.
    failed(&provider, SESSION, Failure::Unreachable).await;
    server.bao.start_again().await?;
    live_a_session(&provider).await?;
    server.bao.stop().await?;
    failed(&provider, SESSION, Failure::Unreachable).await;
    server.bao.start_again().await?;
    live_a_session(&provider).await?;
    Ok(())
}

/// A real server does not lose an answer on demand.
#[tokio::test]
async fn an_answer_that_got_lost_is_named_as_what_may_have_spent_the_token() -> Result<()> {
    let looked = r#"{"data":{"creation_path":"auth/approle/role/gateway/secret-id"}}"#;
    let spent = r#"{"errors":["wrapping token is not valid or does not exist"]}"#;
    let server = Fake::start(vec![
        fake::json(200, looked),
        Reply::HangUp,
        fake::json(400, spent),
    ])?;
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("wrapping-token");
    fs::write(&file, "s.canary")?;
    let auth = login("role", SecretId::Wrapped(file));
    let provider = provider_at(&server.address(), None, auth)?;
    let log = Log::start();
    failed(&provider, SESSION, Failure::Unreachable).await;
    let said = denied(&provider, SESSION).await;
    assert!(
        said.contains("an answer to this gateway was lost"),
        "{said}"
    );
    assert_eq!(log.errors_with(STOLEN), 1);
    assert!(log.text().contains(r#""own_answer_lost":true"#));
    assert!(!log.text().contains("canary") && !said.contains("canary"));
    assert_eq!(server.seen().len(), 3);
    Ok(())
}

#[tokio::test]
async fn f27_a_namespace_wraps_as_the_root_does() -> Result<()> {
    let server = Server::start().await?;
    server.post("sys/namespaces/team", json!({})).await?;
    let method = json!({ "type": "approle" });
    server.post("team/sys/auth/approle", method).await?;
    let role = json!({ "token_ttl": "60s", "token_policies": "default" });
    let path = "team/auth/approle/role/gateway";
    server.post(path, role).await?;
    let role_id = format!("{path}/role-id");
    let answer = server.bao.api("GET", &role_id, None).await?;
    let role_id = answer.pointer("/data/role_id").and_then(Value::as_str);
    let token = wrap(&server, &format!("{path}/secret-id"), json!({})).await?;
    let file = server.write("wrapping-token", &token)?;
    let mut config = crate::bench::config(&[server.bao.address()], "", &file)?;
    config.namespace = Some("team".to_owned());
    config.auth = login(role_id.context("a role id")?, SecretId::Wrapped(file));
    let provider = make(&config)?;
    provider.login(SESSION).await?;
    provider.renew_session(SESSION).await?;
    Ok(())
}
