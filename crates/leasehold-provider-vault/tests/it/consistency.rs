use anyhow::{Context as _, Result};
use leasehold_model::Failure;
use leasehold_provider::Provider as _;
use leasehold_provider_vault::VaultProvider;
use tempfile::NamedTempFile;

use crate::bench::{BY_SESSION, SESSION, chain, config, failure, leased, make, stored};
use crate::fake::{Fake, Reply, json, login, with_headers};

const VALUE: &str = r#"{"data":{"data":{"a":"b"},"metadata":{"version":1}}}"#;
const LEASE: &str = r#"{"lease_id":"x/1","lease_duration":60,"data":{"a":"b"}}"#;
/// `{"cluster":"c","value":"9"}` and the same with 10.
const NINE: &str = "eyJjbHVzdGVyIjoiYyIsInZhbHVlIjoiOSJ9";
const TEN: &str = "eyJjbHVzdGVyIjoiYyIsInZhbHVlIjoiMTAifQ==";

async fn logged_in(addresses: &[String]) -> Result<VaultProvider> {
    let file = NamedTempFile::new()?;
    std::fs::write(file.path(), "secret-id")?;
    let provider = make(&config(addresses, "role", file.path())?)?;
    provider.login(SESSION).await?;
    Ok(provider)
}

fn value_at(index: &str) -> Reply {
    with_headers(json(200, VALUE), &format!("X-Vault-Index: {index}\r\n"))
}

fn behind() -> Reply {
    let reply = json(429, r#"{"errors":[]}"#);
    with_headers(reply, "Retry-After: 1\r\n")
}

fn index(request: &str) -> Option<&str> {
    header(request, "x-vault-index: ")
}

fn forwards(request: &str) -> bool {
    header(request, "x-vault-inconsistent: ") == Some("forward-active-node")
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.lines().find_map(|line| line.strip_prefix(name))
}

#[tokio::test]
async fn a_read_names_the_greatest_index_seen_and_a_write_names_none() -> Result<()> {
    let renewal = json(
        200,
        r#"{"auth":{"client_token":"s.x","lease_duration":60}}"#,
    );
    let replies = vec![
        login(),
        value_at(TEN),
        value_at(NINE),
        value_at(TEN),
        renewal,
    ];
    let node = Fake::start(replies)?;
    let provider = logged_in(&[node.address()]).await?;
    for _ in 0..3 {
        provider.fetch(BY_SESSION, &stored("kv", "app")).await?;
    }
    provider.renew_session(SESSION).await?;
    let seen = node.seen();
    let [login, first, second, third, renewal] = seen.as_slice() else {
        anyhow::bail!("{seen:?}");
    };
    for request in [login, first, renewal] {
        assert!(index(request).is_none() && !forwards(request), "{request}");
    }
    for request in [second, third] {
        assert_eq!(index(request), Some(TEN), "the answer with 9 was overtaken");
        assert!(forwards(request), "{request}");
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_tells_no_index_of_the_known_form_is_sent_none() -> Result<()> {
    let node = Fake::start(vec![
        login(),
        value_at("garbage"),
        // The form of Vault Enterprise.
        value_at("v1:2f0f:42:0:c2lnbmVk"),
        json(200, VALUE),
        json(200, VALUE),
    ])?;
    let provider = logged_in(&[node.address()]).await?;
    for _ in 0..4 {
        provider.fetch(BY_SESSION, &stored("kv", "app")).await?;
    }
    for request in node.seen() {
        assert!(
            index(&request).is_none() && !forwards(&request),
            "{request}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_node_that_lags_behind_is_asked_once_more_to_forward_and_then_passed_over() -> Result<()>
{
    let first = Fake::start(vec![
        login(),
        behind(),
        json(200, LEASE),
        behind(),
        behind(),
    ])?;
    let second = Fake::start(vec![json(200, LEASE)])?;
    let provider = logged_in(&[first.address(), second.address()]).await?;
    let source = leased("database/creds/app");

    provider.fetch(BY_SESSION, &source).await?;
    let seen = first.seen();
    assert_eq!(seen.len(), 3);
    assert!(forwards(seen.last().context("a request")?));
    assert!(!forwards(seen.get(1).context("a request")?));

    provider.fetch(BY_SESSION, &source).await?;
    assert_eq!((first.seen().len(), second.seen().len()), (5, 1));
    Ok(())
}

#[tokio::test]
async fn an_index_that_a_node_can_not_read_is_forgotten() -> Result<()> {
    let refusal = r#"{"errors":["failed to decode \"X-Vault-Index\": EOF"]}"#;
    let node = Fake::start(vec![
        login(),
        value_at(NINE),
        json(400, refusal),
        json(200, VALUE),
        json(200, VALUE),
    ])?;
    let provider = logged_in(&[node.address()]).await?;
    for _ in 0..3 {
        provider.fetch(BY_SESSION, &stored("kv", "app")).await?;
    }
    let seen = node.seen();
    let named: Vec<_> = seen.iter().map(|request| index(request)).collect();
    assert_eq!(named, [None, None, Some(NINE), None, None]);
    Ok(())
}

#[tokio::test]
async fn lagging_behind_is_no_quota_and_nothing_was_issued() -> Result<()> {
    let node = Fake::start(vec![login(), value_at(NINE), behind(), behind(), behind()])?;
    let provider = logged_in(&[node.address()]).await?;
    provider.fetch(BY_SESSION, &stored("kv", "app")).await?;
    // It was asked to forward already.
    let outcome = provider.fetch(BY_SESSION, &stored("kv", "app")).await;
    assert_eq!(failure(&outcome), Some(Failure::Transient));
    let said = chain(outcome);
    assert!(said.contains("has not caught up yet"), "{said}");
    assert_eq!(node.seen().len(), 3);

    let node = Fake::start(vec![login(), behind(), behind()])?;
    let provider = logged_in(&[node.address()]).await?;
    let outcome = provider
        .fetch(BY_SESSION, &leased("database/creds/app"))
        .await;
    assert_eq!(failure(&outcome), Some(Failure::Transient));
    assert_eq!(node.seen().len(), 3);
    Ok(())
}
