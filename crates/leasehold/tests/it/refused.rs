//! Credentials that stop working while they are in use, and those that each consumer has one of.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::origin::Database;
use leasehold_testkit::{Lab, Origin, Postgres, wait};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::{Gateway, OTHER_KEY, PATIENCE, Record, lab, no_user_left, vault_provider};

#[tokio::test]
async fn a_lease_revoked_by_somebody_else_costs_no_request() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let origin = Origin::database(&lab.postgres).await?;
    let from = "{ provider: vault, lease: database/creds/long }";
    let mut gateway = Gateway::start(&configuration(&lab, &origin, from, "tester").await?).await?;
    gateway.ready("database").await?;
    let before = user(&mut gateway).await?;
    // A record is written once its answer has ended, which is after we have it.
    let first = wait::until("the first record", PATIENCE, async || {
        Ok(gateway.records()?.into_iter().next())
    })
    .await?;
    let lease = first.lease_id.as_ref().context("a lease")?;
    let body = json!({ "lease_id": lease, "sync": true });
    lab.openbao
        .api("PUT", "sys/leases/revoke", Some(body))
        .await?;
    ensure!(
        !lab.postgres.login_roles_like("v-").await?.contains(&before),
        "the user is still there"
    );

    let mut at_once: JoinSet<_> = (0..20).map(|_| gateway.request("/").send()).collect();
    while let Some(answer) = at_once.join_next().await {
        let status = answer??.status();
        ensure!(status == 200, "{status}");
    }
    let after = user(&mut gateway).await?;
    ensure!(after != before, "{after} was revoked");
    gateway.stop().await?;

    ensure!(origin.pairs().len() == 2, "one was issued for all of them");
    let records = gateway.records()?;
    let retried: Vec<_> = records.iter().filter_map(|it| it.retried_after).collect();
    println!("refused: {}, retried: {}", origin.refused(), retried.len());
    ensure!(records.len() == 22, "{} records", records.len());
    ensure!(
        retried.len() == origin.refused() && retried.iter().all(|it| *it == 1),
        "{retried:?}"
    );
    ensure!(!retried.is_empty(), "none was refused");
    let answered = |it: &Record| (it.status, it.generation);
    let all_but_the_first = records.iter().skip(1).map(answered);
    ensure!(
        all_but_the_first.collect::<BTreeSet<_>>() == BTreeSet::from([(Some(200), Some(2))]),
        "{records:?}"
    );
    no_user_left(&lab).await
}

#[tokio::test]
async fn each_consumer_is_a_user_of_its_own_at_the_database() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let origin = Origin::database(&lab.postgres).await?;
    let from = "{ provider: vault, lease: database/creds/long }, per: consumer";
    let parts = configuration(&lab, &origin, from, "tester, other").await?;
    let mut gateway = Gateway::start(&parts).await?;
    gateway.ready("database").await?;
    let none = lab.postgres.login_roles_like("v-").await?;
    ensure!(none.is_empty(), "issued before anybody asked: {none:?}");

    let testers = user(&mut gateway).await?;
    let others = gateway.get_with("/", &[("x-api-key", OTHER_KEY)]).await?;
    ensure!(others.status == 200, "{others:?}");
    let others = user_in(&others.text)?;
    ensure!(testers != others, "both are {testers}");
    ensure!(user(&mut gateway).await? == testers, "the tester's changed");
    let users = lab.postgres.login_roles_like("v-").await?;
    ensure!(
        BTreeSet::from_iter(users) == BTreeSet::from([testers, others]),
        "the two are at the database"
    );
    gateway.stop().await?;

    let records = gateway.records()?;
    let whose = |it: &Record| (it.consumer.clone(), it.lease_id.clone());
    let whose: BTreeSet<_> = records.iter().map(whose).collect();
    let leases: BTreeSet<_> = whose.iter().map(|(_, lease)| lease).collect();
    ensure!((whose.len(), leases.len()) == (2, 2), "{whose:?}");
    no_user_left(&lab).await
}

#[tokio::test]
async fn a_password_changed_out_of_turn_costs_no_request() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let origin = Origin::database(&lab.postgres).await?;
    let grant = format!("grant {} to {}", Postgres::GROUP, Postgres::STATIC_USER);
    lab.postgres.client().await?.batch_execute(&grant).await?;
    // Changed every hour, so that nothing but the refusal tells of the change.
    let role = json!({
        "db_name": "pg",
        "username": Postgres::STATIC_USER,
        "rotation_period": "1h",
    });
    lab.openbao
        .api("POST", "database/static-roles/svc", Some(role))
        .await?;
    let from = "{ provider: vault, static: database/static-creds/svc }";
    let mut gateway = Gateway::start(&configuration(&lab, &origin, from, "tester").await?).await?;
    gateway.ready("database").await?;
    user(&mut gateway).await?;
    lab.openbao
        .api("POST", "database/rotate-role/svc", None)
        .await?;
    user(&mut gateway).await?;
    gateway.stop().await?;

    ensure!(origin.pairs().len() == 2, "one password was seen");
    ensure!((origin.accepted(), origin.refused()) == (2, 1));
    let told: Vec<_> = gateway.records()?.iter().map(told).collect();
    ensure!(
        told == [(Some(200), Some(1), None), (Some(200), Some(2), Some(1))],
        "{told:?}"
    );
    Ok(())
}

fn told(record: &Record) -> (Option<u16>, Option<u64>, Option<u64>) {
    (record.status, record.generation, record.retried_after)
}

/// A route to `origin` for `consumers` with a credential that comes `from` there.
async fn configuration(
    lab: &Lab,
    origin: &Origin<Database>,
    from: &str,
    consumers: &str,
) -> Result<String> {
    Ok(format!(
        "{}\
         credentials: {{ user: {{ from: {from} }} }}\n\
         upstreams:\n  \
           database:\n    \
             endpoints: [{:?}]\n    \
             credential: user\n    \
             inject: {{ basic: {{ username: username, password: password }} }}\n\
         routes: [{{ name: database, upstream: database, consumers: [{consumers}] }}]\n",
        vault_provider(lab).await?,
        origin.url()
    ))
}

/// Returns the database user that the tester's request was sent with.
async fn user(gateway: &mut Gateway) -> Result<String> {
    let answer = gateway.get("/").await?;
    ensure!(answer.status == 200, "{answer:?}");
    user_in(&answer.text)
}

fn user_in(text: &str) -> Result<String> {
    let answer: Value = serde_json::from_str(text)?;
    let user = answer.get("user").and_then(Value::as_str);
    Ok(user.context("a user")?.to_owned())
}
