//! No credential, no request: each route for itself, and with no word of the cause to the caller.

use anyhow::{Result, ensure};
use leasehold_testkit::{Origin, secret, wait};
use serde_json::{Value, json};

use crate::support::{Answer, Gateway, PATIENCE, lab, vault_provider};

#[tokio::test]
async fn without_openbao_the_gateway_starts_and_the_route_recovers_by_itself() -> Result<()> {
    let (_turn, mut lab) = lab().await?;
    let key = secret()?;
    lab.openbao
        .kv_put("kv", "payments", json!({ "key": key }))
        .await?;
    let provider = vault_provider(&lab).await?;
    lab.openbao.stop().await?;
    let (guarded, open) = (Origin::echo().await?, Origin::echo().await?);
    let mut gateway = Gateway::start(&format!(
        "{provider}\
         credentials: {{ key: {{ from: {{ provider: vault, kv: kv/payments, field: key }} }} }}\n\
         upstreams:\n  \
           guarded: {{ endpoints: [{:?}], credential: key, inject: {{ header: X-Key }} }}\n  \
           open: {{ endpoints: [{:?}] }}\n\
         routes:\n  \
           - {{ name: guarded, match: {{ path: /guarded }}, upstream: guarded, consumers: [tester] }}\n  \
           - {{ name: open, match: {{ path: /open }}, upstream: open, consumers: [tester] }}\n",
        guarded.url(),
        open.url()
    ))
    .await?;

    unavailable(&gateway.get("/guarded").await?)?;
    ensure!(
        gateway.get("/open").await?.status == 200,
        "another route works"
    );
    ensure!(
        guarded.connections() == 0,
        "nothing was sent to the guarded upstream"
    );
    let ready = gateway.admin("/readyz").await?;
    ensure!(ready.status == 200, "one route serves: {ready:?}");
    ensure!(
        gateway.admin("/readyz/guarded").await?.status == 503,
        "and one does not"
    );

    lab.openbao.start_again().await?;
    gateway.ready("guarded").await?;
    let answer = gateway.get("/guarded").await?;
    ensure!(answer.status == 200, "{answer:?}");
    gateway.stop().await?;
    let refused: Vec<_> = gateway
        .records()?
        .into_iter()
        .filter(|it| it.status == Some(503))
        .collect();
    ensure!(
        refused
            .iter()
            .all(|it| it.reason.as_deref() == Some("credential_unavailable"))
    );
    ensure!(
        refused.iter().all(|it| it.generation.is_none()),
        "{refused:?}"
    );
    // The echoing origin answers with what it was shown, so its answers are left out here.
    let log = gateway.process().stderr()?;
    ensure!(
        leasehold_testkit::scan(log.as_bytes(), &[key])?.is_empty(),
        "{log}"
    );
    Ok(())
}

#[tokio::test]
async fn a_wrong_path_or_field_is_told_in_the_log_and_not_in_the_answer() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let key = secret()?;
    lab.openbao
        .kv_put("kv", "payments", json!({ "key": key }))
        .await?;
    let origin = Origin::echo().await?;
    let mut gateway = Gateway::start(&format!(
        "{}\
         credentials:\n  \
           lost: {{ from: {{ provider: vault, kv: kv/nowhere, field: key }} }}\n  \
           bare: {{ from: {{ provider: vault, kv: kv/payments, field: kye }} }}\n  \
           mute: {{ from: {{ provider: vault, lease: database/creds/nobody }} }}\n\
         upstreams:\n  \
           lost: {{ endpoints: [{url:?}], credential: lost, inject: {{ header: X-Key }} }}\n  \
           bare: {{ endpoints: [{url:?}], credential: bare, inject: {{ header: X-Key }} }}\n  \
           mute: {{ endpoints: [{url:?}], credential: mute, inject: {{ header: X-Key, field: a }} }}\n\
         routes:\n  \
           - {{ name: lost, match: {{ path: /lost }}, upstream: lost, consumers: [tester] }}\n  \
           - {{ name: bare, match: {{ path: /bare }}, upstream: bare, consumers: [tester] }}\n  \
           - {{ name: mute, match: {{ path: /mute }}, upstream: mute, consumers: [tester] }}\n",
        vault_provider(&lab).await?,
        url = origin.url()
    ))
    .await?;
    for (cause, credential) in [
        ("kv/data/nowhere", "lost"),
        ("kye", "bare"),
        ("nobody", "mute"),
    ] {
        wait::until_true(
            &format!("the log to tell of {cause}"),
            PATIENCE,
            async || {
                let log = gateway.process().stderr()?;
                Ok(log
                    .lines()
                    .any(|line| line.contains(cause) && line.contains(credential)))
            },
        )
        .await?;
        let answer = gateway.get(&format!("/{credential}")).await?;
        unavailable(&answer)?;
        ensure!(!answer.text.contains(cause), "{answer:?}");
        let ready = gateway.admin(&format!("/readyz/{credential}")).await?;
        ensure!(
            ready.status == 503 && ready.text.contains("misconfigured"),
            "{ready:?}"
        );
    }
    ensure!(origin.connections() == 0, "nothing was sent");

    // Mended at OpenBao, the routes come into service without a restart.
    lab.openbao
        .kv_put("kv", "nowhere", json!({ "key": key }))
        .await?;
    lab.openbao
        .kv_put("kv", "payments", json!({ "kye": key }))
        .await?;
    gateway.ready("lost").await?;
    gateway.ready("bare").await?;
    gateway.stop().await?;
    gateway.assert_no_leak(&[key])
}

fn unavailable(answer: &Answer) -> Result<()> {
    ensure!(answer.status == 503, "{answer:?}");
    ensure!(
        answer.content_type == "application/problem+json",
        "{answer:?}"
    );
    let problem: Value = serde_json::from_str(&answer.text)?;
    ensure!(
        problem.get("reason") == Some(&json!("credential_unavailable")),
        "{answer:?}"
    );
    ensure!(problem.get("status") == Some(&json!(503)), "{answer:?}");
    Ok(())
}
