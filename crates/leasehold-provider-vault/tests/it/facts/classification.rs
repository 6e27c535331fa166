use anyhow::{Result, ensure};
use leasehold_model::{Failure, LeaseId};
use leasehold_provider::Provider as _;
use leasehold_testkit::{Lab, wait};
use serde_json::json;

use super::{LIMIT, issue, lease, log_in, refusal, session};
use crate::bench::{self, BY_SESSION, Bench, SESSION, chain, failure, lease_id, stored};

#[tokio::test]
async fn f03_an_unknown_lease_is_told_from_one_that_expired_and_could_not_be_revoked() -> Result<()>
{
    let mut lab = Lab::start().await?;
    let token = session(&lab).await?;
    let unknown = "database/creds/app/unknown";
    let renewal = lease(&lab, &token, "renew", unknown).await?;
    assert_eq!(refusal(&renewal), (400, "lease not found"));
    let lookup = lease(&lab, &token, "lookup", unknown).await?;
    assert_eq!(refusal(&lookup), (400, "invalid lease"));
    let revocation = lease(&lab, &token, "revoke", unknown).await?;
    assert_eq!(revocation.status, 204, "{}", revocation.text());

    lab.create_db_role("brief", "1s", "1s").await?;
    let brief = issue(&lab, &token, "brief").await?.lease;
    lab.postgres.stop().await?;
    wait::until_true("the lease to expire", LIMIT, async || {
        let renewal = lease(&lab, &token, "renew", &brief).await?;
        Ok(refusal(&renewal) == (400, "lease expired"))
    })
    .await?;
    let lookup = lease(&lab, &token, "lookup", &brief).await?;
    assert_eq!(lookup.status, 200, "it is still there: {}", lookup.text());
    let provider = bench::provider(&lab, "gateway").await?;
    provider.login(SESSION).await?;
    let renewal = provider
        .renew_lease(SESSION, &LeaseId::from(brief.as_str()))
        .await;
    assert_eq!(failure(&renewal), Some(Failure::LeaseGone));
    Ok(())
}

#[tokio::test]
async fn f04_a_dead_token_and_a_forbidding_policy_have_one_status_and_two_texts() -> Result<()> {
    let lab = Lab::start().await?;
    let bao = &lab.openbao;
    let token = session(&lab).await?;
    let forbidden = bao.call(&token, "GET", "database/config/pg", None).await?;
    let listed = "1 error occurred:\n\t* permission denied\n\n";
    assert_eq!(refusal(&forbidden), (403, listed));
    bao.call(&token, "POST", "auth/token/revoke-self", Some(json!({})))
        .await?;
    for (dead, path) in [
        (token.as_str(), "kv/data/app"),
        (token.as_str(), "auth/token/lookup-self"),
        ("s.never-existed", "kv/data/app"),
        ("", "kv/data/app"),
    ] {
        let refused = bao.call(dead, "GET", path, None).await?;
        assert_eq!(refusal(&refused), (403, "permission denied"), "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn f06_what_a_server_says_between_unsealing_and_serving_passes_and_kills_no_lease()
-> Result<()> {
    let bench = Bench::logged_in().await?;
    let bao = &bench.lab.openbao;
    let held = lease_id(&bench.issue("app").await?)?;
    bao.seal().await?;
    let token = bao.root_token();
    let sealed = bao.call(token, "GET", "kv/data/app", None).await?;
    assert_eq!(refusal(&sealed), (503, "Vault is sealed"));

    bao.give_key().await?;
    wait::until_true("a renewal", LIMIT, async || {
        renews_or_is_unreachable(&bench, &held).await
    })
    .await?;

    // A server that has stepped down says for longer what one says that was just unsealed; how long
    // depends on how soon it steps up again, which may be at once.
    bao.api("PUT", "sys/step-down", None).await?;
    wait::until_true("a renewal and an issue", LIMIT, async || {
        let issue = bench.issue("app").await;
        let passing = matches!(failure(&issue), None | Some(Failure::Unreachable));
        ensure!(passing, "nothing was issued: {}", chain(issue));
        Ok(issue.is_ok() && renews_or_is_unreachable(&bench, &held).await?)
    })
    .await?;
    wait::until_true("a read, which needs no active node", LIMIT, async || {
        let read = bench.provider.fetch(BY_SESSION, &stored("kv", "app")).await;
        let passing = matches!(failure(&read), None | Some(Failure::Unreachable));
        ensure!(passing, "{}", chain(read));
        Ok(read.is_ok())
    })
    .await
}

/// Tells whether the lease was renewed; a refusal has to be one of a node that can't serve.
async fn renews_or_is_unreachable(bench: &Bench, held: &LeaseId) -> Result<bool> {
    let renewal = bench.provider.renew_lease(SESSION, held).await;
    let passing = matches!(failure(&renewal), None | Some(Failure::Unreachable));
    ensure!(passing, "{}", chain(renewal));
    Ok(renewal.is_ok())
}

#[tokio::test]
async fn f08_a_refused_approle_login_is_a_400_that_does_not_tell_why() -> Result<()> {
    let lab = Lab::start().await?;
    let bao = &lab.openbao;
    let role_id = lab.approle("gateway").await?.role_id;
    let once = json!({ "token_policies": "gateway", "secret_id_num_uses": 1 });
    bao.api("POST", "auth/approle/role/once", Some(once))
        .await?;
    let approle = lab.approle("once").await?;
    let spent = std::fs::read_to_string(&approle.secret_id_file)?;
    let path = "auth/approle/login";
    let first = json!({ "role_id": approle.role_id, "secret_id": spent });
    let first = bao.call("", "POST", path, Some(first)).await?;
    assert_eq!(first.status, 200, "{}", first.text());
    for (role_id, secret_id) in [
        (role_id.as_str(), "wrong"),
        ("wrong", "wrong"),
        (approle.role_id.as_str(), spent.as_str()),
    ] {
        let body = json!({ "role_id": role_id, "secret_id": secret_id });
        let refused = bao.call("", "POST", path, Some(body)).await?;
        assert_eq!(refusal(&refused), (400, "invalid role or secret ID"));
    }
    let again = log_in(&lab, "once").await?;
    assert_eq!(again.status, 200, "a fresh secret id: {}", again.text());
    Ok(())
}
