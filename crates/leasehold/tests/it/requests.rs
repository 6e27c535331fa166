//! What a consumer sees of routing, admission and failing upstreams.

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::{Origin, free_port};
use serde_json::{Value, json};

use crate::support::{Answer, Gateway};

#[tokio::test]
async fn refusals_are_problems_with_reason_codes_and_leave_one_record_each() -> Result<()> {
    let origin = Origin::echo().await?;
    let dead = format!("http://127.0.0.1:{}", free_port()?);
    let mut gateway = Gateway::start(&format!(
        "upstreams: {{ echo: {{ endpoints: [{:?}] }}, dead: {{ endpoints: [{dead:?}] }} }}\n\
         routes:\n  \
           - {{ name: echo, match: {{ host: api.test, path: /echo }}, upstream: echo, consumers: [tester] }}\n  \
           - {{ name: dead, match: {{ path: /dead }}, upstream: dead, consumers: anyone }}\n",
        origin.url()
    ))
    .await?;
    let to_echo = |gateway: &Gateway| {
        gateway
            .request("/echo?a=%20b")
            .header("host", "API.test:80")
    };

    let answer = to_echo(&gateway)
        .header("traceparent", TRACE)
        .send()
        .await?;
    ensure!(answer.status() == 200);
    let echoed: Value = serde_json::from_str(&answer.text().await?)?;
    ensure!(echoed["target"] == "/echo?a=%20b", "{echoed}");
    let headers = echoed["headers"].as_array().context("headers")?;
    let named = |name: &str| -> Vec<&Value> {
        headers
            .iter()
            .filter(|it| it[0] == name)
            .map(|it| &it[1])
            .collect()
    };
    ensure!(
        named("x-api-key").is_empty(),
        "the consumer's key went on: {echoed}"
    );
    let [forwarded] = named("traceparent")[..] else {
        anyhow::bail!("one traceparent: {echoed}")
    };
    ensure!(
        forwarded
            .as_str()
            .is_some_and(|it| it.contains(TRACE_ID) && it != TRACE),
        "{echoed}"
    );

    problem(&gateway.get("/nowhere").await?, 404, "no_route")?;
    problem(&gateway.get("/echo").await?, 404, "no_route")?;
    problem(&gateway.get("/dead").await?, 502, "upstream_unreachable")?;
    problem(
        &gateway.get_with("/echo", &[("host", "api.test")]).await?,
        401,
        "consumer_key_missing",
    )?;
    let wrong = [("host", "api.test"), ("x-api-key", "somebody-elses")];
    problem(
        &gateway.get_with("/echo", &wrong).await?,
        401,
        "consumer_key_unknown",
    )?;
    gateway.stop().await?;

    let records = gateway.records()?;
    let reasons: Vec<_> = records
        .iter()
        .map(|it| it.reason.as_deref().unwrap_or(""))
        .collect();
    let expected = [
        "",
        "no_route",
        "no_route",
        "upstream_unreachable",
        "consumer_key_missing",
        "consumer_key_unknown",
    ];
    ensure!(reasons == expected, "{records:?}");
    ensure!(records[0].trace_id == TRACE_ID, "{records:?}");
    Ok(())
}

#[tokio::test]
async fn an_upstream_over_tls_is_trusted_by_its_own_authority_alone() -> Result<()> {
    let (known, unknown) = (Origin::echo_tls().await?, Origin::echo_tls().await?);
    let mut gateway = Gateway::start(&format!(
        "upstreams:\n  \
           known: {{ endpoints: [{:?}], ca: {ca:?} }}\n  \
           unknown: {{ endpoints: [{:?}], ca: {ca:?} }}\n\
         routes:\n  \
           - {{ name: known, match: {{ path: /known }}, upstream: known, consumers: [tester] }}\n  \
           - {{ name: unknown, match: {{ path: /unknown }}, upstream: unknown, consumers: [tester] }}\n",
        known.url(),
        unknown.url(),
        ca = known.ca_pem().context("an authority")?
    ))
    .await?;
    let answer = gateway.get("/known").await?;
    ensure!(answer.status == 200, "{answer:?}");
    problem(&gateway.get("/unknown").await?, 502, "upstream_unreachable")?;
    gateway.stop().await
}

fn problem(answer: &Answer, status: u16, reason: &str) -> Result<()> {
    ensure!(answer.status == status, "{answer:?}");
    ensure!(
        answer.content_type == "application/problem+json",
        "{answer:?}"
    );
    let body: Value = serde_json::from_str(&answer.text)?;
    ensure!(
        body.get("reason") == Some(&json!(reason)) && body.get("status") == Some(&json!(status)),
        "{answer:?}"
    );
    Ok(())
}

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
