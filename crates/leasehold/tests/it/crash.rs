//! What becomes of leases when a gateway does not end in order.

mod file;
mod kills;
mod leak;
mod scene;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use leasehold_testkit::wait;

use self::scene::{Scene, accessors, held};
use crate::support::{PATIENCE, lab};

#[tokio::test]
async fn f30_after_a_crash_the_next_start_revokes_what_is_left_while_it_serves() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let scene = Scene::new(lab).await?;
    let mut gateway = scene.serve().await?;
    scene.noted(3).await?;
    gateway.kill().await?;
    let left = held(scene.ledger()?);
    let before = scene.remains().await?;
    let named: BTreeSet<_> = left
        .leases
        .iter()
        .map(|it| it.lease_id.to_string())
        .collect();
    ensure!(
        before.leases.len() == 3 && before.leases == named,
        "{left:#?}"
    );
    ensure!(before.users.len() == 3, "{before:?}");
    ensure!(before.tokens == accessors(&left), "{before:?}\n{left:#?}");

    let mut gateway = scene.serve().await?;
    let gone = async || {
        let answer = gateway.get("/lasting/").await?;
        ensure!(answer.status == 200, "{answer:?}");
        let now = scene.remains().await?;
        Ok(before.still_in(&now, &before.tokens).is_empty())
    };
    wait::until_true("everything to be gone", PATIENCE, gone).await?;
    let metrics = gateway.admin("/metrics").await?.text;
    for (outcome, count) in [("found", 3), ("revoked", 3)] {
        let line = orphans(outcome, count);
        ensure!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    wait::until_true("none to be left by the metrics", PATIENCE, async || {
        let metrics = gateway.admin("/metrics").await?.text;
        Ok(metrics.contains("leasehold_orphans_left 0\n"))
    })
    .await?;
    gateway.stop().await?;
    scene.nothing_is_left().await
}

#[tokio::test]
async fn f41_a_lease_that_ran_out_while_nothing_ran_is_claimed_and_not_called_revoked() -> Result<()>
{
    let (_turn, lab) = lab().await?;
    let scene = Scene::new(lab).await?;
    let mut gateway = scene.serve().await?;
    scene.noted(3).await?;
    gateway.kill().await?;
    let before = scene.remains().await?;
    let total = held(scene.ledger()?).totals.leases_expiry_claimed;
    ensure!(total == 0, "claimed already: {total}");
    // The two that live for an hour stay, and the brief one goes.
    wait::until_true("the brief lease to run out", PATIENCE, async || {
        Ok(scene.remains().await?.users.len() == 2)
    })
    .await?;

    let mut gateway = scene.serve().await?;
    wait::until_true("the former gateway's to be gone", PATIENCE, async || {
        let now = scene.remains().await?;
        Ok(before.still_in(&now, &before.tokens).is_empty())
    })
    .await?;
    let metrics = gateway.admin("/metrics").await?.text;
    for (outcome, count) in [("expiry_claimed", 1), ("revoked", 2)] {
        let line = orphans(outcome, count);
        ensure!(metrics.contains(&line), "{line} is not in {metrics}");
    }
    gateway.stop().await?;
    let totals = held(scene.ledger()?).totals;
    ensure!(totals.leases_expiry_claimed == 1, "{totals:?}");
    scene.nothing_is_left().await
}

fn orphans(outcome: &str, count: usize) -> String {
    format!("leasehold_orphans_total{{provider=\"vault\",outcome=\"{outcome}\"}} {count}\n")
}
