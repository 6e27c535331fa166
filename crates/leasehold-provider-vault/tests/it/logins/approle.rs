use anyhow::{Context as _, Result};
use leasehold_model::Failure;
use leasehold_provider_vault::{AppRole, AuthMethod, SecretId};
use serde_json::{Value, json};

use super::log::Log;
use super::{Server, denied, failed, live_a_session, short_lived};
use crate::bench::SESSION;

/// Makes an AppRole and returns its role id.
pub(super) async fn role(server: &Server) -> Result<String> {
    server.enable("approle").await?;
    let path = "auth/approle/role/gateway";
    server.post(path, short_lived(json!({}))).await?;
    let role_id = format!("{path}/role-id");
    let answer = server.bao.api("GET", &role_id, None).await?;
    let role_id = answer.pointer("/data/role_id").and_then(Value::as_str);
    Ok(role_id.context("a role id")?.to_owned())
}

pub(super) fn login(role_id: &str, secret_id: SecretId) -> AuthMethod {
    AuthMethod::AppRole(AppRole {
        mount: "approle".to_owned(),
        role_id: role_id.to_owned(),
        secret_id,
    })
}

async fn choose_secret_id(server: &Server, secret_id: &str) -> Result<()> {
    let path = "auth/approle/role/gateway/custom-secret-id";
    server.post(path, json!({ "secret_id": secret_id })).await?;
    Ok(())
}

#[tokio::test]
async fn a_secret_id_from_a_file_opens_a_session_and_a_new_one_in_it_the_next() -> Result<()> {
    let server = Server::start().await?;
    let role_id = role(&server).await?;
    let file = server.write("secret-id", "canary-first\n")?;
    let provider = server.provider(login(&role_id, SecretId::File(file)))?;
    let log = Log::start();
    let said = denied(&provider, SESSION).await;
    assert!(said.contains("invalid role or secret ID"), "{said}");
    assert!(!said.contains("canary"), "{said}");
    choose_secret_id(&server, "canary-first").await?;
    live_a_session(&provider).await?;
    choose_secret_id(&server, "canary-second").await?;
    server.write("secret-id", "canary-second")?;
    live_a_session(&provider).await?;
    assert!(!log.text().contains("canary"), "{}", log.text());
    Ok(())
}

#[tokio::test]
async fn a_secret_id_from_the_environment_opens_a_session() -> Result<()> {
    let server = Server::start().await?;
    let role_id = role(&server).await?;
    // The environment of a process can't be changed safely while it runs, so a variable that Cargo
    // has set is made the secret id.
    choose_secret_id(&server, env!("CARGO_MANIFEST_DIR")).await?;
    let variable = SecretId::Env("CARGO_MANIFEST_DIR".to_owned());
    let provider = server.provider(login(&role_id, variable))?;
    live_a_session(&provider).await?;

    let unset = SecretId::Env("LEASEHOLD_NEVER_SET".to_owned());
    let provider = server.provider(login(&role_id, unset))?;
    let said = failed(&provider, SESSION, Failure::Misconfigured).await;
    assert!(said.contains("LEASEHOLD_NEVER_SET is not set"), "{said}");
    Ok(())
}
