//! Database users issued for seconds, each shown to an origin that logs in with it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::origin::Database;
use leasehold_testkit::{Lab, Origin, wait};
use serde_json::Value;

use crate::support::{Gateway, PATIENCE, Record, all_served, lab, no_user_left, vault_provider};

#[tokio::test]
async fn users_of_three_seconds_serve_a_minute_without_a_failure_and_are_all_given_back()
-> Result<()> {
    let (_turn, lab) = lab().await?;
    let origin = Origin::database(&lab.postgres).await?;
    let mut gateway = Gateway::start(&configuration(&lab, &origin).await?).await?;
    gateway.ready("database").await?;

    let minute = async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok(())
    };
    let statuses = gateway
        .load("/query", Duration::from_millis(5), minute)
        .await?;
    println!("statuses: {statuses:?}");
    all_served(&gateway, &statuses)?;

    let metrics = gateway.admin("/metrics").await?;
    ensure!(
        metrics
            .text
            .contains("leasehold_generations_activated_total"),
        "{}",
        metrics.text
    );
    gateway.admin("/readyz").await?;
    gateway.stop().await?;

    let pairs = origin.pairs();
    let users: BTreeSet<_> = pairs.iter().map(|(user, _)| user).collect();
    println!("users: {}", users.len());
    ensure!(users.len() >= 6, "only {} users", users.len());
    ensure!(
        pairs.len() == users.len(),
        "a user was seen with another's password"
    );
    given_back(&lab, "tiny").await?;

    let records = gateway.records()?;
    let requests: usize = statuses.values().sum();
    ensure!(
        records.len() == requests,
        "{} records of {requests} requests",
        records.len()
    );
    let generations: BTreeSet<_> = records.iter().filter_map(|it| it.generation).collect();
    ensure!(
        generations.len() == users.len(),
        "{generations:?} for {} users",
        users.len()
    );
    joined_with_the_audit_log(&records, &lab)?;

    let secrets = pairs
        .into_iter()
        .map(|(_, password)| password)
        .chain(the_labs_own(&lab)?);
    gateway.assert_no_leak(&secrets.collect::<Vec<_>>())
}

#[tokio::test]
async fn a_login_revoked_at_openbao_is_replaced_without_a_restart() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let origin = Origin::database(&lab.postgres).await?;
    let mut gateway = Gateway::start(&configuration(&lab, &origin).await?).await?;
    gateway.ready("database").await?;
    ensure!(gateway.get("/").await?.status == 200);

    // The operator's emergency brake: every login by AppRole ends, and its leases with it.
    lab.openbao
        .api("PUT", "sys/leases/revoke-prefix/auth/approle/login", None)
        .await?;
    let before = origin.pairs().len();
    wait::until_true("a user issued in a new login", PATIENCE, async || {
        let status = gateway.request("/").send().await?.status();
        Ok(status == 200 && origin.pairs().len() > before)
    })
    .await?;
    gateway.stop().await?;
    given_back(&lab, "tiny").await
}

/// A route to `origin` with database users that live for 3 seconds and are renewed up to 8.
async fn configuration(lab: &Lab, origin: &Origin<Database>) -> Result<String> {
    Ok(format!(
        "{}\
         credentials: {{ user: {{ from: {{ provider: vault, lease: database/creds/tiny }} }} }}\n\
         upstreams:\n  \
           database:\n    \
             endpoints: [{:?}]\n    \
             credential: user\n    \
             inject: {{ basic: {{ username: username, password: password }} }}\n\
         routes: [{{ name: database, upstream: database, consumers: [tester] }}]\n",
        vault_provider(lab).await?,
        origin.url()
    ))
}

/// Nothing of ours is left: no database user, and no lease at OpenBao.
async fn given_back(lab: &Lab, role: &str) -> Result<()> {
    no_user_left(lab).await?;
    let path = format!("sys/leases/lookup/database/creds/{role}");
    let leases = lab
        .openbao
        .call(lab.openbao.root_token(), "LIST", &path, None)
        .await?;
    ensure!(leases.status == 404, "leases left: {}", leases.text());
    Ok(())
}

/// Finds the provider's request id and lease id of 100 records in OpenBao's own audit log, on the
/// entry that issued the credential.
fn joined_with_the_audit_log(records: &[Record], lab: &Lab) -> Result<()> {
    let mut issued = BTreeMap::new();
    for line in fs::read_to_string(lab.openbao.audit_log())?.lines() {
        let entry: Value = serde_json::from_str(line)?;
        let at = |pointer| {
            entry
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        if let (Some("response"), Some(id), Some(lease), Some(path)) = (
            at("/type").as_deref(),
            at("/request/id"),
            at("/response/secret/lease_id"),
            at("/request/path"),
        ) {
            issued.insert(id, (lease, path));
        }
    }
    ensure!(records.len() >= 100, "too few records to choose from");
    let mut rng = fastrand::Rng::with_seed(7);
    for record in rng.choose_multiple(records, 100) {
        let id = record
            .provider_request_id
            .as_ref()
            .context("a provider request id")?;
        let (lease, path) = issued
            .get(id)
            .with_context(|| format!("{id} in the audit log"))?;
        ensure!(
            record.lease_id.as_ref() == Some(lease),
            "{record:?} was issued on {lease}"
        );
        ensure!(
            path == "database/creds/tiny",
            "{record:?} was issued at {path}"
        );
        ensure!(
            record.fingerprint.as_ref().is_some_and(|it| it.len() == 32),
            "{record:?}"
        );
        ensure!(record.consumer.as_deref() == Some("tester"), "{record:?}");
        ensure!(record.credential.as_deref() == Some("user"), "{record:?}");
        ensure!(record.route.as_deref() == Some("database"), "{record:?}");
        ensure!(record.upstream.as_deref() == Some("database"), "{record:?}");
        ensure!(
            record.endpoint.is_some() && record.trace_id.len() == 32,
            "{record:?}"
        );
    }
    Ok(())
}

/// The lab's own secrets that the gateway has to do with.
fn the_labs_own(lab: &Lab) -> Result<Vec<String>> {
    let secret_id = fs::read_to_string(lab.dir().join("gateway.secret-id"))?;
    Ok(vec![
        secret_id.trim().to_owned(),
        lab.openbao.root_token().to_owned(),
    ])
}
