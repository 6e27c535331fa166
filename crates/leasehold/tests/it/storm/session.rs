//! Operators who end what the gateway's leases hang on, and requests that a rotation must not break.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::{Lab, Origin, audit_entries, wait};
use serde_json::{Value, json};

use super::audit::{Audit, Kind, seconds};
use super::{all_served, for_seconds, no_user_left, users};
use crate::support::{Gateway, PATIENCE, lab};

#[tokio::test]
async fn f20_f23_a_revoked_login_ends_nothing_and_a_revoked_anchor_is_replaced() -> Result<()> {
    let (_turn, lab) = lab().await?;
    lab.create_db_role("renewed", "6s", "24h").await?;
    let origin = Origin::database(&lab.postgres).await?;
    let parts = users(&lab, 1, "renewed", &origin.url()).await?;
    let kind = "kind: vault\n";
    ensure!(parts.contains(kind), "the provider is declared otherwise");
    let anchored = format!("{kind}    anchor: {{ token_role: leasehold }}\n");
    let mut gateway = Gateway::start(&parts.replace(kind, &anchored)).await?;
    gateway.ready("user-0").await?;
    a_revoked_login(&lab, &gateway).await?;
    a_revoked_anchor(&lab, &gateway).await?;
    gateway.stop().await?;
    no_user_left(&lab).await
}

async fn a_revoked_login(lab: &Lab, gateway: &Gateway) -> Result<()> {
    let log = lab.openbao.audit_log();
    let again = async {
        let path = "sys/leases/revoke-prefix/auth/approle/login";
        lab.openbao.api("PUT", path, None).await?;
        wait::until_true("a renewal in a new login", PATIENCE, async || {
            let audit = Audit::read(&log)?;
            let logins = audit.times(&[Kind::LogIn]);
            let renewals = audit.grants(&[Kind::Renew]).last().map(|it| it.at);
            Ok(matches!((logins.as_slice(), renewals), ([_, second, ..], Some(it)) if it > *second))
        })
        .await?;
        for_seconds(3).await
    };
    let statuses = gateway.load("/0/", OFTEN, again).await?;
    let audit = Audit::read(&log)?;
    println!("login revoked: {statuses:?}; {audit}");
    all_served(gateway, &statuses)?;
    ensure!(audit.issued() == 1, "its lease was replaced: {audit}");
    Ok(())
}

async fn a_revoked_anchor(lab: &Lab, gateway: &Gateway) -> Result<()> {
    let before = gateway.records()?.len();
    let log = lab.openbao.audit_log();
    let again = async {
        for_seconds(1).await?;
        let path = "auth/token/revoke-accessor";
        let body = json!({ "accessor": anchor(lab)? });
        lab.openbao.api("POST", path, Some(body)).await?;
        wait::until_true("a lease of another anchor", PATIENCE, async || {
            Ok(Audit::read(&log)?.issued() == 2)
        })
        .await?;
        for_seconds(3).await
    };
    let statuses = gateway.load("/0/", OFTEN, again).await?;
    let records = gateway.records()?;
    let (mut first, mut last) = (f64::INFINITY, 0.0_f64);
    for record in records.iter().skip(before) {
        if record.status != Some(200) {
            let at = seconds(&record.time)?;
            (first, last) = (first.min(at), last.max(at));
        }
    }
    println!(
        "anchor revoked: {statuses:?}; refused for {:.2} s",
        (last - first).max(0.0)
    );
    ensure!(gateway.request("/0/").send().await?.status() == 200);
    Ok(())
}

/// Returns the accessor of the newest anchor.
fn anchor(lab: &Lab) -> Result<String> {
    let entries = audit_entries(&lab.openbao.audit_log_with_accessors())?;
    let at = |entry: &Value, pointer: &str| {
        let text = entry.pointer(pointer).and_then(Value::as_str);
        text.map(str::to_owned)
    };
    let mut accessors = entries.iter().rev().filter_map(|entry| {
        let path = at(entry, "/request/path")?;
        let made = path.starts_with("auth/token/create/leasehold");
        at(entry, "/response/auth/accessor").filter(|_| made)
    });
    accessors.next().context("no anchor was made")
}

/// A revocation drops the user below open connections, which break at their next query.
#[tokio::test]
async fn f36_requests_that_hold_a_user_end_before_it_is_revoked() -> Result<()> {
    let (_turn, lab) = lab().await?;
    lab.create_db_role("brief", "20s", "20s").await?;
    let origin = Origin::database_held(&lab.postgres, Duration::from_secs(2)).await?;
    let mut gateway = Gateway::start(&users(&lab, 1, "brief", &origin.url()).await?).await?;
    gateway.ready("user-0").await?;
    let log = lab.openbao.audit_log();
    // A drain may take what is left of the lease but for two seconds, here 2.6 s at least.
    let rotations = wait::until_true("a revocation", PATIENCE, async || {
        Ok(Audit::read(&log)?.rate(&[Kind::Revoke]).count >= 1)
    });
    let interval = Duration::from_millis(100);
    let statuses = gateway.load("/0/", interval, rotations).await?;
    println!("queries of 2 s across a rotation: {statuses:?}");
    all_served(&gateway, &statuses)?;
    gateway.stop().await?;
    no_user_left(&lab).await
}

const OFTEN: Duration = Duration::from_millis(10);
