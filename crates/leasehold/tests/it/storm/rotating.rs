//! An account whose password OpenBao changes.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::{Lab, Origin, Postgres, audit_entries};
use serde_json::{Value, json};

use super::{all_served, for_seconds};
use crate::support::{Gateway, lab, vault_provider};

#[tokio::test]
async fn f35_a_static_role_is_read_once_a_rotation_and_fails_no_request() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let path = "database/static-roles/svc";
    let period =
        json!({ "db_name": "pg", "username": Postgres::STATIC_USER, "rotation_period": "5s" });
    lab.openbao.api("POST", path, Some(period)).await?;
    // The origin looks into a table that issued users may read.
    let grant = format!("grant {} to {}", Postgres::GROUP, Postgres::STATIC_USER);
    lab.postgres.client().await?.batch_execute(&grant).await?;
    let origin = Origin::database(&lab.postgres).await?;
    let mut gateway = Gateway::start(&configuration(&lab, &origin.url()).await?).await?;
    gateway.ready("static").await?;
    let statuses = gateway
        .load("/", Duration::from_millis(10), for_seconds(18))
        .await?;
    gateway.stop().await?;
    let passwords = origin.pairs().len();
    let reads = reads(&lab)?;
    let records = gateway.records()?;
    let again = records.iter().filter(|it| it.retried_after.is_some());
    println!(
        "{passwords} passwords in 18 s, {reads} reads: {statuses:?}; {} refused once, \
         {} requests in all at the database refused",
        again.count(),
        origin.refused()
    );
    all_served(&gateway, &statuses)?;
    ensure!(passwords >= 3, "only {passwords} passwords");
    ensure!(
        reads <= passwords + 1,
        "{reads} reads of {passwords} passwords"
    );
    Ok(())
}

fn reads(lab: &Lab) -> Result<usize> {
    let entries = audit_entries(&lab.openbao.audit_log())?;
    let at = |entry: &Value, pointer: &str| {
        let text = entry.pointer(pointer).and_then(Value::as_str);
        text.map(str::to_owned)
    };
    let reads = entries.iter().filter(|entry| {
        at(entry, "/type").as_deref() == Some("request")
            && at(entry, "/request/path").as_deref() == Some("database/static-creds/svc")
    });
    let count = reads.count();
    (count > 0).then_some(count).context("it was never read")
}

async fn configuration(lab: &Lab, origin: &str) -> Result<String> {
    Ok(format!(
        "{}\
         credentials: {{ account: {{ from: {{ provider: vault, static: database/static-creds/svc, max_stale: 1h }} }} }}\n\
         upstreams:\n  \
           database: {{ endpoints: [{origin:?}], credential: account, \
             inject: {{ basic: {{ username: username, password: password }} }} }}\n\
         routes: [{{ name: static, upstream: database, consumers: [tester] }}]\n",
        vault_provider(lab).await?,
    ))
}
