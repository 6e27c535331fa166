use std::time::Duration;

use anyhow::{Context as _, Result};
use leasehold_model::Failure;
use leasehold_provider::Provider as _;
use leasehold_testkit::{OpenBao, wait};
use serde_json::{Value, json};

use super::{LIMIT, refusal};
use crate::bench::{BY_SESSION, Bench, SESSION, failure, stored};

const QUOTA: &str = "sys/quotas/rate-limit/facts";

async fn set(bao: &OpenBao, path: &str, body: Value) -> Result<()> {
    bao.api("POST", path, Some(body)).await?;
    Ok(())
}

/// Reads until the quota is used up, and returns what the provider makes of that.
async fn used_up(bench: &Bench) -> Result<Failure> {
    wait::until("the quota to be used up", LIMIT, async || {
        let read = bench.provider.fetch(BY_SESSION, &stored("kv", "app")).await;
        Ok(failure(&read))
    })
    .await
}

#[tokio::test]
async fn f05_a_quota_asks_for_patience_with_or_without_saying_how_long() -> Result<()> {
    let bench = Bench::logged_in().await?;
    let bao = &bench.lab.openbao;
    let quota = json!({ "path": "kv", "rate": 1, "interval": "1h" });
    set(bao, QUOTA, quota).await?;
    let silent = Failure::SlowDown { retry_after: None };
    assert_eq!(used_up(&bench).await?, silent);
    let token = bao.root_token();
    let answer = bao.call(token, "GET", "kv/data/app", None).await?;
    let (status, text) = refusal(&answer);
    assert_eq!(status, 429);
    let expected = "request path \"kv/data/app\": rate limit quota exceeded";
    assert_eq!(text, expected, "the root token is counted too");
    assert_eq!(answer.header("Retry-After"), None);

    let headers = json!({ "enable_rate_limit_response_headers": true });
    set(bao, "sys/quotas/config", headers).await?;
    let told = used_up(&bench).await?;
    let Failure::SlowDown { retry_after } = told else {
        anyhow::bail!("{told:?}");
    };
    let hour = Duration::from_secs(3600);
    assert!(retry_after.context("a time")? <= hour, "{retry_after:?}");

    // The time is cut to whole seconds, so that the last of them is none at all.
    let quota = json!({ "path": "kv", "rate": 1, "interval": "1s" });
    set(bao, QUOTA, quota).await?;
    let at_once = Failure::SlowDown {
        retry_after: Some(Duration::ZERO),
    };
    assert_eq!(used_up(&bench).await?, at_once);
    Ok(())
}

#[tokio::test]
async fn f05_a_quota_on_everything_makes_health_look_like_that_of_a_standby() -> Result<()> {
    let bench = Bench::logged_in().await?;
    let bao = &bench.lab.openbao;
    // One setting given alone takes the exemption of the health report away.
    let headers = json!({ "enable_rate_limit_response_headers": false });
    set(bao, "sys/quotas/config", headers).await?;
    set(bao, QUOTA, json!({ "rate": 1, "interval": "1h" })).await?;
    let health = wait::until("health to be refused", LIMIT, async || {
        let health = bao.call("", "GET", "sys/health", None).await?;
        Ok((health.status == 429).then_some(health))
    })
    .await?;
    let expected = "request path \"sys/health\": rate limit quota exceeded";
    assert_eq!(refusal(&health), (429, expected));
    assert!(health.body.get("standby").is_none());
    let renewal = bench.provider.renew_session(SESSION).await;
    let silent = Failure::SlowDown { retry_after: None };
    assert_eq!(failure(&renewal), Some(silent));
    Ok(())
}
