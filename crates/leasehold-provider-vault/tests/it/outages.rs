use std::time::Duration;

use anyhow::Result;
use leasehold_model::Failure;
use leasehold_provider::Provider as _;
use leasehold_testkit::{Lab, free_port, wait};

use crate::bench::{
    BY_SESSION, Bench, SESSION, chain, config, failure, field, lease_id, make, stored,
};

const LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn f01_f02_a_database_that_is_down_kills_no_lease() -> Result<()> {
    let mut bench = Bench::logged_in().await?;
    let fetched = bench.issue("app").await?;
    let (lease, user) = (lease_id(&fetched)?, field(&fetched, "username")?);
    bench.lab.postgres.stop().await?;

    let renewal = bench.provider.renew_lease(SESSION, &lease).await;
    assert_eq!(failure(&renewal), Some(Failure::Transient));
    let said = chain(renewal);
    assert!(said.contains("status 400: failed to renew entry"), "{said}");
    let revocation = bench.provider.revoke_lease(SESSION, &lease).await;
    assert_eq!(
        failure(&revocation),
        Some(Failure::Transient),
        "not taken for a success"
    );
    let said = chain(revocation);
    assert!(
        said.contains("status 400: failed to revoke entry"),
        "{said}"
    );
    let issue = bench.issue("app").await;
    assert_eq!(
        failure(&issue),
        Some(Failure::Transient),
        "nothing was begun"
    );
    let said = chain(issue);
    assert!(said.contains("status 500"), "{said}");

    bench.lab.postgres.start_again().await?;
    wait::until_true("the lease to be revoked", LIMIT, async || {
        Ok(bench.provider.revoke_lease(SESSION, &lease).await.is_ok())
    })
    .await?;
    assert!(!bench.has_user(&user).await?);
    Ok(())
}

#[tokio::test]
async fn f06_a_sealed_or_stopped_server_is_out_of_order_for_now() -> Result<()> {
    let mut bench = Bench::logged_in().await?;
    let lease = lease_id(&bench.issue("app").await?)?;
    bench.lab.openbao.seal().await?;
    let issue = bench.issue("app").await;
    assert_eq!(failure(&issue), Some(Failure::Unreachable));
    let said = chain(issue);
    assert!(said.contains("Vault is sealed"), "{said}");
    for outcome in [
        failure(&bench.provider.renew_session(SESSION).await),
        failure(&bench.provider.renew_lease(SESSION, &lease).await),
        failure(&bench.provider.revoke_lease(SESSION, &lease).await),
        failure(&bench.provider.login(SESSION.next()).await),
        failure(&bench.provider.revoke_session(SESSION).await),
    ] {
        assert_eq!(outcome, Some(Failure::Unreachable));
    }
    bench.lab.openbao.unseal().await?;
    bench.provider.renew_lease(SESSION, &lease).await?;

    bench.lab.openbao.stop().await?;
    let outcome = bench.provider.renew_lease(SESSION, &lease).await;
    assert_eq!(failure(&outcome), Some(Failure::Unreachable));
    let said = chain(outcome);
    assert!(said.contains("refused"), "{said}");
    bench.lab.openbao.start_again().await?;
    bench.provider.renew_lease(SESSION, &lease).await?;
    bench.provider.revoke_session(SESSION).await?;
    Ok(())
}

#[tokio::test]
async fn a_dead_first_address_is_passed_over() -> Result<()> {
    let lab = Lab::start().await?;
    let approle = lab.approle("gateway").await?;
    let dead = format!("http://127.0.0.1:{}", free_port()?);
    let addresses = [dead, lab.openbao.address()];
    let config = config(&addresses, &approle.role_id, &approle.secret_id_file)?;
    let provider = make(&config)?;
    provider.login(SESSION).await?;
    provider.fetch(BY_SESSION, &stored("kv", "app")).await?;
    Ok(())
}
