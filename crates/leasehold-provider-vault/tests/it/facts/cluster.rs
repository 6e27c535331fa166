use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leasehold_model::Failure;
use leasehold_provider::Provider as _;
use leasehold_provider_vault::VaultProvider;
use leasehold_testkit::origin::Balancer;
use leasehold_testkit::{Cluster, OpenBao, wait};
use serde_json::{Value, json};

use super::refusal;
use crate::bench::{
    BY_SESSION, SESSION, chain, config, failure, field, lease_id, leased, make, stored,
};

const LIMIT: Duration = Duration::from_secs(60);
const INDEX: &str = "X-Vault-Index";
const INCONSISTENT: &str = "X-Vault-Inconsistent";
const ROUNDS: u64 = 20;

async fn provider(cluster: &Cluster, addresses: &[String]) -> Result<VaultProvider> {
    let approle = cluster.approle("gateway").await?;
    let config = config(addresses, &approle.role_id, &approle.secret_id_file)?;
    let provider = make(&config)?;
    provider.login(SESSION).await?;
    Ok(provider)
}

/// Writes the value and returns the index that the write ended at.
async fn write(node: &OpenBao, round: u64) -> Result<String> {
    let body = json!({ "data": { "round": round } });
    let path = "kv/data/staleness";
    let answer = node
        .call(node.root_token(), "POST", path, Some(body))
        .await?;
    ensure!(answer.status == 200, "{}", answer.text());
    Ok(answer.header(INDEX).context("no index")?.to_owned())
}

/// Reads the value with these headers, and returns the status and the round that wrote it.
async fn read(node: &OpenBao, headers: &[(&str, &str)]) -> Result<(u16, Option<u64>)> {
    let path = "kv/data/staleness";
    let answer = node.call_with(node.root_token(), "GET", path, headers, None);
    let answer = answer.await?;
    let round = answer
        .body
        .pointer("/data/data/round")
        .and_then(Value::as_u64);
    Ok((answer.status, round))
}

/// Waits until every node has seen the index.
async fn caught_up(cluster: &Cluster, index: &str) -> Result<()> {
    wait::until_true("the standbys to catch up", LIMIT, async || {
        for node in 0..3 {
            let headers = [(INDEX, index), (INCONSISTENT, "fail")];
            if read(cluster.node(node)?, &headers).await?.0 == 429 {
                return Ok(false);
            }
        }
        Ok(true)
    })
    .await
}

#[tokio::test]
async fn f33_the_death_of_the_active_node_stops_writes_for_a_while_and_kills_no_lease() -> Result<()>
{
    let mut cluster = Cluster::start().await?;
    let provider = provider(&cluster, &cluster.addresses()).await?;
    let fetched = provider
        .fetch(BY_SESSION, &leased("database/creds/long"))
        .await?;
    let (lease, user) = (lease_id(&fetched)?, field(&fetched, "username")?);
    let dead = cluster.active().await.context("no node is active")?;
    let index = write(cluster.node(dead)?, 0).await?;
    caught_up(&cluster, &index).await?;
    cluster.kill(dead).await?;

    // What is on its way when the node dies is lost, and what comes after goes to the others.
    let lost = provider.fetch(BY_SESSION, &stored("kv", "app")).await;
    assert_eq!(
        failure(&lost),
        Some(Failure::Unreachable),
        "{}",
        chain(lost)
    );
    let mut failed = 0;
    wait::until_true("a renewal", LIMIT, async || {
        let read = provider.fetch(BY_SESSION, &stored("kv", "app")).await;
        ensure!(read.is_ok(), "the standbys answer reads: {}", chain(read));
        let renewal = provider.renew_lease(SESSION, &lease).await;
        failed += u32::from(renewal.is_err());
        // In mid-election a node may also answer 503 with words of its own: passing as well, and tried again.
        let passing = matches!(
            failure(&renewal),
            None | Some(Failure::Unreachable | Failure::Transient)
        );
        ensure!(passing, "{}", chain(renewal));
        Ok(renewal.is_ok())
    })
    .await?;
    ensure!(failed > 0, "no write failed, though no node could write");
    ensure!(!cluster.postgres.login_roles_like(&user).await?.is_empty());

    cluster.start_again(dead).await?;
    ensure!(cluster.wait_for_active().await? != dead, "it stands by now");
    provider.revoke_lease(SESSION, &lease).await?;
    ensure!(cluster.postgres.login_roles_like(&user).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn f34_a_standby_answers_from_an_older_state_unless_it_is_told_the_index() -> Result<()> {
    let cluster = Cluster::start().await?;
    let active = cluster.node(cluster.wait_for_active().await?)?;
    let standby = cluster.node(cluster.standby().await?)?;
    let mut round = 0;
    wait::until_true(
        "a read that misses the write before it",
        LIMIT,
        async || {
            round += 1;
            write(active, round).await?;
            Ok(read(standby, &[]).await?.1 != Some(round))
        },
    )
    .await?;

    for round in 0..ROUNDS {
        let index = write(active, round).await?;
        let headers = [
            (INDEX, index.as_str()),
            (INCONSISTENT, "forward-active-node"),
        ];
        assert_eq!(read(standby, &headers).await?, (200, Some(round)));
    }
    Ok(())
}

#[tokio::test]
async fn f34_an_index_is_a_cluster_and_a_count_and_garbage_is_refused() -> Result<()> {
    let cluster = Cluster::start().await?;
    let active = cluster.node(cluster.wait_for_active().await?)?;
    let standby = cluster.node(cluster.standby().await?)?;
    let index = write(active, 0).await?;
    caught_up(&cluster, &index).await?;
    let told: Value = serde_json::from_slice(&STANDARD.decode(&index)?)?;
    let value = told.get("value").and_then(Value::as_str).context("value")?;
    let value: u64 = value.parse()?;
    let of = |cluster: &Value, value: u64| {
        let index = json!({ "cluster": cluster, "value": value.to_string() });
        STANDARD.encode(index.to_string())
    };

    let future = of(&told["cluster"], value + 1_000_000);
    let headers = [(INDEX, future.as_str())];
    let path = "kv/data/staleness";
    let token = standby.root_token();
    let answer = standby
        .call_with(token, "GET", path, &headers, None)
        .await?;
    assert_eq!(answer.status, 429, "{}", answer.text());
    assert_eq!(answer.body, json!({ "errors": [] }));
    assert_eq!(answer.header("Retry-After"), Some("1"));
    assert_eq!(
        read(active, &headers).await?.0,
        200,
        "the active node is never behind"
    );

    let foreign = of(&json!("another"), value + 1_000_000);
    let headers = [(INDEX, foreign.as_str()), (INCONSISTENT, "fail")];
    assert_eq!(read(standby, &headers).await?.0, 200, "not meant for it");
    let garbage = [(INDEX, "garbage")];
    let refused = standby
        .call_with(token, "GET", path, &garbage, None)
        .await?;
    let (status, said) = refusal(&refused);
    ensure!(
        status == 400 && said.starts_with("failed to decode \"X-Vault-Index\""),
        "{status} {said}"
    );
    assert_eq!(read(standby, &[(INCONSISTENT, "garbage")]).await?.0, 400);
    Ok(())
}

#[tokio::test]
async fn f34_a_provider_that_has_read_a_version_is_never_given_an_older_one() -> Result<()> {
    let cluster = Cluster::start().await?;
    let (writes, reads) = (cluster.wait_for_active().await?, cluster.standby().await?);
    let balancer = Balancer::start(cluster.addresses()).await?;
    let provider = provider(&cluster, &[balancer.url()]).await?;
    let source = stored("kv", "staleness");
    let mut round = 0;
    wait::until_true("a standby that lags behind", LIMIT, async || {
        round += 1;
        write(cluster.node(writes)?, round).await?;
        balancer.handler().set(writes);
        let first = provider.fetch(BY_SESSION, &source).await?;
        balancer.handler().set(reads);
        let second = provider.fetch(BY_SESSION, &source).await?;
        assert_eq!(second.holding, first.holding, "round {round}");
        assert_eq!(field(&second, "round")?, round.to_string());
        // Whoever asks later without an index and is still given the value before, shows that the
        // standby did lag behind when the provider asked.
        Ok(read(cluster.node(reads)?, &[]).await?.1 != Some(round))
    })
    .await
}
