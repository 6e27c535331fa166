//! What leases hang on so that they outlive the login.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};
use leasehold_model::{Accessor, AnchorEpoch, Failure, Holder};
use leasehold_provider::Provider as _;
use leasehold_provider_vault::VaultProvider;
use leasehold_testkit::{Lab, wait};
use serde_json::{Value, json};

use crate::bench::{
    ANCHOR, BY_ANCHOR, BY_SESSION, Bench, INSTANCE, SESSION, chain, config, failure, field,
    lease_id, leased, make, stored,
};

const LIMIT: Duration = Duration::from_secs(30);
const PERIOD: Duration = Duration::from_secs(3600);

async fn tokens(lab: &Lab) -> Result<usize> {
    let bao = &lab.openbao;
    let answer = bao.api("LIST", "auth/token/accessors", None).await?;
    let keys = answer.pointer("/data/keys").and_then(Value::as_array);
    Ok(keys.context("accessors")?.len())
}

async fn set(lab: &Lab, path: &str, body: Value) -> Result<()> {
    lab.openbao.api("POST", path, Some(body)).await?;
    Ok(())
}

/// Ends a token as an operator would.
async fn kill(lab: &Lab, accessor: &Accessor) -> Result<()> {
    let body = json!({ "accessor": accessor.as_str() });
    set(lab, "auth/token/revoke-accessor", body).await
}

/// A provider that is logged in as `role` and mints through the token role `token_role`.
async fn minting(lab: &Lab, role: &str, token_role: Option<&str>) -> Result<VaultProvider> {
    let approle = lab.approle(role).await?;
    let address = lab.openbao.address();
    let mut config = config(&[address], &approle.role_id, &approle.secret_id_file)?;
    config.token_role = token_role.map(str::to_owned);
    let provider = make(&config)?;
    provider.login(SESSION).await?;
    Ok(provider)
}

/// A login whose policy forbids calls by accessor, which reach any token.
async fn narrow(lab: &Lab) -> Result<VaultProvider> {
    let policy = r#"path "database/creds/*" { capabilities = ["read"] }
        path "auth/token/create/narrow" { capabilities = ["update"] }"#;
    set(lab, "sys/policies/acl/narrow", json!({ "policy": policy })).await?;
    let role = json!({ "orphan": true, "token_period": "1h", "allowed_policies": ["narrow"] });
    set(lab, "auth/token/roles/narrow", role).await?;
    let role = json!({ "token_policies": "narrow", "token_ttl": "1h" });
    set(lab, "auth/approle/role/narrow", role).await?;
    minting(lab, "narrow", Some("narrow")).await
}

#[tokio::test]
async fn f20_a_lease_by_an_anchor_outlives_the_session_and_dies_with_the_anchor() -> Result<()> {
    let Bench { lab, provider } = Bench::logged_in().await?;
    let minted = provider.mint_anchor(SESSION, ANCHOR).await?;
    assert_eq!(minted.ttl, Some(PERIOD));
    assert!(minted.renewable && !minted.capped && minted.accessor.is_some());
    let source = leased("database/creds/long");
    let by_anchor = provider.fetch(BY_ANCHOR, &source).await?;
    let by_session = provider.fetch(BY_SESSION, &source).await?;
    let users = (
        field(&by_anchor, "username")?,
        field(&by_session, "username")?,
    );

    provider.revoke_session(SESSION).await?;
    let next = SESSION.next();
    provider.login(next).await?;
    let has = async |name: &str| {
        let found = lab.postgres.login_roles_like(name).await?;
        anyhow::Ok(!found.is_empty())
    };
    wait::until_true("the session's user to go", LIMIT, async || {
        Ok(!has(&users.1).await?)
    })
    .await?;
    assert!(has(&users.0).await?, "the anchor's lease lives on");
    provider.renew_lease(next, &lease_id(&by_anchor)?).await?;

    provider.revoke_anchor(next, ANCHOR).await?;
    wait::until_true("the anchor's user to go", LIMIT, async || {
        Ok(!has(&users.0).await?)
    })
    .await?;
    let late = provider.fetch(BY_ANCHOR, &source).await;
    assert_eq!(failure(&late), Some(Failure::SessionDead));
    provider.renew_session(next).await?;
    Ok(())
}

#[tokio::test]
async fn f22_an_anchor_is_renewed_to_its_whole_period() -> Result<()> {
    let Bench { lab, provider } = Bench::logged_in().await?;
    let minted = provider.mint_anchor(SESSION, ANCHOR).await?;
    let accessor = minted.accessor.clone().context("an accessor")?;
    let body = json!({ "accessor": accessor.as_str() });
    wait::until_true("some of the period to pass", LIMIT, async || {
        let path = "auth/token/lookup-accessor";
        let answer = lab.openbao.api("POST", path, Some(body.clone())).await?;
        let ttl = answer.pointer("/data/ttl").and_then(Value::as_u64);
        Ok(ttl.context("a ttl")? < PERIOD.as_secs())
    })
    .await?;
    assert_eq!(provider.renew_anchor(SESSION, ANCHOR).await?, minted);
    Ok(())
}

#[tokio::test]
async fn f24_a_batch_session_has_no_accessor_and_can_not_mint_an_anchor() -> Result<()> {
    let bench = Bench::start("gateway-batch").await?;
    let provider = &bench.provider;
    assert_eq!(provider.login(SESSION).await?.accessor, None);
    let minted = provider.mint_anchor(SESSION, ANCHOR).await;
    assert_eq!(failure(&minted), Some(Failure::Misconfigured));
    let said = chain(minted);
    assert!(
        said.contains("batch tokens cannot create more tokens"),
        "{said}"
    );
    let unminted = provider.renew_anchor(SESSION, ANCHOR).await;
    assert_eq!(failure(&unminted), Some(Failure::LeaseGone));
    Ok(())
}

#[tokio::test]
async fn f42_instance_and_epoch_of_an_anchor_are_in_clear_in_the_audit_log() -> Result<()> {
    let Bench { lab, provider } = Bench::logged_in().await?;
    let epoch = AnchorEpoch::FIRST.next();
    provider.mint_anchor(SESSION, epoch).await?;
    let source = leased("database/creds/app");
    let fetched = provider.fetch(Holder::Anchor(epoch), &source).await?;
    let request = fetched.request_id.context("a request id")?;
    let log = fs::read_to_string(lab.openbao.audit_log())?;
    let entries = log.lines().filter(|line| line.contains(request.as_str()));
    let mut found = 0;
    for entry in entries {
        let entry: Value = serde_json::from_str(entry)?;
        let text = |pointer| entry.pointer(pointer).and_then(Value::as_str);
        assert_eq!(text("/auth/metadata/instance"), Some(INSTANCE), "{entry}");
        assert_eq!(text("/auth/metadata/epoch"), Some("2"), "{entry}");
        found += 1;
    }
    assert_eq!(found, 2, "a request and its response");
    Ok(())
}

#[tokio::test]
async fn a_token_that_leases_must_not_hang_on_is_refused_and_given_back() -> Result<()> {
    let lab = Lab::start().await?;
    let roles = [
        (
            json!({ "orphan": true, "token_period": 0 }),
            "orphan=true token_period=1h",
        ),
        (json!({ "orphan": false }), "orphan=true"),
        (json!({ "token_num_uses": 9 }), "token_num_uses"),
        (json!({ "renewable": false }), "renewable=true"),
    ];
    for (differs, remedy) in roles {
        let mut role = json!({
            "orphan": true, "renewable": true, "token_period": "1h", "token_num_uses": 0,
            "allowed_policies": ["gateway"],
        });
        for (name, value) in differs.as_object().context("an object")? {
            role[name] = value.clone();
        }
        set(&lab, "auth/token/roles/leasehold", role).await?;
        let provider = minting(&lab, "gateway", Some("leasehold")).await?;
        let before = tokens(&lab).await?;
        let minted = provider.mint_anchor(SESSION, ANCHOR).await;
        assert_eq!(failure(&minted), Some(Failure::Misconfigured), "{differs}");
        let said = chain(minted);
        assert!(said.contains(remedy), "{said}");
        assert!(!said.contains("given back"), "{said}");
        assert_eq!(tokens(&lab).await?, before, "no token is left behind");
        let unminted = provider.renew_anchor(SESSION, ANCHOR).await;
        assert_eq!(failure(&unminted), Some(Failure::LeaseGone));
    }
    Ok(())
}

#[tokio::test]
async fn an_anchor_that_nobody_can_mint_is_a_fault_of_the_setup() -> Result<()> {
    let lab = Lab::start().await?;
    for (token_role, expected) in [
        (None, Failure::Misconfigured),
        // The policy names the one role and says nothing of others.
        (Some("another"), Failure::Denied),
    ] {
        let provider = minting(&lab, "gateway", token_role).await?;
        let minted = provider.mint_anchor(SESSION, ANCHOR).await;
        assert_eq!(failure(&minted), Some(expected), "{}", chain(minted));
    }
    let path = "auth/token/roles/leasehold";
    lab.openbao.api("DELETE", path, None).await?;
    let provider = minting(&lab, "gateway", Some("leasehold")).await?;
    let minted = provider.mint_anchor(SESSION, ANCHOR).await;
    assert_eq!(failure(&minted), Some(Failure::Misconfigured));
    let said = chain(minted);
    assert!(said.contains("unknown role"), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_policy_without_accessors_leaves_an_anchor_to_itself() -> Result<()> {
    let lab = Lab::start().await?;
    let provider = narrow(&lab).await?;
    let minted = provider.mint_anchor(SESSION, ANCHOR).await?;
    assert_eq!(provider.renew_anchor(SESSION, ANCHOR).await?, minted);
    let fetched = provider
        .fetch(BY_ANCHOR, &leased("database/creds/long"))
        .await?;
    let user = field(&fetched, "username")?;

    let accessor = minted.accessor.context("an accessor")?;
    let former = provider.revoke_former(SESSION, &accessor).await;
    assert_eq!(failure(&former), Some(Failure::Denied));
    let said = chain(former);
    assert!(
        said.contains("update on auth/token/revoke-accessor"),
        "{said}"
    );

    let before = tokens(&lab).await?;
    provider.revoke_anchor(SESSION, ANCHOR).await?;
    assert_eq!(tokens(&lab).await?, before - 1);
    wait::until_true("its user to go", LIMIT, async || {
        Ok(lab.postgres.login_roles_like(&user).await?.is_empty())
    })
    .await?;

    let second = ANCHOR.next();
    let minted = provider.mint_anchor(SESSION, second).await?;
    kill(&lab, &minted.accessor.context("an accessor")?).await?;
    let renewal = provider.renew_anchor(SESSION, second).await;
    assert_eq!(
        failure(&renewal),
        Some(Failure::LeaseGone),
        "{}",
        chain(renewal)
    );
    provider.revoke_anchor(SESSION, second).await?;
    Ok(())
}

#[tokio::test]
async fn a_dead_anchor_is_told_from_a_dead_session() -> Result<()> {
    let Bench { lab, provider } = Bench::logged_in().await?;
    let (renewed, fetched_by, unnoticed) = (ANCHOR, ANCHOR.next(), ANCHOR.next().next());
    for anchor in [renewed, fetched_by, unnoticed] {
        let minted = provider.mint_anchor(SESSION, anchor).await?;
        kill(&lab, &minted.accessor.context("an accessor")?).await?;
    }
    let renewal = provider.renew_anchor(SESSION, renewed).await;
    assert_eq!(
        failure(&renewal),
        Some(Failure::LeaseGone),
        "{}",
        chain(renewal)
    );
    let holder = Holder::Anchor(fetched_by);
    let fetch = provider.fetch(holder, &leased("database/creds/app")).await;
    assert_eq!(
        failure(&fetch),
        Some(Failure::SessionDead),
        "{}",
        chain(fetch)
    );
    let renewal = provider.renew_anchor(SESSION, fetched_by).await;
    assert_eq!(failure(&renewal), Some(Failure::LeaseGone));
    for anchor in [renewed, fetched_by, unnoticed] {
        provider.revoke_anchor(SESSION, anchor).await?;
        let again = provider.revoke_anchor(SESSION, anchor).await;
        assert_eq!(failure(&again), Some(Failure::LeaseGone));
    }
    provider.fetch(BY_SESSION, &stored("kv", "app")).await?;

    provider.mint_anchor(SESSION, ANCHOR).await?;
    let next = SESSION.next();
    let granted = provider.login(next).await?;
    kill(&lab, &granted.accessor.context("an accessor")?).await?;
    let renewal = provider.renew_anchor(next, ANCHOR).await;
    assert_eq!(
        failure(&renewal),
        Some(Failure::SessionDead),
        "{}",
        chain(renewal)
    );
    provider.renew_anchor(SESSION, ANCHOR).await?;
    Ok(())
}

#[tokio::test]
async fn what_a_policy_forbids_an_anchor_does_not_bury_it() -> Result<()> {
    let bench = Bench::logged_in().await?;
    let provider = &bench.provider;
    provider.mint_anchor(SESSION, ANCHOR).await?;
    let forbidden = leased("database/config/pg");
    let outcome = provider.fetch(BY_ANCHOR, &forbidden).await;
    assert_eq!(
        failure(&outcome),
        Some(Failure::Denied),
        "{}",
        chain(outcome)
    );
    provider.fetch(BY_ANCHOR, &stored("kv", "app")).await?;
    Ok(())
}

#[tokio::test]
async fn a_former_holder_is_ended_by_its_accessor_alone_and_with_it_its_leases() -> Result<()> {
    let Bench { lab, provider } = Bench::logged_in().await?;
    let anchor = provider.mint_anchor(SESSION, ANCHOR).await?;
    let fetched = provider
        .fetch(BY_ANCHOR, &leased("database/creds/long"))
        .await?;
    let user = field(&fetched, "username")?;
    // The process is gone without a word, and another one knows what its ledger says.
    drop(provider);
    let provider = minting(&lab, "gateway", Some("leasehold")).await?;
    let accessor = anchor.accessor.context("an accessor")?;
    provider.revoke_former(SESSION, &accessor).await?;
    wait::until_true("its user to go", LIMIT, async || {
        Ok(lab.postgres.login_roles_like(&user).await?.is_empty())
    })
    .await?;
    provider.revoke_former(SESSION, &accessor).await?;
    let unknown = Accessor::from("unknown");
    provider.revoke_former(SESSION, &unknown).await?;
    let nobody = provider.revoke_former(SESSION.next(), &accessor).await;
    assert_eq!(failure(&nobody), Some(Failure::SessionDead));
    Ok(())
}
