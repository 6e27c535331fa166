use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use leasehold_model::{Failure, LeaseId};
use leasehold_provider::{Holding, Provider as _};
use leasehold_testkit::{Postgres, wait};

use crate::bench::{BY_SESSION, Bench, SESSION, chain, failure, field, lease_id, leased};

const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_credential_lives_from_its_issue_to_its_revocation() -> Result<()> {
    let bench = Bench::logged_in().await?;
    let fetched = bench.issue("app").await?;
    let lease = lease_id(&fetched)?;
    let holding = Holding::Leased {
        lease_id: lease.clone(),
        ttl: Duration::from_secs(60),
        renewable: true,
    };
    assert_eq!(fetched.holding, holding);
    let names: Vec<&str> = fetched.material.names().collect();
    assert_eq!(names, ["password", "username"]);
    let (user, password) = (field(&fetched, "username")?, field(&fetched, "password")?);
    let postgres = &bench.lab.postgres;
    drop(
        postgres
            .connect_as(&user, &password, Postgres::DATABASE)
            .await?,
    );

    let renewed = bench.provider.renew_lease(SESSION, &lease).await?;
    assert_eq!(renewed.ttl, Duration::from_secs(60));
    assert!(!renewed.capped);

    bench.provider.revoke_lease(SESSION, &lease).await?;
    assert!(!bench.has_user(&user).await?, "gone when the call returns");
    let late = bench.provider.renew_lease(SESSION, &lease).await;
    assert_eq!(failure(&late), Some(Failure::LeaseGone), "{}", chain(late));
    bench.provider.revoke_lease(SESSION, &lease).await?;
    Ok(())
}

#[tokio::test]
async fn f40_an_issue_is_found_again_in_the_audit_log() -> Result<()> {
    let bench = Bench::logged_in().await?;
    let fetched = bench.issue("app").await?;
    let lease = lease_id(&fetched)?;
    let request_id = fetched.request_id.as_ref().map(|it| it.as_str());
    let log = fs::read_to_string(bench.lab.openbao.audit_log())?;
    let entries = log.lines().filter(|line| line.contains(lease.as_str()));
    let entries: Vec<serde_json::Value> = entries
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    let found = entries.iter().any(|entry| {
        let text = |pointer| entry.pointer(pointer).and_then(serde_json::Value::as_str);
        text("/type") == Some("response")
            && text("/request/id") == request_id
            && text("/response/secret/lease_id") == Some(lease.as_str())
    });
    assert!(request_id.is_some() && found, "{request_id:?} {entries:?}");
    Ok(())
}

#[tokio::test]
async fn f10_a_lease_near_its_end_is_told_so_and_then_gone() -> Result<()> {
    let bench = Bench::logged_in().await?;
    // Where a grant is as long as the lease may live, each second that has passed cuts it short.
    bench.lab.create_db_role("once", "1h", "1h").await?;
    let lease = lease_id(&bench.issue("once").await?)?;
    let grant = wait::until("a capped grant", LIMIT, async || {
        let grant = bench.provider.renew_lease(SESSION, &lease).await?;
        Ok(grant.capped.then_some(grant))
    })
    .await?;
    assert!(grant.ttl < Duration::from_secs(3600), "{grant:?}");

    bench.lab.create_db_role("brief", "1s", "1s").await?;
    let lease = lease_id(&bench.issue("brief").await?)?;
    wait::until_true("the end of the lease", LIMIT, async || {
        let outcome = bench.provider.renew_lease(SESSION, &lease).await;
        let end = failure(&outcome);
        // In its last moments it can't be renewed and is not gone yet.
        let expected = matches!(end, None | Some(Failure::NotRenewable | Failure::LeaseGone));
        ensure!(expected, "{}", chain(outcome));
        Ok(end == Some(Failure::LeaseGone))
    })
    .await
}

#[tokio::test]
async fn f13_a_lease_that_can_not_be_renewed_says_whether_it_ever_can() -> Result<()> {
    let bench = Bench::logged_in().await?;
    let broken = lease_id(&bench.issue("badrenew").await?)?;
    let outcome = bench.provider.renew_lease(SESSION, &broken).await;
    assert_eq!(failure(&outcome), Some(Failure::Transient));
    let said = chain(outcome);
    assert!(said.contains("SQLSTATE 42883"), "{said}");
    assert!(!said.contains("no_such_function"), "{said}");

    bench.lab.create_db_role("passing", "60s", "180s").await?;
    let orphan = lease_id(&bench.issue("passing").await?)?;
    let path = "database/roles/passing";
    bench.lab.openbao.api("DELETE", path, None).await?;
    let outcome = bench.provider.renew_lease(SESSION, &orphan).await;
    assert_eq!(
        failure(&outcome),
        Some(Failure::NotRenewable),
        "{}",
        chain(outcome)
    );

    let unknown = LeaseId::from("database/creds/app/unknown");
    let outcome = bench.provider.renew_lease(SESSION, &unknown).await;
    assert_eq!(
        failure(&outcome),
        Some(Failure::LeaseGone),
        "{}",
        chain(outcome)
    );
    let outcome = bench
        .provider
        .renew_lease(SESSION, &LeaseId::from(""))
        .await;
    assert_eq!(
        failure(&outcome),
        Some(Failure::Misconfigured),
        "{}",
        chain(outcome)
    );
    Ok(())
}

#[tokio::test]
async fn a_path_that_leases_nothing_is_a_fault_of_the_setup() -> Result<()> {
    let bench = Bench::logged_in().await?;
    for path in [
        "database/creds/nobody",
        "database/static-creds/svc",
        "kv/data/app",
        "pki/issue/lease",
    ] {
        let outcome = bench.provider.fetch(BY_SESSION, &leased(path)).await;
        let failure = failure(&outcome);
        let said = chain(outcome);
        // The policy lets a certificate be issued by a write alone.
        let expected = if path.starts_with("pki") {
            Failure::Denied
        } else {
            Failure::Misconfigured
        };
        assert_eq!(failure, Some(expected), "{said}");
        assert!(!said.contains("v1-secret"), "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn what_a_database_quotes_in_its_refusal_does_not_get_through() -> Result<()> {
    let bench = Bench::logged_in().await?;
    let role = serde_json::json!({
        "db_name": "pg",
        "creation_statements": "CREATE ROLE \"{{name}}\" LOGIN PASSWRD 'canary-{{password}}';",
    });
    let path = "database/roles/mistyped";
    bench.lab.openbao.api("POST", path, Some(role)).await?;
    let outcome = bench.issue("mistyped").await;
    assert_eq!(failure(&outcome), Some(Failure::MaybeIssued));
    let debug = format!("{outcome:?}");
    let said = chain(outcome);
    assert!(
        !said.contains("canary") && !debug.contains("canary"),
        "{said} {debug}"
    );
    assert!(!said.contains("PASSWRD"), "{said}");
    assert!(said.contains("SQLSTATE 42601"), "{said}");
    Ok(())
}
