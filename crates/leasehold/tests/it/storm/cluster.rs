//! Three nodes of OpenBao, of which the active one dies.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::origin::Balancer;
use leasehold_testkit::{Cluster, Origin, wait};
use serde_json::json;

use super::audit::{Audit, Kind};
use super::{all_served, for_seconds};
use crate::support::{Gateway, lab_turn};

#[tokio::test]
async fn f33_f34_the_death_of_the_active_node_fails_no_request_and_no_version_goes_back()
-> Result<()> {
    let _turn = lab_turn().await;
    let mut cluster = Cluster::start().await?;
    let (database, echo) = (
        Origin::database(&cluster.postgres).await?,
        Origin::echo().await?,
    );
    let balancer = Balancer::start(cluster.addresses()).await?;
    put(&cluster, 0).await?;
    let parts = configuration(&cluster, &balancer.url(), &database.url(), &echo.url()).await?;
    let mut gateway = Gateway::start(&parts).await?;
    gateway.ready("database").await?;
    gateway.ready("value").await?;
    versions_only_grow(&cluster, &balancer, &gateway).await?;

    let active = cluster.wait_for_active().await?;
    let paths = ["/database/", "/value/"].map(str::to_owned);
    let logs = logs(&cluster, &[active])?;
    let death = async {
        cluster.kill(active).await?;
        balancer.handler().set(usize::from(active == 0));
        let next = cluster.wait_for_active().await?;
        println!("node {active} died, node {next} writes");
        wait::until_true("a renewal at another node", LIMIT, async || {
            Ok(count(&logs)? > 0)
        })
        .await?;
        for_seconds(3).await
    };
    let statuses = gateway
        .load_all(&paths, Duration::from_millis(5), death)
        .await?;
    println!("active node killed: {statuses:?}");
    all_served(&gateway, &statuses)?;
    ensure!(database.refused() == 0, "the database refused a user");
    gateway.stop().await?;
    let left = cluster.postgres.login_roles_like("v-").await?;
    ensure!(left.is_empty(), "database users left: {left:?}");
    Ok(())
}

/// Writes version after version, while one node after the other is asked for it.
async fn versions_only_grow(
    cluster: &Cluster,
    balancer: &Origin<Balancer>,
    gateway: &Gateway,
) -> Result<()> {
    let mut seen = Vec::new();
    for round in 1..=ROUNDS {
        balancer.handler().set(round % 3);
        put(cluster, round).await?;
        for _ in 0..30 {
            let answer = gateway.request("/value/").send().await?.text().await?;
            let (_, rest) = answer.split_once("round-").context("no round")?;
            let (round, _) = rest.split_once("-end").context("no round")?;
            seen.push(round.parse::<usize>()?);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    ensure!(seen.is_sorted(), "a version went back: {seen:?}");
    seen.dedup();
    println!("served of {ROUNDS} versions: {seen:?}");
    ensure!(seen.len() >= 3, "too few versions came through: {seen:?}");
    Ok(())
}

async fn put(cluster: &Cluster, round: usize) -> Result<()> {
    let active = cluster.node(cluster.wait_for_active().await?)?;
    let value = json!({ "key": format!("round-{round}-end") });
    active.kv_put("kv", "rounds", value).await?;
    Ok(())
}

fn logs(cluster: &Cluster, but: &[usize]) -> Result<Vec<PathBuf>> {
    let nodes = (0..3).filter(|node| !but.contains(node));
    nodes
        .map(|node| Ok(cluster.node(node)?.audit_log()))
        .collect()
}

/// Counts renewals that were granted.
fn count(logs: &[PathBuf]) -> Result<usize> {
    let mut count = 0;
    for log in logs {
        count += Audit::read(log)?.grants(&[Kind::Renew]).count();
    }
    Ok(count)
}

async fn configuration(
    cluster: &Cluster,
    balancer: &str,
    database: &str,
    echo: &str,
) -> Result<String> {
    let approle = cluster.approle("gateway").await?;
    let provider = |name: &str, addresses: &[String]| {
        format!(
            "  {name}:\n    kind: vault\n    address: {addresses:?}\n    \
             auth: {{ approle: {{ role_id: {:?}, secret_id: {{ file: {:?} }} }} }}\n",
            approle.role_id, approle.secret_id_file
        )
    };
    Ok(format!(
        "providers:\n{}{}\
         credentials:\n  \
           user: {{ from: {{ provider: vault, lease: database/creds/app }} }}\n  \
           value: {{ from: {{ provider: balanced, kv: kv/rounds, field: key, poll: 200ms, max_stale: 1h }} }}\n\
         upstreams:\n  \
           database: {{ endpoints: [{database:?}], credential: user, \
             inject: {{ basic: {{ username: username, password: password }} }} }}\n  \
           value: {{ endpoints: [{echo:?}], credential: value, inject: {{ header: X-Key }} }}\n\
         routes:\n  \
           - {{ name: database, match: {{ path: /database/ }}, upstream: database, consumers: [tester] }}\n  \
           - {{ name: value, match: {{ path: /value/ }}, upstream: value, consumers: [tester] }}\n",
        provider("vault", &cluster.addresses()),
        provider("balanced", &[balancer.to_owned()]),
    ))
}

const LIMIT: Duration = Duration::from_secs(90);
const ROUNDS: usize = 20;
