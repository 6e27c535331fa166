use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::{Answer, Lab, wait};
use serde_json::{Value, json};

use super::{LIMIT, granted, has_user, issue, lease, log_in, refusal, session, text, user_is_gone};

/// Mints an orphan periodic token, as the gateway is allowed to.
async fn mint(lab: &Lab, token: &str, role: &str) -> Result<Answer> {
    let path = format!("auth/token/create/{role}");
    let body = json!({ "display_name": "facts" });
    let answer = lab.openbao.call(token, "POST", &path, Some(body)).await?;
    ensure!(answer.status == 200, "{}", answer.text());
    Ok(answer)
}

/// Renews or revokes a token by its accessor, as root.
async fn by_accessor(lab: &Lab, what: &str, accessor: &str) -> Result<()> {
    let path = format!("auth/token/{what}-accessor");
    let body = json!({ "accessor": accessor });
    lab.openbao.api("POST", &path, Some(body)).await?;
    Ok(())
}

async fn revoke(lab: &Lab, token: &str) -> Result<()> {
    let path = "auth/token/revoke-self";
    let answer = lab
        .openbao
        .call(token, "POST", path, Some(json!({})))
        .await?;
    ensure!(answer.status == 204, "{}", answer.text());
    Ok(())
}

#[tokio::test]
async fn f20_a_lease_of_an_anchor_outlives_the_session_and_dies_with_the_anchor() -> Result<()> {
    let lab = Lab::start().await?;
    let first = session(&lab).await?;
    let anchor = mint(&lab, &first, "leasehold").await?;
    assert_eq!(anchor.body["auth"]["orphan"], true);
    let issued = issue(&lab, &text(&anchor, "/auth/client_token")?, "app").await?;
    revoke(&lab, &first).await?;

    let second = session(&lab).await?;
    let renewal = lease(&lab, &second, "renew", &issued.lease).await?;
    assert_eq!(granted(&renewal)?, 60);
    assert!(has_user(&lab, &issued.user).await?);
    by_accessor(&lab, "revoke", &text(&anchor, "/auth/accessor")?).await?;
    user_is_gone(&lab, &issued.user).await?;
    let renewal = lease(&lab, &second, "renew", &issued.lease).await?;
    assert_eq!(refusal(&renewal), (400, "lease not found"));
    Ok(())
}

#[tokio::test]
async fn f21_renewal_by_another_token_does_not_move_the_lease_to_it() -> Result<()> {
    let lab = Lab::start().await?;
    let (issuer, other) = (session(&lab).await?, session(&lab).await?);
    let issued = issue(&lab, &issuer, "app").await?;
    let renewal = lease(&lab, &other, "renew", &issued.lease).await?;
    assert_eq!(renewal.status, 200, "{}", renewal.text());
    revoke(&lab, &issuer).await?;
    user_is_gone(&lab, &issued.user).await?;
    let alive = lab.openbao.call(&other, "GET", "kv/data/app", None).await?;
    assert_eq!(alive.status, 200);
    Ok(())
}

#[tokio::test]
async fn f22_a_periodic_token_lives_for_as_long_as_it_is_renewed_whatever_it_asks_for() -> Result<()>
{
    let lab = Lab::start().await?;
    let bao = &lab.openbao;
    let role = json!({ "orphan": true, "token_period": "2s", "allowed_policies": ["gateway"] });
    bao.api("POST", "auth/token/roles/brief", Some(role))
        .await?;
    let anchor = mint(&lab, bao.root_token(), "brief").await?;
    let token = text(&anchor, "/auth/client_token")?;
    for increment in ["1s", "1h"] {
        let body = json!({ "increment": increment });
        let path = "auth/token/renew-self";
        let renewal = bao.call(&token, "POST", path, Some(body)).await?;
        assert_eq!(renewal.body["auth"]["lease_duration"], 2, "{increment}");
        assert_eq!(renewal.body["warnings"], Value::Null);
    }
    let accessor = text(&anchor, "/auth/accessor")?;
    wait::until_true("three periods to pass", LIMIT, async || {
        by_accessor(&lab, "renew", &accessor).await?;
        let path = "auth/token/lookup-self";
        let lookup = bao.call(&token, "GET", path, None).await?;
        let time = |pointer| lookup.body.pointer(pointer).and_then(Value::as_u64);
        let renewed = time("/data/last_renewal_time").context("no renewal")?;
        Ok(renewed > time("/data/creation_time").context("no creation")? + 3 * 2)
    })
    .await
}

#[tokio::test]
async fn f24_a_batch_token_has_no_accessor_and_no_renewal_and_bounds_its_leases() -> Result<()> {
    let lab = Lab::start().await?;
    let login = log_in(&lab, "gateway-batch").await?;
    assert_eq!(login.at("/auth/accessor"), Some(""));
    assert_eq!(login.at("/auth/token_type"), Some("batch"));
    assert_eq!(login.body["auth"]["renewable"], false);
    let token = text(&login, "/auth/client_token")?;
    let issued = issue(&lab, &token, "long").await?;
    ensure!(granted(&issued.answer)? <= 60, "{}", issued.lease);
    let call = async |path: &str, body| lab.openbao.call(&token, "POST", path, Some(body)).await;
    let renewal = call("auth/token/renew-self", json!({})).await?;
    assert_eq!(refusal(&renewal), (400, "batch tokens cannot be renewed"));
    let revocation = call("auth/token/revoke-self", json!({})).await?;
    assert_eq!(
        refusal(&revocation),
        (400, "batch tokens cannot be revoked")
    );
    let child = call("auth/token/create/leasehold", json!({})).await?;
    assert_eq!(child.status, 400, "{}", child.text());
    let by_another = session(&lab).await?;
    let revocation = lease(&lab, &by_another, "revoke", &issued.lease).await?;
    assert_eq!(revocation.status, 204, "{}", revocation.text());
    assert!(!has_user(&lab, &issued.user).await?);
    Ok(())
}

#[tokio::test]
async fn f25_the_last_use_of_a_limited_token_takes_its_leases_along() -> Result<()> {
    let lab = Lab::start().await?;
    let role = json!({ "token_policies": "gateway", "token_ttl": "60s", "token_num_uses": 2 });
    let path = "auth/approle/role/limited";
    lab.openbao.api("POST", path, Some(role)).await?;
    let login = log_in(&lab, "limited").await?;
    assert_eq!(login.body["auth"]["num_uses"], 2);
    let token = text(&login, "/auth/client_token")?;
    let issued = issue(&lab, &token, "app").await?;
    let path = "database/creds/app";
    let refused = lab.openbao.call(&token, "GET", path, None).await?;
    let said = "Secret cannot be returned; token had one use left, so leased credentials were \
                immediately revoked.";
    assert_eq!(refusal(&refused), (400, said));
    user_is_gone(&lab, &issued.user).await
}
