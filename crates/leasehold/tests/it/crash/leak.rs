//! Credentials that a provider made and did not tell of.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use leasehold_ledger::IntentState;
use leasehold_testkit::{AuditReceiver, Lab, wait};
use serde_json::Value;
use tokio::task::JoinSet;

use super::scene::{Scene, held};
use crate::support::{Gateway, OTHER_KEY, PATIENCE, lab_turn};

#[tokio::test]
async fn f31_a_credential_that_no_answer_told_of_goes_with_the_anchor_it_hung_on() -> Result<()> {
    let _turn = lab_turn().await;
    let receiver = AuditReceiver::start().await?;
    let lab = Lab::start_audited_by(&receiver.url()).await?;
    let scene = Scene::one_each(lab).await?;
    let receiver = receiver.handler();
    let mut gateway = Gateway::start(&scene.parts).await?;
    gateway.ready("own").await?;
    wait::until_true("an anchor", PATIENCE, async || {
        Ok(scene.ledger_in_use().await?.anchors.len() == 1)
    })
    .await?;

    let before = receiver.entries().len();
    receiver.refuse_responses(true);
    let asking = gateway.request("/own/").send();
    let lifted = async {
        let refused = async || Ok(issues(receiver, "response", before) == 1);
        wait::until_true("an answer to be refused", PATIENCE, refused).await?;
        receiver.refuse_responses(false);
        Ok::<_, anyhow::Error>(())
    };
    let (answer, lifted) = tokio::join!(asking, lifted);
    lifted?;
    // Whoever asks waits for the next attempt, or is refused when the first has failed.
    let status = answer?.status();
    ensure!([200, 503].contains(&status.as_u16()), "{status}");
    wait::until_true("the next attempt", PATIENCE, async || {
        Ok(gateway.get("/own/").await?.status == 200)
    })
    .await?;
    scene.noted(1).await?;
    let ledger = scene.ledger_in_use().await?;
    let leaked = ledger.intents.iter();
    let leaked: Vec<_> = leaked.map(|it| (it.state, &it.credential)).collect();
    ensure!(
        leaked == [(IntentState::MaybeLeaked, &"own".into())],
        "{ledger:#?}"
    );
    let first = scene.remains().await?;
    ensure!(
        first.users.len() == 2,
        "one is known and one is not: {first:?}"
    );

    let anchor = ledger.anchors.iter().map(|it| it.accessor.to_string());
    let anchor: BTreeSet<_> = anchor.collect();
    wait::until_true(
        "the anchor and all that hung on it to be gone",
        TWO_MINUTES,
        async || {
            let answer = gateway.get("/own/").await?;
            ensure!(answer.status == 200, "it serves all the time: {answer:?}");
            let now = scene.remains().await?;
            Ok(now.users.is_disjoint(&first.users) && now.tokens.is_disjoint(&anchor))
        },
    )
    .await?;
    let now = scene.remains().await?;
    ensure!(now.users.len() == 1 && now.leases.len() == 1, "{now:?}");

    let attempts = attempts_while_refused(&gateway, receiver).await?;
    println!("attempts for 20 requests while no answer comes: {attempts}");
    ensure!((1..=6).contains(&attempts), "{attempts} attempts");
    gateway.stop().await?;
    scene.swept().await?;
    scene.nothing_is_left().await?;
    let totals = held(scene.ledger()?).totals;
    ensure!(totals.intents_collected >= 2, "{totals:?}");
    Ok(())
}

/// Sends requests of a consumer who has no credential yet while no issue is answered, and returns how
/// many were tried.
async fn attempts_while_refused(gateway: &Gateway, receiver: &AuditReceiver) -> Result<usize> {
    let before = receiver.entries().len();
    receiver.refuse_responses(true);
    let ask = |_| gateway.request_as(OTHER_KEY, "/own/").send();
    let mut asking: JoinSet<_> = (0..20).map(ask).collect();
    while let Some(answer) = asking.join_next().await {
        let status = answer??.status();
        ensure!(status == 503, "{status}");
    }
    let attempts = issues(receiver, "request", before);
    receiver.refuse_responses(false);
    Ok(attempts)
}

/// Counts the entries of a kind about issues after the first `skipped` of all.
fn issues(receiver: &AuditReceiver, kind: &str, skipped: usize) -> usize {
    let entries = receiver.entries();
    let of_kind = entries.iter().skip(skipped).filter(|it| {
        let path = it.pointer("/request/path").and_then(Value::as_str);
        it["type"] == kind && path.is_some_and(|it| it.starts_with("database/creds/"))
    });
    of_kind.count()
}

/// The anchor is replaced 30 s after the leak, and leases move within half a minute of that.
const TWO_MINUTES: Duration = Duration::from_secs(120);
