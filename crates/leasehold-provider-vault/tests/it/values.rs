use std::time::Duration;

use anyhow::Result;
use leasehold_model::Failure;
use leasehold_provider::{Holding, Provider as _};
use leasehold_testkit::{Lab, wait};
use serde_json::json;

use crate::bench::{BY_SESSION, Bench, SESSION, chain, config, failure, field, make, stored};

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_stored_value_is_read_with_its_version() -> Result<()> {
    let bench = Bench::logged_in().await?;
    let source = stored("kv", "payments/api");
    let first = json!({ "key": "one", "port": 5432, "tls": true, "none": null });
    let version = bench
        .lab
        .openbao
        .kv_put("kv", "payments/api", first)
        .await?;
    let fetched = bench.provider.fetch(BY_SESSION, &source).await?;
    assert_eq!(fetched.holding, Holding::Versioned { version });
    assert_eq!(field(&fetched, "key")?, "one");
    assert_eq!(field(&fetched, "port")?, "5432");
    assert_eq!(field(&fetched, "tls")?, "true");
    assert!(fetched.material.field("none").is_none());
    assert!(fetched.request_id.is_some());

    let second = json!({ "key": "two" });
    bench
        .lab
        .openbao
        .kv_put("kv", "payments/api", second)
        .await?;
    let fetched = bench.provider.fetch(BY_SESSION, &source).await?;
    let version = version + 1;
    assert_eq!(fetched.holding, Holding::Versioned { version });
    assert_eq!(field(&fetched, "key")?, "two");
    Ok(())
}

#[tokio::test]
async fn a_value_that_is_not_there_says_why() -> Result<()> {
    let bench = Bench::logged_in().await?;
    let bao = &bench.lab.openbao;
    let read = async |mount: &str, path: &str| {
        let outcome = bench.provider.fetch(BY_SESSION, &stored(mount, path)).await;
        (failure(&outcome), chain(outcome))
    };
    let (failure, missing) = read("kv", "nothing").await;
    assert_eq!(failure, Some(Failure::Misconfigured));
    assert!(missing.contains("no value at this path"), "{missing}");

    bao.kv_put("kv", "gone", json!({ "key": "canary" })).await?;
    bao.api("DELETE", "kv/data/gone", None).await?;
    let (failure, deleted) = read("kv", "gone").await;
    assert_eq!(failure, Some(Failure::Misconfigured));
    assert!(deleted.contains("version 1 was deleted"), "{deleted}");

    let versions = json!({ "versions": [1] });
    bao.api("PUT", "kv/destroy/gone", Some(versions)).await?;
    let (failure, destroyed) = read("kv", "gone").await;
    assert_eq!(failure, Some(Failure::Misconfigured));
    assert!(destroyed.contains("version 1 was destroyed"), "{destroyed}");

    // A mount that does not exist is one that the policy does not name.
    let (failure, nowhere) = read("nowhere", "app").await;
    assert_eq!(failure, Some(Failure::Denied), "{nowhere}");
    Ok(())
}

#[tokio::test]
async fn a_mount_of_kv_version_1_is_a_fault_of_the_setup() -> Result<()> {
    let bench = Bench::logged_in().await?;
    let bao = &bench.lab.openbao;
    let mount = json!({ "type": "kv", "options": { "version": "1" } });
    bao.api("POST", "sys/mounts/old", Some(mount)).await?;
    let value = json!({ "key": "canary" });
    bao.api("POST", "old/data/app", Some(value)).await?;
    let policy = json!({ "policy": r#"path "old/*" { capabilities = ["read"] }"# });
    bao.api("POST", "sys/policies/acl/old", Some(policy))
        .await?;
    let role = json!({ "token_policies": "old", "token_ttl": "60s" });
    bao.api("POST", "auth/approle/role/old", Some(role)).await?;
    let provider = crate::bench::provider(&bench.lab, "old").await?;
    provider.login(SESSION).await?;
    for path in ["app", "nothing"] {
        let outcome = provider.fetch(BY_SESSION, &stored("old", path)).await;
        assert_eq!(failure(&outcome), Some(Failure::Misconfigured), "{path}");
        let said = chain(outcome);
        assert!(
            said.contains("KV version") && !said.contains("canary"),
            "{said}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn each_namespace_is_a_world_of_its_own() -> Result<()> {
    let lab = Lab::start().await?;
    let bao = &lab.openbao;
    bao.api("POST", "sys/namespaces/team", Some(json!({})))
        .await?;
    let mount = json!({ "type": "kv", "options": { "version": "2" } });
    bao.api("POST", "team/sys/mounts/kv", Some(mount)).await?;
    bao.kv_put("team/kv", "app", json!({ "api_key": "theirs" }))
        .await?;
    let policy = json!({ "policy": r#"path "kv/data/*" { capabilities = ["read"] }"# });
    bao.api("POST", "team/sys/policies/acl/gateway", Some(policy))
        .await?;
    let method = json!({ "type": "approle" });
    bao.api("POST", "team/sys/auth/approle", Some(method))
        .await?;
    let role = json!({ "token_policies": "gateway", "token_ttl": "60s" });
    let path = "team/auth/approle/role/gateway";
    bao.api("POST", path, Some(role)).await?;
    let text = |answer: serde_json::Value, pointer: &str| {
        answer
            .pointer(pointer)
            .and_then(|it| it.as_str().map(str::to_owned))
    };
    let answer = bao.api("GET", &format!("{path}/role-id"), None).await?;
    let role_id = text(answer, "/data/role_id").unwrap_or_default();
    let answer = bao
        .api("POST", &format!("{path}/secret-id"), Some(json!({})))
        .await?;
    let secret_id = text(answer, "/data/secret_id").unwrap_or_default();
    let file = lab.dir().join("team-secret-id");
    std::fs::write(&file, secret_id)?;

    let mut config = config(&[bao.address()], &role_id, &file)?;
    config.namespace = Some("team".to_owned());
    let provider = make(&config)?;
    provider.login(SESSION).await?;
    let fetched = provider.fetch(BY_SESSION, &stored("kv", "app")).await?;
    assert_eq!(field(&fetched, "api_key")?, "theirs");

    config.namespace = Some("nowhere".to_owned());
    let outcome = make(&config)?.login(SESSION).await;
    assert_eq!(
        failure(&outcome),
        Some(Failure::Misconfigured),
        "{}",
        chain(outcome)
    );

    bao.api("DELETE", "sys/namespaces/team", None).await?;
    wait::until_true("the namespace to be gone", LIMIT, async || {
        let outcome = provider.fetch(BY_SESSION, &stored("kv", "app")).await;
        // Its tokens may go before it does.
        let gone = [Some(Failure::Misconfigured), Some(Failure::SessionDead)];
        Ok(gone.contains(&failure(&outcome)))
    })
    .await
}
