use std::net::TcpListener;
use std::path::Path;

use anyhow::{Context as _, Result};
use leasehold_model::Failure;
use leasehold_provider::Provider as _;
use leasehold_provider_vault::{SetupError, VaultProvider};
use leasehold_testkit::Origin;
use tempfile::NamedTempFile;

use crate::bench::{BY_SESSION, SESSION, chain, config, failure, leased, make, stored};
use crate::fake::{Fake, Reply, json, login, redirect};

const LEASE: &str = r#"{"request_id":"r-issue","lease_id":"database/creds/app/1","renewable":true,
    "lease_duration":60,"data":{"username":"u","password":"p"}}"#;

/// Logs in to the first of the addresses.
async fn logged_in(addresses: &[String]) -> Result<VaultProvider> {
    let file = NamedTempFile::new()?;
    std::fs::write(file.path(), "secret-id")?;
    let provider = make(&config(addresses, "role", file.path())?)?;
    provider.login(SESSION).await?;
    Ok(provider)
}

fn nobody_there() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    Ok(format!("http://{}", listener.local_addr()?))
}

#[tokio::test]
async fn f07_a_redirect_to_an_unlisted_host_is_not_followed() -> Result<()> {
    let stranger = Fake::start(vec![json(200, LEASE)])?;
    let to = format!("{}/v1/database/creds/app", stranger.address());
    let node = Fake::start(vec![login(), redirect(&to)])?;
    let provider = logged_in(&[node.address()]).await?;

    let outcome = provider
        .fetch(BY_SESSION, &leased("database/creds/app"))
        .await;
    assert_eq!(failure(&outcome), Some(Failure::Unreachable));
    let said = chain(outcome);
    assert!(said.contains("is not configured"), "{said}");
    assert!(said.contains(&stranger.address()), "{said}");
    assert!(!said.contains("fake-token"), "{said}");
    assert_eq!(stranger.seen().len(), 0, "nothing was sent there");
    assert_eq!(node.seen().len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_redirect_to_a_listed_address_is_followed_with_our_own_path() -> Result<()> {
    let active = Fake::start(vec![json(200, LEASE), json(200, LEASE)])?;
    let standby = Fake::start(vec![
        login(),
        redirect(&format!("{}/v1/sys/elsewhere", active.address())),
    ])?;
    let provider = logged_in(&[standby.address(), active.address()]).await?;

    provider
        .fetch(BY_SESSION, &leased("database/creds/app"))
        .await?;
    provider
        .fetch(BY_SESSION, &leased("database/creds/app"))
        .await?;
    let seen = active.seen();
    assert_eq!(
        seen.len(),
        2,
        "the second call went straight to the active node"
    );
    for request in seen {
        assert!(
            request.starts_with("GET /v1/database/creds/app HTTP/1.1\r\n"),
            "{request}"
        );
        assert!(
            request.contains("x-vault-token: s.fake-token\r\n"),
            "{request}"
        );
        assert!(request.contains("x-vault-request: true\r\n"), "{request}");
    }
    assert_eq!(standby.seen().len(), 2);
    Ok(())
}

#[tokio::test]
async fn an_issue_that_was_sent_is_never_sent_again() -> Result<()> {
    for (reply, expected) in [
        (Reply::HangUp, Failure::MaybeIssued),
        (
            json(500, r#"{"errors":["internal error"]}"#),
            Failure::MaybeIssued,
        ),
        (
            Reply::With(
                "HTTP/1.1 502 Bad Gateway\r\n".to_owned(),
                "<html>".to_owned(),
            ),
            Failure::MaybeIssued,
        ),
        (
            json(200, &"x".repeat(1024 * 1024 + 1)),
            Failure::MaybeIssued,
        ),
        (json(200, "{\"lease_id\":"), Failure::MaybeIssued),
    ] {
        let first = Fake::start(vec![login(), reply])?;
        let second = Fake::start(vec![json(200, LEASE)])?;
        let provider = logged_in(&[first.address(), second.address()]).await?;

        let outcome = provider
            .fetch(BY_SESSION, &leased("database/creds/app"))
            .await;
        assert_eq!(failure(&outcome), Some(expected), "{}", chain(outcome));
        assert_eq!(first.seen().len(), 2);
        assert_eq!(second.seen().len(), 0, "{expected:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_node_that_can_not_serve_is_passed_over() -> Result<()> {
    for text in [
        "Vault is sealed",
        "local node not active but active cluster node not found",
    ] {
        let refusal = format!(r#"{{"errors":["{text}"]}}"#);
        let first = Fake::start(vec![login(), json(503, &refusal)])?;
        let dead = nobody_there()?;
        let last = Fake::start(vec![json(200, LEASE)])?;
        let addresses = [first.address(), dead, last.address()];
        let provider = logged_in(&addresses).await?;

        provider
            .fetch(BY_SESSION, &leased("database/creds/app"))
            .await?;
        assert_eq!(last.seen().len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn where_no_address_serves_each_is_named_with_its_reason() -> Result<()> {
    let sealed = Fake::start(vec![
        login(),
        json(503, r#"{"errors":["Vault is sealed"]}"#),
    ])?;
    let dead = nobody_there()?;
    let provider = logged_in(&[sealed.address(), dead.clone()]).await?;

    let outcome = provider
        .fetch(BY_SESSION, &leased("database/creds/app"))
        .await;
    assert_eq!(
        failure(&outcome),
        Some(Failure::Unreachable),
        "nothing was issued"
    );
    let said = chain(outcome);
    assert!(said.contains("Vault is sealed"), "{said}");
    assert!(said.contains(&dead) && said.contains("refused"), "{said}");
    Ok(())
}

#[tokio::test]
async fn the_namespace_goes_with_every_call() -> Result<()> {
    let node = Fake::start(vec![login(), json(404, r#"{"errors":[]}"#)])?;
    let file = NamedTempFile::new()?;
    std::fs::write(file.path(), "secret-id")?;
    let mut config = config(&[node.address()], "role", file.path())?;
    config.namespace = Some("team/one".to_owned());
    let provider = make(&config)?;
    provider.login(SESSION).await?;
    let outcome = provider.fetch(BY_SESSION, &stored("kv", "app")).await;
    assert_eq!(failure(&outcome), Some(Failure::Misconfigured));
    let seen = node.seen();
    assert_eq!(seen.len(), 2);
    for request in &seen {
        assert!(
            request.contains("x-vault-namespace: team/one\r\n"),
            "{request}"
        );
    }
    let login = seen.first().context("the login")?;
    assert!(!login.contains("x-vault-token"), "{login}");
    Ok(())
}

#[tokio::test]
async fn only_the_given_authority_is_trusted() -> Result<()> {
    let server = Origin::echo_tls().await?;
    let file = NamedTempFile::new()?;
    std::fs::write(file.path(), "canary-secret-id")?;
    let mut config = config(&[server.url()], "role", file.path())?;

    let outcome = make(&config)?.login(SESSION).await;
    assert_eq!(failure(&outcome), Some(Failure::Unreachable));
    let said = chain(outcome);
    assert!(said.contains("certificate"), "nothing was sent: {said}");

    config.ca = server.ca_pem().map(Path::to_path_buf);
    let outcome = make(&config)?.login(SESSION).await;
    let said = chain(outcome);
    assert!(
        said.contains("grants no token"),
        "the server answered: {said}"
    );
    assert!(!said.contains("canary"), "{said}");

    std::fs::write(file.path(), "no certificate")?;
    config.ca = Some(file.path().to_path_buf());
    let error = make(&config).err();
    assert!(
        matches!(error, Some(SetupError::CaEmpty { .. })),
        "{error:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_path_that_leads_elsewhere_is_not_asked_for() -> Result<()> {
    let node = Fake::start(vec![login()])?;
    let provider = logged_in(&[node.address()]).await?;
    for source in [
        leased("database/../sys/raw/x"),
        stored("kv/..", "sys/raw"),
        stored("kv", ""),
    ] {
        let outcome = provider.fetch(BY_SESSION, &source).await;
        assert_eq!(
            failure(&outcome),
            Some(Failure::Misconfigured),
            "{source:?}"
        );
    }
    assert_eq!(node.seen().len(), 1, "only the login");
    Ok(())
}
