//! What OpenBao does, as the design takes it to do: each test is named after the numbered facts that
//! it shows. Some facts are shown by tests of other files, which have the numbers in their names too;
//! `docs/facts.md` lists them all, with what was seen.

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::{Answer, Lab, Postgres, wait};
use serde_json::{Value, json};
use std::time::Duration;
use tokio_postgres::Client;

mod audit;
mod classification;
mod cluster;
mod leases;
mod quotas;
mod tokens;

const LIMIT: Duration = Duration::from_secs(60);

/// A credential of a database role, as the server gave it out.
struct Issued {
    answer: Answer,
    lease: String,
    user: String,
    password: String,
}

/// Logs in with an AppRole and returns the answer.
async fn log_in(lab: &Lab, role: &str) -> Result<Answer> {
    let approle = lab.approle(role).await?;
    let secret_id = std::fs::read_to_string(&approle.secret_id_file)?;
    let body = json!({ "role_id": approle.role_id, "secret_id": secret_id });
    let path = "auth/approle/login";
    lab.openbao.call("", "POST", path, Some(body)).await
}

/// Logs in with the AppRole of a long-lived session and returns its token.
async fn session(lab: &Lab) -> Result<String> {
    text(&log_in(lab, "gateway").await?, "/auth/client_token")
}

async fn issue(lab: &Lab, token: &str, role: &str) -> Result<Issued> {
    let path = format!("database/creds/{role}");
    let answer = lab.openbao.call(token, "GET", &path, None).await?;
    ensure!(answer.status == 200, "{}", answer.text());
    Ok(Issued {
        lease: text(&answer, "/lease_id")?,
        user: text(&answer, "/data/username")?,
        password: text(&answer, "/data/password")?,
        answer,
    })
}

/// Renews, looks up or revokes a lease.
async fn lease(lab: &Lab, token: &str, what: &str, lease: &str) -> Result<Answer> {
    let path = format!("sys/leases/{what}");
    let body = json!({ "lease_id": lease });
    lab.openbao.call(token, "POST", &path, Some(body)).await
}

fn text(answer: &Answer, pointer: &str) -> Result<String> {
    let text = answer.at(pointer).map(str::to_owned);
    text.with_context(|| format!("no {pointer} in an answer of {}", answer.status))
}

/// Returns the status and the first error of an answer.
fn refusal(answer: &Answer) -> (u16, &str) {
    (answer.status, answer.at("/errors/0").unwrap_or("no error"))
}

/// Returns the seconds that an answer grants.
fn granted(answer: &Answer) -> Result<u64> {
    let seconds = answer.body.get("lease_duration").and_then(Value::as_u64);
    seconds.with_context(|| format!("nothing granted: {}", answer.status))
}

async fn has_user(lab: &Lab, user: &str) -> Result<bool> {
    Ok(!lab.postgres.login_roles_like(user).await?.is_empty())
}

async fn user_is_gone(lab: &Lab, user: &str) -> Result<()> {
    wait::until_true("the user to be dropped", LIMIT, async || {
        Ok(!has_user(lab, user).await?)
    })
    .await
}

async fn connect(lab: &Lab, issued: &Issued) -> Result<Client, tokio_postgres::Error> {
    let Issued { user, password, .. } = issued;
    lab.postgres
        .connect_as(user, password, Postgres::DATABASE)
        .await
}
