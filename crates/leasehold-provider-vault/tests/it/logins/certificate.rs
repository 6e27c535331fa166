use anyhow::{Context as _, Result};
use leasehold_model::Failure;
use leasehold_provider::Provider as _;
use leasehold_provider_vault::{AuthMethod, ClientCertificate, VaultProvider};
use leasehold_testkit::Authority;
use serde_json::{Value, json};

use super::log::Log;
use super::{Server, denied, failed, live_a_session, provider_at, short_lived};
use crate::bench::SESSION;

/// A server with a TLS listener that takes the certificates of an authority for clients named
/// `edge-1`.
async fn server(authority: &Authority) -> Result<Server> {
    let server = Server::start_with_tls().await?;
    server.enable("cert").await?;
    let role = short_lived(json!({
        "certificate": std::fs::read_to_string(authority.ca_pem())?,
        "allowed_common_names": "edge-1",
    }));
    server.post("auth/cert/certs/gateway", role).await?;
    Ok(server)
}

/// Sets up a provider that shows what stands in `client.crt` and `client.key` of the directory.
fn provider(server: &Server, role: Option<&str>) -> Result<VaultProvider> {
    let (address, ca) = server.bao.tls_address()?;
    let auth = AuthMethod::Certificate(ClientCertificate {
        mount: "cert".to_owned(),
        role: role.map(str::to_owned),
        certificate: server.file("client.crt"),
        key: server.file("client.key"),
    });
    provider_at(&address, Some(ca), auth)
}

fn issue(server: &Server, authority: &Authority, name: &str) -> Result<String> {
    let files = authority.client(name, &server.file(""))?;
    Ok(std::fs::read_to_string(files.key)?)
}

#[tokio::test]
async fn f26_a_session_is_renewed_over_a_connection_that_shows_its_certificate() -> Result<()> {
    let authority = Authority::generate()?;
    let server = server(&authority).await?;
    issue(&server, &authority, "edge-1")?;
    live_a_session(&provider(&server, Some("gateway"))?).await?;
    live_a_session(&provider(&server, None)?).await?;

    // The server itself renews it over no other connection.
    let (address, ca) = server.bao.tls_address()?;
    let mut identity = std::fs::read(server.file("client.crt"))?;
    identity.extend(std::fs::read(server.file("client.key"))?);
    let with = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&std::fs::read(ca)?)?])
        .identity(reqwest::Identity::from_pem(&identity)?)
        .build()?;
    let login = with.post(format!("{address}/v1/auth/cert/login"));
    let login: Value = serde_json::from_str(&login.send().await?.text().await?)?;
    let token = login.pointer("/auth/client_token").and_then(Value::as_str);
    let token = token.context("a token")?;
    let renewal = server
        .bao
        .call(token, "POST", "auth/token/renew-self", None);
    let renewal = renewal.await?;
    assert_eq!(renewal.status, 400, "{}", renewal.text());
    assert!(renewal.text().contains("no client certificate found"));
    Ok(())
}

#[tokio::test]
async fn f26_a_new_certificate_opens_a_new_session_and_the_old_one_keeps_its_own() -> Result<()> {
    let authority = Authority::generate()?;
    let server = server(&authority).await?;
    let provider = provider(&server, None)?;
    let log = Log::start();
    let first = issue(&server, &authority, "edge-1")?;
    provider.login(SESSION).await?;
    let second = issue(&server, &authority, "edge-1")?;
    assert_ne!(first, second);
    provider.login(SESSION.next()).await?;
    for epoch in [SESSION, SESSION.next(), SESSION] {
        provider.renew_session(epoch).await?;
    }
    provider.revoke_session(SESSION).await?;
    provider.renew_session(SESSION.next()).await?;
    for key in [&first, &second] {
        let line = key.lines().nth(1).context("a line of the key")?;
        assert!(!log.text().contains(line), "{}", log.text());
    }
    Ok(())
}

#[tokio::test]
async fn f08_a_certificate_that_the_role_does_not_take_is_denied() -> Result<()> {
    let authority = Authority::generate()?;
    let server = server(&authority).await?;
    let provider = provider(&server, Some("gateway"))?;
    issue(&server, &Authority::generate()?, "edge-1")?;
    let said = denied(&provider, SESSION).await;
    assert!(said.contains("status 400"), "{said}");
    issue(&server, &authority, "somebody-else")?;
    denied(&provider, SESSION).await;
    let key = issue(&server, &authority, "edge-1")?;
    live_a_session(&provider).await?;

    // A key that belongs to another certificate is told before anything is sent.
    let files = authority.client("edge-1", &server.file(""))?;
    std::fs::write(files.key, &key)?;
    let said = failed(&provider, SESSION, Failure::Misconfigured).await;
    assert!(said.contains("the certificate can't be used"), "{said}");
    Ok(())
}
