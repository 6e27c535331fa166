//! OpenBao out of reach for longer than some of its leases live.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::{Lab, Origin, wait};
use rustix::process::{Pid, Signal, kill_process};

use super::audit::{Audit, Kind, seconds};
use super::{all_ready, for_seconds, no_user_left};
use crate::support::{Gateway, PATIENCE, Record, lab, vault_provider};

#[tokio::test]
async fn while_openbao_hangs_only_what_has_not_run_out_is_served_and_it_comes_back_without_a_storm()
-> Result<()> {
    endure(Outage::Hang, "10s", 20).await
}

#[tokio::test]
#[ignore = "takes minutes; `cargo xtask bench outage`"]
async fn while_openbao_is_away_only_what_has_not_run_out_is_served() -> Result<()> {
    let seconds = option_env!("STORM_SECONDS").unwrap_or("60").parse()?;
    for outage in [Outage::Hang, Outage::Death, Outage::Seal] {
        endure(outage, "30s", seconds).await?;
    }
    Ok(())
}

#[derive(Clone, Copy, Debug)]
enum Outage {
    /// Connections are taken, and nothing is answered.
    Hang,
    /// Connections are refused.
    Death,
    /// Every call is answered 503.
    Seal,
}

impl Outage {
    async fn begin(self, lab: &mut Lab) -> Result<()> {
        match self {
            Self::Hang => signal(lab, Signal::STOP),
            Self::Death => lab.openbao.stop().await,
            Self::Seal => lab.openbao.seal().await,
        }
    }

    async fn end(self, lab: &mut Lab) -> Result<()> {
        match self {
            Self::Hang => signal(lab, Signal::CONT),
            Self::Death => lab.openbao.start_again().await,
            Self::Seal => lab.openbao.unseal().await,
        }
    }
}

async fn endure(outage: Outage, ttl: &str, outage_seconds: u64) -> Result<()> {
    let (_turn, mut lab) = lab().await?;
    lab.create_db_role("brief", ttl, "24h").await?;
    let (database, echo) = (
        Origin::database(&lab.postgres).await?,
        Origin::echo().await?,
    );
    let parts = configuration(&lab, &database.url(), &echo.url()).await?;
    let mut gateway = Gateway::start(&parts).await?;
    all_ready(&mut gateway, 3, PATIENCE).await?;
    for_seconds(2).await?;

    let paths = ["/brief/", "/long/", "/value/"].map(str::to_owned);
    let began = seconds_now();
    let mut ended = began;
    let mut recovered = began;
    let load = async {
        outage.begin(&mut lab).await?;
        for_seconds(outage_seconds).await?;
        outage.end(&mut lab).await?;
        ended = seconds_now();
        let log = gateway.process().logs_dir().join("leasehold.stdout");
        wait::until_true("the brief user to be served again", RECOVERY, async || {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(last(&std::fs::read_to_string(&log)?, "brief")?.is_some_and(|it| it > ended))
        })
        .await?;
        recovered = seconds_now();
        for_seconds(5).await
    };
    let statuses = gateway
        .load_all(&paths, Duration::from_millis(5), load)
        .await?;
    let away = (began, ended);
    println!(
        "{outage:?} for {:.1} s: {statuses:?}; all served {:.1} s after its end",
        ended - began,
        recovered - ended
    );

    let audit = Audit::read(&lab.openbao.audit_log())?;
    let records = gateway.records()?;
    ensure!(database.refused() == 0, "the database refused a user");
    for always in ["long", "value"] {
        let failed = of(&records, always).find(|it| it.status != Some(200));
        ensure!(failed.is_none(), "{failed:?}");
    }
    brief_ended_on_time(&records, &audit, ttl, away)?;
    let back = audit.since(ended);
    println!("since then: {back}");
    ensure!(back.writes().peak <= 40, "a storm: {back}");
    gateway.stop().await?;
    no_user_left(&lab).await
}

/// The brief user is served until its lease runs out and no longer.
fn brief_ended_on_time(
    records: &[Record],
    audit: &Audit,
    ttl: &str,
    (began, ended): (f64, f64),
) -> Result<()> {
    let ttl: f64 = ttl.trim_end_matches('s').parse()?;
    let kinds = [Kind::Issue, Kind::Renew];
    let grants = audit.grants(&kinds);
    let brief = grants.filter(|it| {
        it.lease
            .as_ref()
            .is_some_and(|lease| lease.contains("/brief/"))
            && it.at < began
    });
    let granted = brief.map(|it| it.at).last().context("no grant")?;
    let mut served = 0.0_f64;
    let mut refused = f64::INFINITY;
    for record in of(records, "brief") {
        let at = seconds(&record.time)?;
        match record.status {
            Some(200) if at < ended => served = served.max(at),
            Some(503) => refused = refused.min(at),
            Some(200) => {}
            _ => anyhow::bail!("{record:?}"),
        }
    }
    println!(
        "of {ttl} s granted, {:.2} s before the last that was served and {:.2} s before the first 503",
        served - granted,
        refused - granted
    );
    // The margin is a second; the grant counts from a moment before OpenBao wrote of it.
    ensure!(served - granted <= ttl, "served beyond its life");
    ensure!(refused - granted >= ttl - 1.5, "not served to its end");
    ensure!(refused < ended, "the outage was too short to show anything");
    Ok(())
}

fn of<'a>(records: &'a [Record], route: &'a str) -> impl Iterator<Item = &'a Record> {
    let records = records.iter();
    records.filter(move |it| it.route.as_deref() == Some(route))
}

/// Returns when the last request of a route was served.
fn last(records: &str, route: &str) -> Result<Option<f64>> {
    // The last line may be half written.
    let whole = records.rsplit_once('\n').map_or("", |(whole, _)| whole);
    for line in whole.lines().rev().take(LAST_LINES) {
        let record: Record = serde_json::from_str(line)?;
        if record.route.as_deref() == Some(route) && record.status == Some(200) {
            return seconds(&record.time).map(Some);
        }
    }
    Ok(None)
}

async fn configuration(lab: &Lab, database: &str, echo: &str) -> Result<String> {
    let basic = "{ basic: { username: username, password: password } }";
    let route = |name: &str| {
        format!(
            "  - {{ name: {name}, match: {{ path: /{name}/ }}, upstream: {name}, \
             consumers: [tester] }}\n"
        )
    };
    Ok(format!(
        "{}\
         credentials:\n  \
           brief: {{ from: {{ provider: vault, lease: database/creds/brief }} }}\n  \
           long: {{ from: {{ provider: vault, lease: database/creds/long }} }}\n  \
           value: {{ from: {{ provider: vault, kv: kv/app, field: api_key, poll: 5s, max_stale: 1h }} }}\n\
         upstreams:\n  \
           brief: {{ endpoints: [{database:?}], credential: brief, inject: {basic} }}\n  \
           long: {{ endpoints: [{database:?}], credential: long, inject: {basic} }}\n  \
           value: {{ endpoints: [{echo:?}], credential: value, inject: {{ header: X-Api-Key }} }}\n\
         routes:\n{}{}{}",
        vault_provider(lab).await?,
        route("brief"),
        route("long"),
        route("value"),
    ))
}

fn signal(lab: &Lab, signal: Signal) -> Result<()> {
    let id = lab.openbao.process_id().context("openbao does not run")?;
    let id = Pid::from_raw(i32::try_from(id)?).context("a process id")?;
    kill_process(id, signal).context("signal openbao")
}

fn seconds_now() -> f64 {
    time::OffsetDateTime::now_utc().unix_timestamp_nanos() as f64 / 1e9
}

/// What the promise says, and far more than it takes.
const RECOVERY: Duration = Duration::from_secs(10);
const LAST_LINES: usize = 50;
