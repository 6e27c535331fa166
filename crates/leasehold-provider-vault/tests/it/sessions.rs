use std::time::Duration;

use anyhow::{Context as _, Result};
use leasehold_model::{Failure, Holder};
use leasehold_provider::{Holding, Provider as _};
use leasehold_testkit::{Lab, wait};
use serde_json::{Value, json};

use crate::bench::{BY_SESSION, Bench, SESSION, chain, failure, leased, provider, stored};

const LIMIT: Duration = Duration::from_secs(30);

async fn tokens(lab: &Lab) -> Result<usize> {
    let answer = lab
        .openbao
        .api("LIST", "auth/token/accessors", None)
        .await?;
    let keys = answer.pointer("/data/keys").and_then(Value::as_array);
    Ok(keys.context("accessors")?.len())
}

async fn create_role(lab: &Lab, name: &str, role: Value) -> Result<()> {
    let path = format!("auth/approle/role/{name}");
    lab.openbao.api("POST", &path, Some(role)).await?;
    Ok(())
}

#[tokio::test]
async fn a_session_is_opened_prolonged_and_ended() -> Result<()> {
    let Bench { lab, provider } = Bench::start("gateway-short").await?;
    let before = tokens(&lab).await?;
    let early = provider.fetch(BY_SESSION, &stored("kv", "app")).await;
    assert_eq!(
        failure(&early),
        Some(Failure::SessionDead),
        "nobody has logged in"
    );

    let granted = provider.login(SESSION).await?;
    assert_eq!(granted.ttl, Some(Duration::from_secs(60)));
    assert!(granted.renewable && !granted.capped);
    assert_eq!(tokens(&lab).await?, before + 1);
    let renewed = provider.renew_session(SESSION).await?;
    assert_eq!(renewed, granted);

    provider.login(SESSION.next()).await?;
    provider.revoke_session(SESSION).await?;
    assert_eq!(
        tokens(&lab).await?,
        before + 1,
        "the other session lives on"
    );
    let late = provider.fetch(BY_SESSION, &stored("kv", "app")).await;
    assert_eq!(failure(&late), Some(Failure::SessionDead));
    let again = provider.revoke_session(SESSION).await;
    assert_eq!(failure(&again), Some(Failure::SessionDead));
    provider
        .fetch(Holder::Session(SESSION.next()), &stored("kv", "app"))
        .await?;
    Ok(())
}

#[tokio::test]
async fn f04_a_dead_token_and_a_forbidding_policy_are_told_apart() -> Result<()> {
    let Bench { lab, provider } = Bench::start("gateway").await?;
    provider.login(SESSION).await?;
    let forbidden = provider
        .fetch(BY_SESSION, &leased("database/config/pg"))
        .await;
    assert_eq!(
        failure(&forbidden),
        Some(Failure::Denied),
        "{}",
        chain(forbidden)
    );
    provider.fetch(BY_SESSION, &stored("kv", "app")).await?;

    let second = SESSION.next();
    provider.login(second).await?;
    let logins = "sys/leases/revoke-prefix/auth/approle/login";
    lab.openbao
        .api("PUT", logins, Some(json!({ "sync": true })))
        .await?;
    let renewal = provider.renew_session(SESSION).await;
    assert_eq!(
        failure(&renewal),
        Some(Failure::SessionDead),
        "{}",
        chain(renewal)
    );
    let issue = provider
        .fetch(Holder::Session(second), &leased("database/creds/app"))
        .await;
    assert_eq!(
        failure(&issue),
        Some(Failure::SessionDead),
        "{}",
        chain(issue)
    );
    provider.revoke_session(second).await?;
    Ok(())
}

#[tokio::test]
async fn ending_a_session_that_is_dead_is_no_failure() -> Result<()> {
    let Bench { lab, provider } = Bench::start("gateway").await?;
    let (unnoticed, noticed) = (SESSION, SESSION.next());
    provider.login(unnoticed).await?;
    provider.login(noticed).await?;
    let logins = "sys/leases/revoke-prefix/auth/approle/login";
    let body = json!({ "sync": true });
    lab.openbao.api("PUT", logins, Some(body)).await?;
    let outcome = provider.renew_session(noticed).await;
    assert_eq!(failure(&outcome), Some(Failure::SessionDead));
    provider.revoke_session(noticed).await?;
    provider.revoke_session(unnoticed).await?;
    Ok(())
}

#[tokio::test]
async fn f08_a_login_that_is_refused_is_denied_and_keeps_the_secret_id_to_itself() -> Result<()> {
    let lab = Lab::start().await?;
    let provider = provider(&lab, "gateway").await?;
    let approle = lab.approle("gateway").await?;
    std::fs::write(&approle.secret_id_file, "canary-secret-id")?;
    let refused = provider.login(SESSION).await;
    assert_eq!(failure(&refused), Some(Failure::Denied));
    let said = chain(refused);
    assert!(
        said.contains("status 400: invalid role or secret ID"),
        "{said}"
    );
    assert!(!said.contains("canary"), "{said}");

    // The file is read again at each login, so a new secret id needs no restart.
    lab.approle("gateway").await?;
    provider.login(SESSION).await?;
    Ok(())
}

#[tokio::test]
async fn f25_a_token_that_must_not_be_lived_on_is_refused_and_given_back() -> Result<()> {
    let lab = Lab::start().await?;
    let limited = json!({ "token_policies": "gateway", "token_ttl": "60s", "token_num_uses": 5 });
    create_role(&lab, "limited", limited).await?;
    let before = tokens(&lab).await?;
    let outcome = provider(&lab, "limited").await?.login(SESSION).await;
    assert_eq!(failure(&outcome), Some(Failure::Misconfigured));
    let said = chain(outcome);
    assert!(said.contains("token_num_uses"), "{said}");
    assert!(!said.contains("could not be given back"), "{said}");
    assert_eq!(tokens(&lab).await?, before, "no token is left behind");

    // OpenBao refuses by itself to make a root token at a login.
    create_role(&lab, "almighty", json!({ "token_policies": "root" })).await?;
    let outcome = provider(&lab, "almighty").await?.login(SESSION).await;
    assert_eq!(failure(&outcome), Some(Failure::Denied));
    let said = chain(outcome);
    assert!(said.contains("cannot create root tokens"), "{said}");
    assert_eq!(tokens(&lab).await?, before);
    Ok(())
}

#[tokio::test]
async fn a_session_near_its_end_is_told_so() -> Result<()> {
    let lab = Lab::start().await?;
    // Where a grant is as long as the token may live, each second that has passed cuts it short.
    let role = json!({ "token_policies": "gateway", "token_ttl": "1h", "token_max_ttl": "1h" });
    create_role(&lab, "once", role).await?;
    let provider = provider(&lab, "once").await?;
    provider.login(SESSION).await?;
    let grant = wait::until("a capped grant", LIMIT, async || {
        let grant = provider.renew_session(SESSION).await?;
        Ok(grant.capped.then_some(grant))
    })
    .await?;
    assert!(grant.ttl < Some(Duration::from_secs(3600)), "{grant:?}");
    Ok(())
}

#[tokio::test]
async fn f24_a_batch_session_ends_by_itself_alone() -> Result<()> {
    let bench = Bench::start("gateway-batch").await?;
    let provider = &bench.provider;
    let granted = provider.login(SESSION).await?;
    assert!(!granted.renewable);
    let renewal = provider.renew_session(SESSION).await;
    assert_eq!(
        failure(&renewal),
        Some(Failure::NotRenewable),
        "{}",
        chain(renewal)
    );
    let fetched = provider
        .fetch(BY_SESSION, &leased("database/creds/long"))
        .await?;
    let Holding::Leased { ttl, .. } = fetched.holding else {
        anyhow::bail!("no lease");
    };
    assert!(
        ttl <= Duration::from_secs(60),
        "clamped to the token: {ttl:?}"
    );
    let ended = provider.revoke_session(SESSION).await;
    assert_eq!(failure(&ended), Some(Failure::Denied), "{}", chain(ended));
    Ok(())
}
