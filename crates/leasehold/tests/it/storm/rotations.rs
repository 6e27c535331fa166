//! Many credentials that are replaced as fast as the budget allows.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::{Origin, wait};

use super::audit::Audit;
use super::{all_ready, all_served, for_seconds, no_user_left, paths, users};
use crate::support::{Gateway, lab};

#[tokio::test]
async fn a_hundred_rotations_fail_no_request_and_keep_to_the_budget() -> Result<()> {
    rotate(100, Duration::from_millis(5)).await
}

#[tokio::test]
#[ignore = "takes minutes; `cargo xtask bench rotations`"]
async fn many_rotations_fail_no_request_and_keep_to_the_budget() -> Result<()> {
    let rotations = option_env!("STORM_COUNT").unwrap_or("1000").parse()?;
    rotate(rotations, Duration::from_micros(500)).await
}

/// Credentials of 30 seconds that can't be renewed beyond: each is rotated after 10 to 21. Together they
/// need about 17 writes a second of the 20 that there are.
async fn rotate(rotations: usize, interval: Duration) -> Result<()> {
    let (_turn, lab) = lab().await?;
    lab.create_db_role("brief", "30s", "30s").await?;
    let (echo, database) = (
        Origin::echo().await?,
        Origin::database(&lab.postgres).await?,
    );
    let mut parts = users(&lab, CREDENTIALS, "brief", &echo.url()).await?;
    // One of the users is shown to the database itself.
    parts = parts.replacen(
        &format!("{:?}", echo.url()),
        &format!("{:?}", database.url()),
        1,
    );
    let mut gateway = Gateway::start(&parts).await?;
    all_ready(&mut gateway, CREDENTIALS, LIMIT).await?;

    let log = lab.openbao.audit_log();
    let enough = wait::until_true("as many rotations", LIMIT, async || {
        for_seconds(1).await?;
        Ok(Audit::read(&log)?.issued() >= CREDENTIALS + rotations)
    });
    let began = tokio::time::Instant::now();
    let statuses = gateway
        .load_all(&paths(CREDENTIALS), interval, enough)
        .await?;
    let took = began.elapsed().as_secs_f64();
    let audit = Audit::read(&log)?;
    gateway.stop().await?;
    let requests: usize = statuses.values().sum();
    println!(
        "{rotations} rotations in {took:.0} s under {:.0} requests/s: {statuses:?}; {audit}",
        f64::from(u32::try_from(requests)?) / took
    );
    all_served(&gateway, &statuses)?;
    ensure!(database.refused() == 0, "the database refused a user");
    let records = gateway.records()?;
    let served: BTreeSet<_> = records
        .iter()
        .map(|it| it.lease_id.as_ref().context("a lease"))
        .collect::<Result<_>>()?;
    ensure!(served.len() >= rotations, "only {} served", served.len());
    // A bucket of 10 that gets 20 a second gives 30 in a second; what was held up may arrive at once.
    ensure!(audit.writes().peak <= 40, "beyond the budget: {audit}");
    no_user_left(&lab).await
}

const CREDENTIALS: usize = 90;
const LIMIT: Duration = Duration::from_secs(1200);
