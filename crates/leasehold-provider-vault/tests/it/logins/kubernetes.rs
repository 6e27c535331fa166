use anyhow::Result;
use leasehold_provider_vault::{AuthMethod, TokenFile, VaultProvider};
use leasehold_testkit::{Authority, free_port};
use serde_json::json;

use super::log::Log;
use super::token_review::{AUDIENCE, TokenReviewer};
use super::{Server, denied, live_a_session, short_lived};
use crate::bench::SESSION;

/// A server that has its service accounts reviewed at `address`, and a gateway with a token file.
async fn server(address: &str) -> Result<(Server, VaultProvider)> {
    let server = Server::start().await?;
    server.enable("kubernetes").await?;
    // Outside a pod the server wants an authority, also where it asks without TLS.
    let ca = std::fs::read_to_string(Authority::generate()?.ca_pem())?;
    let config = json!({
        "kubernetes_host": address, "kubernetes_ca_cert": ca, "disable_local_ca_jwt": true,
    });
    server.post("auth/kubernetes/config", config).await?;
    let role = short_lived(json!({
        "bound_service_account_names": "leasehold",
        "bound_service_account_namespaces": "edge",
        "audience": AUDIENCE,
    }));
    server.post("auth/kubernetes/role/gateway", role).await?;
    let auth = AuthMethod::Kubernetes(TokenFile {
        mount: "kubernetes".to_owned(),
        role: "gateway".to_owned(),
        file: server.file("token"),
    });
    let provider = server.provider(auth)?;
    Ok((server, provider))
}

#[tokio::test]
async fn a_service_account_opens_a_session_with_the_token_that_is_projected_by_then() -> Result<()>
{
    let reviewer = TokenReviewer::start()?;
    let (server, provider) = server(&reviewer.address()).await?;
    let log = Log::start();
    let first = reviewer.project("edge", "leasehold", 60)?;
    server.write("token", &first)?;
    live_a_session(&provider).await?;
    let reviews = reviewer.reviews();
    assert!(reviews > 0, "the API server was asked");
    let second = reviewer.project("edge", "leasehold", 600)?;
    server.write("token", &second)?;
    live_a_session(&provider).await?;
    assert!(reviewer.reviews() > reviews, "and asked again");
    for token in [&first, &second] {
        assert!(!log.text().contains(token.as_str()), "{}", log.text());
    }
    Ok(())
}

#[tokio::test]
async fn f08_a_service_account_that_is_not_the_roles_is_denied_and_no_token_is_taken_for_dead()
-> Result<()> {
    let reviewer = TokenReviewer::start()?;
    let (server, provider) = server(&reviewer.address()).await?;
    for (namespace, account) in [("edge", "somebody"), ("elsewhere", "leasehold")] {
        let token = reviewer.project(namespace, account, 60)?;
        server.write("token", &token)?;
        let said = denied(&provider, SESSION).await;
        assert!(said.contains("status 403"), "{said}");
        assert!(!said.contains(token.as_str()), "{said}");
    }
    let token = reviewer.project("edge", "leasehold", 60)?;
    server.write("token", &token)?;
    live_a_session(&provider).await?;
    reviewer.delete("leasehold");
    let said = denied(&provider, SESSION).await;
    assert!(said.contains("status 403"), "{said}");
    Ok(())
}

/// OpenBao tells nobody but its own debug log that it did not get an answer.
#[tokio::test]
async fn an_api_server_that_can_not_be_reached_reads_as_a_refusal_and_not_as_a_dead_token()
-> Result<()> {
    let reviewer = TokenReviewer::start()?;
    let nobody = format!("http://127.0.0.1:{}", free_port()?);
    let (server, provider) = server(&nobody).await?;
    let token = reviewer.project("edge", "leasehold", 60)?;
    server.write("token", &token)?;
    let said = denied(&provider, SESSION).await;
    assert!(said.contains("status 403: permission denied"), "{said}");
    Ok(())
}
