use anyhow::{Context as _, Result, ensure};
use leasehold_model::{Failure, LeaseId};
use leasehold_provider::Provider as _;
use leasehold_testkit::{Lab, Postgres, wait};
use serde_json::{Value, json};
use tokio_postgres::error::SqlState;

use super::{
    LIMIT, connect, granted, has_user, issue, lease, refusal, session, text, user_is_gone,
};
use crate::bench::{Bench, SESSION, failure};

fn warning(answer: &leasehold_testkit::Answer) -> &str {
    answer.at("/warnings/0").unwrap_or_default()
}

#[tokio::test]
async fn f10_f11_a_lease_at_its_end_is_granted_less_and_less_and_called_renewable_to_the_last()
-> Result<()> {
    let lab = Lab::start().await?;
    let token = session(&lab).await?;
    lab.create_db_role("end", "3s", "5s").await?;
    let issued = issue(&lab, &token, "end").await?;
    let (mut grants, mut said) = (Vec::new(), Vec::new());
    let end = wait::until("the last renewal", LIMIT, async || {
        let renewal = lease(&lab, &token, "renew", &issued.lease).await?;
        if renewal.status != 200 {
            return Ok(Some(refusal(&renewal).1.to_owned()));
        }
        ensure!(renewal.body.get("renewable") == Some(&Value::Bool(true)));
        grants.push(granted(&renewal)?);
        said.push(warning(&renewal).to_owned());
        Ok(None)
    })
    .await?;
    ensure!(
        grants.is_sorted_by(|earlier, later| earlier >= later),
        "{grants:?}"
    );
    ensure!(
        grants.first() == Some(&3) && grants.last() < Some(&3),
        "{grants:?}"
    );
    for (grant, said) in grants.iter().zip(&said) {
        let capped = said.contains("TTL value is capped accordingly");
        ensure!(capped || *grant == 3, "{grant} {said}");
        ensure!(capped != said.is_empty(), "{said}");
    }
    // In its last moments it is refused in other words than once it is gone.
    let ends = [
        "lease not found",
        "lease expired",
        "past the max TTL, cannot renew",
    ];
    ensure!(ends.iter().any(|it| end.ends_with(it)), "{end}");
    user_is_gone(&lab, &issued.user).await
}

#[tokio::test]
async fn f12_a_role_with_a_shorter_time_shortens_its_leases_at_renewal_without_a_word() -> Result<()>
{
    let bench = Bench::logged_in().await?;
    let lab = &bench.lab;
    let token = session(lab).await?;
    lab.create_db_role("tuned", "60s", "1h").await?;
    let issued = issue(lab, &token, "tuned").await?;
    assert_eq!(granted(&issued.answer)?, 60);
    lab.create_db_role("tuned", "5s", "1h").await?;
    let renewal = lease(lab, &token, "renew", &issued.lease).await?;
    assert_eq!(granted(&renewal)?, 5);
    assert_eq!(renewal.body.get("warnings"), Some(&Value::Null));
    let id = LeaseId::from(issued.lease.as_str());
    let grant = bench.provider.renew_lease(SESSION, &id).await?;
    assert_eq!((grant.ttl.as_secs(), grant.capped), (5, false));
    Ok(())
}

#[tokio::test]
async fn f13_a_role_that_is_gone_or_allows_less_ends_renewal_and_not_the_credential() -> Result<()>
{
    let bench = Bench::logged_in().await?;
    let lab = &bench.lab;
    let token = session(lab).await?;
    for name in ["deleted", "lowered"] {
        lab.create_db_role(name, "60s", "1h").await?;
    }
    let deleted = issue(lab, &token, "deleted").await?;
    let lowered = issue(lab, &token, "lowered").await?;
    let path = "database/roles/deleted";
    lab.openbao.api("DELETE", path, None).await?;
    lab.create_db_role("lowered", "1s", "1s").await?;
    for (issued, expected) in [
        (&deleted, "could not find role with name \"deleted\""),
        (&lowered, "past the max TTL, cannot renew"),
    ] {
        // A role that allows less still grants something until the lease is older than that.
        let refused = wait::until("a refusal", LIMIT, async || {
            let renewal = lease(lab, &token, "renew", &issued.lease).await?;
            Ok((renewal.status != 200).then_some(renewal))
        })
        .await?;
        // Most often behind `failed to renew entry: `; a lease that has just become too old is told so
        // without.
        let (status, said) = refusal(&refused);
        ensure!(status == 400 && said.contains(expected), "{said}");
        let id = LeaseId::from(issued.lease.as_str());
        let renewal = bench.provider.renew_lease(SESSION, &id).await;
        assert_eq!(failure(&renewal), Some(Failure::NotRenewable));
    }
    let lookup = lease(lab, &token, "lookup", &deleted.lease).await?;
    assert_eq!(lookup.body["data"]["renewable"], true);
    drop(connect(lab, &deleted).await?);
    Ok(())
}

#[tokio::test]
async fn f14_only_a_lease_id_makes_a_lease_whatever_the_duration_says() -> Result<()> {
    let bench = Bench::logged_in().await?;
    let bao = &bench.lab.openbao;
    let token = session(&bench.lab).await?;
    let name = || Some(json!({ "common_name": "facts.test" }));

    let leased_one = bao.call(&token, "POST", "pki/issue/lease", name()).await?;
    let id = text(&leased_one, "/lease_id")?;
    assert_eq!(leased_one.body["renewable"], false);
    let renewal = lease(&bench.lab, &token, "renew", &id).await?;
    assert_eq!(refusal(&renewal), (400, "lease is not renewable"));
    let id = LeaseId::from(id.as_str());
    let renewal = bench.provider.renew_lease(SESSION, &id).await;
    assert_eq!(failure(&renewal), Some(Failure::NotRenewable));

    let path = "pki/issue/nolease";
    let unleased = bao.call(&token, "POST", path, name()).await?;
    assert_eq!(unleased.at("/lease_id"), Some(""));
    assert_eq!(granted(&unleased)?, 0);
    assert!(unleased.body["data"]["expiration"].is_u64());

    let mount = json!({ "type": "kv", "options": { "version": "1" } });
    bao.api("POST", "sys/mounts/v1", Some(mount)).await?;
    let value = json!({ "key": "canary" });
    bao.api("POST", "v1/app", Some(value)).await?;
    let stored = bao.call(bao.root_token(), "GET", "v1/app", None).await?;
    assert_eq!(stored.at("/lease_id"), Some(""));
    assert_eq!(granted(&stored)?, 2_764_800);
    assert_eq!(stored.body["renewable"], false);
    Ok(())
}

#[tokio::test]
async fn f35_a_static_role_has_no_lease_and_its_old_password_is_refused_at_once() -> Result<()> {
    let lab = Lab::start().await?;
    let bao = &lab.openbao;
    let token = session(&lab).await?;
    let read = async || {
        let path = "database/static-creds/svc";
        bao.call(&token, "GET", path, None).await
    };
    let before = read().await?;
    assert_eq!(before.at("/lease_id"), Some(""));
    assert_eq!(granted(&before)?, 0);
    assert_eq!(before.body["data"]["rotation_period"], 30);
    let ttl = before.body["data"]["ttl"].as_u64().context("ttl")?;
    assert!(ttl <= 30, "{ttl}");
    bao.api("POST", "database/rotate-role/svc", Some(json!({})))
        .await?;
    let after = read().await?;
    let at = "/data/last_vault_rotation";
    assert_ne!(
        before.at(at).context("a time")?,
        after.at(at).context("a time")?
    );
    let postgres = &lab.postgres;
    let connect = async |answer| {
        let password = text(answer, "/data/password")?;
        let user = Postgres::STATIC_USER;
        let login = postgres.connect_as(user, &password, Postgres::DATABASE);
        anyhow::Ok(login.await.err().and_then(|error| error.code().cloned()))
    };
    assert_eq!(connect(&before).await?, Some(SqlState::INVALID_PASSWORD));
    assert_eq!(connect(&after).await?, None);
    Ok(())
}

#[tokio::test]
async fn f35_a_static_role_changes_its_password_when_it_tells_another_rotation() -> Result<()> {
    let lab = Lab::start().await?;
    let bao = &lab.openbao;
    let role = json!({
        "db_name": "pg", "username": Postgres::STATIC_USER, "rotation_period": "5s",
    });
    bao.api("POST", "database/static-roles/svc", Some(role))
        .await?;
    bao.api("POST", "database/rotate-role/svc", Some(json!({})))
        .await?;
    let read = async || {
        let path = "database/static-creds/svc";
        bao.call(bao.root_token(), "GET", path, None).await
    };
    let at = "/data/last_vault_rotation";
    let before = read().await?;
    let after = wait::until("the rotation", LIMIT, async || {
        let now = read().await?;
        let rotated = now.at(at) != before.at(at);
        if !rotated {
            ensure!(now.at("/data/password") == before.at("/data/password"));
            ensure!(now.body["data"]["ttl"].as_u64().context("ttl")? <= 5);
        }
        Ok(rotated.then_some(now))
    })
    .await?;
    assert_ne!(after.at("/data/password"), before.at("/data/password"));
    let between =
        "select extract(epoch from $2::text::timestamptz - $1::text::timestamptz)::float8";
    let times = [text(&before, at)?, text(&after, at)?];
    let postgres = lab.postgres.client().await?;
    let row = postgres.query_one(between, &[&times[0], &times[1]]).await?;
    let seconds: f64 = row.try_get(0)?;
    // The server counts in whole seconds: after a rotation by hand the next is up to one early.
    ensure!(seconds > 3.9, "rotated too soon: {seconds}");
    Ok(())
}

#[tokio::test]
async fn f36_a_revocation_breaks_the_connections_that_are_still_open() -> Result<()> {
    let lab = Lab::start().await?;
    let token = session(&lab).await?;
    let issued = issue(&lab, &token, "app").await?;
    let client = connect(&lab, &issued).await?;
    client.query("select v from t", &[]).await?;
    let revocation = lease(&lab, &token, "revoke", &issued.lease).await?;
    assert_eq!(revocation.status, 204);
    assert!(!has_user(&lab, &issued.user).await?);
    let query = client.query("select v from t", &[]).await;
    let error = query.err().context("the connection lives on")?;
    let said = error
        .as_db_error()
        .context("no word of the server's")?
        .message();
    ensure!(
        said.contains("invalid role OID") || said.contains("permission denied"),
        "{said}"
    );
    Ok(())
}
