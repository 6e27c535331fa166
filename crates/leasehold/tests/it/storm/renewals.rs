//! Renewals that can't succeed, or no longer as they did.

use std::time::Duration;

use anyhow::{Result, ensure};
use leasehold_testkit::Origin;

use super::audit::{Audit, Kind, seconds};
use super::{all_served, for_seconds, no_user_left, tune, users};
use crate::support::{Gateway, lab};

/// The same by bao agent 2.7.2: 435 users.
#[tokio::test]
async fn f15_a_broken_renewal_statement_makes_seven_users_at_most_in_45_seconds() -> Result<()> {
    let (_turn, lab) = lab().await?;
    tune(&lab, "badrenew", &[("default_ttl", "10s")]).await?;
    let origin = Origin::database(&lab.postgres).await?;
    let parts = users(&lab, 1, "badrenew", &origin.url()).await?;
    let mut gateway = Gateway::start(&parts).await?;
    gateway.ready("user-0").await?;
    let statuses = gateway
        .load("/0/", Duration::from_millis(10), for_seconds(45))
        .await?;
    gateway.stop().await?;

    let audit = Audit::read(&lab.openbao.audit_log())?;
    println!("{} users in 45 s; {audit}; {statuses:?}", audit.issued());
    all_served(&gateway, &statuses)?;
    ensure!(audit.issued() <= 7, "{} users: {audit}", audit.issued());
    ensure!(
        audit.rate(&[Kind::Renew]).count >= 3,
        "none was tried: {audit}"
    );
    no_user_left(&lab).await
}

#[tokio::test]
async fn f12_f13_a_role_that_is_cut_short_or_deleted_loses_no_time_that_was_granted() -> Result<()>
{
    let (_turn, lab) = lab().await?;
    lab.create_db_role("shortened", "20s", "10m").await?;
    let origin = Origin::database(&lab.postgres).await?;
    let mut gateway = Gateway::start(&users(&lab, 1, "shortened", &origin.url()).await?).await?;
    gateway.ready("user-0").await?;
    tune(&lab, "shortened", &[("default_ttl", "8s")]).await?;
    let statuses = gateway
        .load("/0/", Duration::from_millis(10), for_seconds(20))
        .await?;
    let audit = Audit::read(&lab.openbao.audit_log())?;
    println!("20 s became 8 s: {audit}; {statuses:?}");
    all_served(&gateway, &statuses)?;
    let renewals = audit.grants(&[Kind::Renew]).count();
    ensure!(renewals >= 2, "8 s are not what it goes by: {audit}");

    lab.openbao
        .api("DELETE", "database/roles/shortened", None)
        .await?;
    let before = Audit::read(&lab.openbao.audit_log())?;
    let statuses = gateway
        .load("/0/", Duration::from_millis(10), for_seconds(12))
        .await?;
    ensure!(statuses.keys().eq([&200, &503]), "{statuses:?}");
    served_to_the_deadline(&gateway, &before)?;
    let audit = Audit::read(&lab.openbao.audit_log())?;
    let asked = audit.rate(&[Kind::Issue]).count - before.rate(&[Kind::Issue]).count;
    println!("asked {asked} times for a role that is gone");
    ensure!(asked <= 12, "it is asked for in a loop: {audit}");
    gateway.stop().await?;
    no_user_left(&lab).await
}

/// The last grant before a role was deleted is used up, and not more of it than was granted.
fn served_to_the_deadline(gateway: &Gateway, before: &Audit) -> Result<()> {
    let kinds = [Kind::Issue, Kind::Renew];
    let granted = before.grants(&kinds).last().map_or(0.0, |it| it.at);
    let records = gateway.records()?;
    let mut last = 0.0_f64;
    for record in records.iter().filter(|it| it.status == Some(200)) {
        last = last.max(seconds(&record.time)?);
    }
    println!("served for {:.1} s of the last grant", last - granted);
    ensure!(last - granted <= 8.0, "{last} is beyond what was granted");
    Ok(())
}
