//! A stored key that is replaced at OpenBao while requests run.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use leasehold_testkit::origin::AcceptedKeys;
use leasehold_testkit::{Origin, secret, wait};
use serde_json::json;

use crate::support::{Gateway, PATIENCE, lab, vault_provider};

#[tokio::test]
async fn a_key_replaced_at_openbao_takes_over_without_a_failure() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let (old, new) = (secret()?, secret()?);
    lab.openbao
        .kv_put("kv", "payments", json!({ "key": old }))
        .await?;
    let accepted = AcceptedKeys::new([old.clone(), new.clone()]);
    let origin = Origin::api_key(Arc::clone(&accepted)).await?;
    let mut gateway = Gateway::start(&format!(
        "{}\
         credentials:\n  \
           key: {{ from: {{ provider: vault, kv: kv/payments, field: key, poll: 1s }} }}\n\
         upstreams:\n  \
           payments: {{ endpoints: [{:?}], credential: key, inject: {{ header: X-Api-Key }} }}\n\
         routes: [{{ name: payments, upstream: payments, consumers: [tester] }}]\n",
        vault_provider(&lab).await?,
        origin.url()
    ))
    .await?;
    gateway.ready("payments").await?;

    let replaced = async {
        wait::until_true("the old key in use", PATIENCE, async || {
            Ok(origin.seen().len() == 1)
        })
        .await?;
        lab.openbao
            .kv_put("kv", "payments", json!({ "key": new }))
            .await?;
        let since = tokio::time::Instant::now();
        wait::until_true("the new key in use", PATIENCE, async || {
            Ok(origin.seen().contains_key(&new))
        })
        .await?;
        println!(
            "the new key was first seen after {:?}, with a poll of 1 s",
            since.elapsed()
        );
        // From here on the owner refuses the old key, as owners do.
        accepted.refuse(&old);
        let used = origin.seen().get(&new).copied().unwrap_or_default();
        wait::until_true("more requests with the new key", PATIENCE, async || {
            Ok(origin.seen().get(&new).copied().unwrap_or_default() > used + 100)
        })
        .await
    };
    let statuses = gateway
        .load("/", Duration::from_millis(5), replaced)
        .await?;
    ensure!(statuses.keys().eq([&200]), "{statuses:?}");
    let seen = origin.seen();
    ensure!(
        seen.keys().all(|key| *key == old || *key == new),
        "another key was shown"
    );
    ensure!(seen.len() == 2, "both keys were shown");

    gateway.stop().await?;
    gateway.assert_no_leak(&[old, new])
}
