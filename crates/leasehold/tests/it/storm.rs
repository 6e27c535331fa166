//! The whole gateway through outages and storms, watched by OpenBao's own audit log.
//!
//! The ordinary tests are short forms; the long ones are ignored here and run by `cargo xtask bench`.
#![expect(clippy::print_stdout, reason = "figures are what a long run is for")]

use std::time::Duration;

use anyhow::{Context as _, Result};
use leasehold_testkit::{Lab, wait};
use serde_json::json;

use crate::support::{Gateway, all_served, no_user_left, vault_provider};

mod audit;
mod cluster;
mod floods;
mod leases;
mod outage;
mod peers;
mod reloads;
mod renewals;
mod rotating;
mod rotations;
mod session;

/// The part of a configuration with `count` database users of a role, each with a route `/<number>` of
/// its own to the origin.
async fn users(lab: &Lab, count: usize, role: &str, origin: &str) -> Result<String> {
    let mut text = vault_provider(lab).await?;
    text.push_str(&each(count, "credentials", |n| {
        format!("  user-{n}: {{ from: {{ provider: vault, lease: database/creds/{role} }} }}\n")
    }));
    text.push_str(&each(count, "upstreams", |n| {
        format!(
            "  database-{n}: {{ endpoints: [{origin:?}], credential: user-{n}, \
             inject: {{ basic: {{ username: username, password: password }} }} }}\n"
        )
    }));
    text.push_str(&each(count, "routes", |n| {
        format!(
            "  - {{ name: user-{n}, match: {{ path: /{n}/ }}, upstream: database-{n}, \
             consumers: [tester] }}\n"
        )
    }));
    Ok(text)
}

fn paths(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("/{n}/")).collect()
}

fn each(count: usize, section: &str, line: impl FnMut(usize) -> String) -> String {
    let lines: String = (0..count).map(line).collect();
    format!("{section}:\n{lines}")
}

/// Waits until as many credentials have something to serve.
async fn all_ready(gateway: &mut Gateway, count: usize, limit: Duration) -> Result<()> {
    let mut ready = 0;
    let outcome = wait::until_true("every credential", limit, async || {
        let metrics = gateway.metrics().await?;
        let lines = metrics.lines();
        let of_credentials = lines.filter(|it| it.starts_with("leasehold_credential_ready{"));
        ready = of_credentials.filter(|it| it.ends_with(" 1")).count();
        Ok(ready == count)
    });
    outcome
        .await
        .with_context(|| format!("{ready} of {count} are ready"))
}

/// Changes some settings of a database role.
async fn tune(lab: &Lab, role: &str, settings: &[(&str, &str)]) -> Result<()> {
    let path = format!("database/roles/{role}");
    let answer = lab.openbao.api("GET", &path, None).await?;
    let mut body = answer.get("data").context("a role")?.clone();
    let role = body.as_object_mut().context("a role")?;
    for (name, value) in settings {
        role.insert((*name).to_owned(), json!(value));
    }
    lab.openbao.api("POST", &path, Some(body)).await?;
    Ok(())
}

async fn for_seconds(seconds: u64) -> Result<()> {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    Ok(())
}
