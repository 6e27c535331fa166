//! Ways to log in, from the document to a request that is answered.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use leasehold_testkit::origin::AcceptedKeys;
use leasehold_testkit::{Lab, Origin, secret, wait};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{Gateway, PATIENCE, lab};

/// Issues a secret id inside a wrapping token, writes the token to the file and returns it.
async fn deliver(lab: &Lab, file: &Path) -> Result<String> {
    let address = lab.openbao.address();
    let answer = reqwest::Client::new()
        .post(format!("{address}/v1/auth/approle/role/gateway/secret-id"))
        .header("X-Vault-Token", lab.openbao.root_token())
        .header("X-Vault-Wrap-TTL", "120");
    let answer: Value = serde_json::from_str(&answer.send().await?.text().await?)?;
    let token = answer.pointer("/wrap_info/token").and_then(Value::as_str);
    let token = token.context("a wrapping token")?.to_owned();
    fs::write(file, &token)?;
    Ok(token)
}

#[tokio::test]
async fn f27_a_stolen_wrapping_token_is_an_alarm_in_the_log_and_the_next_one_mends_it() -> Result<()>
{
    let (_turn, lab) = lab().await?;
    let key = secret()?;
    lab.openbao
        .kv_put("kv", "payments", json!({ "key": key }))
        .await?;
    let origin = Origin::api_key(AcceptedKeys::new([key.clone()])).await?;
    let role_id = lab.approle("gateway").await?.role_id;
    let file = lab.dir().join("wrapping-token");
    let stolen = deliver(&lab, &file).await?;
    let thief = lab
        .openbao
        .call(&stolen, "POST", "sys/wrapping/unwrap", None);
    assert_eq!(thief.await?.status, 200);

    let mut gateway = Gateway::start(&format!(
        "providers:\n  \
           vault:\n    \
             kind: vault\n    \
             address: {:?}\n    \
             auth: {{ approle: {{ role_id: {role_id:?}, secret_id: {{ file: {file:?}, wrapped: true }} }} }}\n\
         credentials:\n  \
           key: {{ from: {{ provider: vault, kv: kv/payments, field: key, poll: 1s }} }}\n\
         upstreams:\n  \
           payments: {{ endpoints: [{:?}], credential: key, inject: {{ header: X-Api-Key }} }}\n\
         routes: [{{ name: payments, upstream: payments, consumers: [tester] }}]\n",
        lab.openbao.address(),
        origin.url()
    ))
    .await?;
    let alarms = |log: &str| log.matches("its secret id may be stolen").count();
    wait::until_true("the login to be refused twice", PATIENCE, async || {
        let log = gateway.process().stderr()?;
        Ok(log.matches("destroy it by its accessor").count() >= 2)
    })
    .await?;
    assert_eq!(alarms(&gateway.process().stderr()?), 1, "one alarm a token");
    let answer = gateway.get("/").await?;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);

    let good = deliver(&lab, &file).await?;
    gateway.ready("payments").await?;
    let answer = gateway.get("/").await?;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
    gateway.stop().await?;
    assert_eq!(alarms(&gateway.process().stderr()?), 1);
    gateway.assert_no_leak(&[stolen, good, key])
}
