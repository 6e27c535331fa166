use anyhow::{Context as _, Result};
use leasehold_model::Failure;
use leasehold_provider::Provider as _;
use leasehold_testkit::{AuditReceiver, Lab, audit_entries, wait};
use serde_json::{Value, json};

use super::{LIMIT, issue, lease, log_in, refusal, session, text, user_is_gone};
use crate::bench::{BY_SESSION, SESSION, chain, failure, leased, provider};

const HEADER: &str = "X-Facts-Request-Id";

fn entries(lab: &Lab) -> Result<Vec<Value>> {
    audit_entries(&lab.openbao.audit_log())
}

/// Returns the entry of this type whose text at the pointer is this.
fn find<'a>(entries: &'a [Value], kind: &str, pointer: &str, value: &str) -> Result<&'a Value> {
    let mut of_kind = entries.iter().filter(|it| at(it, "/type") == Some(kind));
    let found = of_kind.find(|it| at(it, pointer) == Some(value));
    found.with_context(|| format!("no {kind} with {value} at {pointer}"))
}

fn at<'a>(entry: &'a Value, pointer: &str) -> Option<&'a str> {
    entry.pointer(pointer)?.as_str()
}

#[tokio::test]
async fn f31_an_answer_that_can_not_be_audited_is_refused_and_its_credential_lives() -> Result<()> {
    let receiver = AuditReceiver::start().await?;
    let lab = Lab::start_audited_by(&receiver.url()).await?;
    let token = session(&lab).await?;
    let provider = provider(&lab, "gateway").await?;
    provider.login(SESSION).await?;

    receiver.handler().refuse_responses(true);
    let path = "database/creds/app";
    let refused = lab.openbao.call(&token, "GET", path, None).await?;
    assert_eq!(refusal(&refused), (500, "internal error"));
    let outcome = provider.fetch(BY_SESSION, &leased(path)).await;
    assert_eq!(
        failure(&outcome),
        Some(Failure::MaybeIssued),
        "{}",
        chain(outcome)
    );
    let leaked = lab.postgres.login_roles_like("v-").await?;
    assert_eq!(leaked.len(), 2, "one for each: {leaked:?}");

    receiver.handler().refuse_responses(false);
    let path = "auth/token/revoke-self";
    lab.openbao
        .call(&token, "POST", path, Some(json!({})))
        .await?;
    provider.revoke_session(SESSION).await?;
    wait::until_true(
        "the leaked users to go with their tokens",
        LIMIT,
        async || Ok(lab.postgres.login_roles_like("v-").await?.is_empty()),
    )
    .await
}

#[tokio::test]
async fn f40_an_answer_is_joined_with_its_audit_entries_by_its_request_id() -> Result<()> {
    let lab = Lab::start().await?;
    let login = log_in(&lab, "gateway").await?;
    let token = text(&login, "/auth/client_token")?;
    let issued = issue(&lab, &token, "app").await?;
    let renewal = lease(&lab, &token, "renew", &issued.lease).await?;
    let entries = entries(&lab)?;
    for (answer, path) in [
        (&login, "auth/approle/login"),
        (&issued.answer, "database/creds/app"),
        (&renewal, "sys/leases/renew"),
    ] {
        let id = text(answer, "/request_id")?;
        for kind in ["request", "response"] {
            let entry = find(&entries, kind, "/request/id", &id)?;
            assert_eq!(at(entry, "/request/path"), Some(path));
        }
    }
    for answer in [&issued.answer, &renewal] {
        let id = text(answer, "/request_id")?;
        let entry = find(&entries, "response", "/request/id", &id)?;
        let lease_id = at(entry, "/response/secret/lease_id");
        assert_eq!(lease_id, Some(issued.lease.as_str()), "in clear");
    }
    Ok(())
}

#[tokio::test]
async fn f40_a_call_without_an_answer_to_join_by_is_found_by_hash_and_by_header() -> Result<()> {
    let lab = Lab::start().await?;
    let bao = &lab.openbao;
    let token = session(&lab).await?;
    let path = format!("sys/config/auditing/request-headers/{HEADER}");
    bao.api("POST", &path, Some(json!({ "hmac": false })))
        .await?;
    let issued = issue(&lab, &token, "app").await?;
    let body = || Some(json!({ "lease_id": issued.lease }));
    let revoked = [(HEADER, "revoked")];
    let path = "sys/leases/revoke";
    let answer = bao
        .call_with(&token, "POST", path, &revoked, body())
        .await?;
    assert_eq!(answer.status, 204);
    let refused = [(HEADER, "refused")];
    let path = "sys/leases/renew";
    let answer = bao
        .call_with(&token, "POST", path, &refused, body())
        .await?;
    assert_eq!(answer.status, 400);
    assert!(answer.body.get("request_id").is_none());

    let input = json!({ "input": issued.lease });
    let hash = bao.api("POST", "sys/audit-hash/main", Some(input)).await?;
    let hash = hash.pointer("/data/hash").and_then(Value::as_str);
    let entries = entries(&lab)?;
    let header = "/request/headers/x-facts-request-id/0";
    for value in ["revoked", "refused"] {
        for kind in ["request", "response"] {
            let entry = find(&entries, kind, header, value)?;
            assert_eq!(
                at(entry, "/request/data/lease_id"),
                hash.context("a hash").ok()
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn f41_expiry_and_cascade_leave_no_audit_entry() -> Result<()> {
    let lab = Lab::start().await?;
    let token = session(&lab).await?;
    lab.create_db_role("brief", "1s", "1s").await?;
    let expiring = issue(&lab, &token, "brief").await?;
    let before = entries(&lab)?.len();
    user_is_gone(&lab, &expiring.user).await?;
    assert_eq!(entries(&lab)?.len(), before, "nothing about its end");

    let cascading = issue(&lab, &token, "app").await?;
    let before = entries(&lab)?.len();
    let path = "auth/token/revoke-self";
    lab.openbao
        .call(&token, "POST", path, Some(json!({})))
        .await?;
    user_is_gone(&lab, &cascading.user).await?;
    let entries = entries(&lab)?;
    let after = entries.get(before..).context("entries")?;
    let paths: Vec<_> = after.iter().map(|it| at(it, "/request/path")).collect();
    assert_eq!(
        paths,
        [Some(path); 2],
        "the token's end and not the lease's"
    );
    Ok(())
}

#[tokio::test]
async fn f42_what_an_anchor_is_minted_with_stands_in_every_entry_it_makes() -> Result<()> {
    let lab = Lab::start().await?;
    let token = session(&lab).await?;
    let meta = json!({ "instance": "gw-1", "epoch": "7" });
    let body = json!({ "display_name": "gw-1", "meta": meta });
    let path = "auth/token/create/leasehold";
    let anchor = lab.openbao.call(&token, "POST", path, Some(body)).await?;
    let issued = issue(&lab, &text(&anchor, "/auth/client_token")?, "app").await?;
    let entries = entries(&lab)?;
    let id = text(&issued.answer, "/request_id")?;
    for kind in ["request", "response"] {
        let entry = find(&entries, kind, "/request/id", &id)?;
        assert_eq!(entry.pointer("/auth/metadata"), Some(&meta), "in clear");
        assert_eq!(at(entry, "/auth/display_name"), Some("token-gw-1"));
    }
    Ok(())
}

#[tokio::test]
async fn f43_f44_what_the_api_no_longer_does() -> Result<()> {
    let lab = Lab::start().await?;
    let bao = &lab.openbao;
    let root = bao.root_token();
    let device = json!({ "type": "file", "options": { "file_path": "/dev/null" } });
    let enabling = bao
        .call(root, "PUT", "sys/audit/more", Some(device))
        .await?;
    let said = "cannot enable audit device via API; use declarative, config-based audit device \
                management instead";
    assert_eq!(refusal(&enabling), (400, said));
    let issued = issue(&lab, root, "app").await?;
    for path in ["sys/renew", "sys/revoke"] {
        let body = json!({ "lease_id": issued.lease });
        let answer = bao.call(root, "PUT", path, Some(body)).await?;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text());
    }
    Ok(())
}
