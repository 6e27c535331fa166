//! Many leases that are issued at once, and given back at once.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::{Lab, OpenBao, Origin, wait};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::audit::{Audit, Kind};
use super::{for_seconds, no_user_left, tune, users};
use crate::support::{Gateway, lab};

#[tokio::test]
async fn f16_f32_leases_that_began_together_are_not_renewed_together_nor_given_back_in_a_stall()
-> Result<()> {
    hold(240, "40s", 12).await
}

#[tokio::test]
#[ignore = "takes minutes; `cargo xtask bench leases`"]
async fn many_leases_are_issued_renewed_and_given_back() -> Result<()> {
    let count = option_env!("STORM_COUNT").unwrap_or("1000").parse()?;
    let ttl = option_env!("STORM_TTL").unwrap_or("300s");
    let watch = option_env!("STORM_SECONDS").unwrap_or("200").parse()?;
    hold(count, ttl, watch).await
}

async fn hold(count: usize, ttl: &str, watch: u64) -> Result<()> {
    let (_turn, lab) = lab().await?;
    lab.create_db_role("many", ttl, "24h").await?;
    // What OpenBao does by default looks through the rights of all users for each that it drops.
    let drop = "DROP ROLE IF EXISTS \"{{name}}\";";
    tune(&lab, "many", &[("revocation_statements", drop)]).await?;
    let origin = Origin::echo().await?;
    let (mut parts, keys) = if count <= MOST_CREDENTIALS {
        (users(&lab, count, "many", &origin.url()).await?, Vec::new())
    } else {
        users_of_consumers(&lab, count, &origin.url()).await?
    };
    // 20 a second are given back, and something for a machine that is slow.
    let budget = count / 10 + 30;
    parts.push_str(&format!("shutdown: {{ revoke: {budget}s }}\n"));
    let mut gateway = Gateway::start(&parts).await?;
    let began = Instant::now();
    call_all(&gateway, &keys, count).await?;
    all_active(&gateway, count).await?;
    println!("{count} leases of {ttl} held after {:?}", began.elapsed());
    print_size(&gateway)?;
    println!("{}", Audit::read(&lab.openbao.audit_log())?);
    for_seconds(watch).await?;
    let holding = Audit::read(&lab.openbao.audit_log())?;
    println!("held for {watch} s: {holding}");
    print_size(&gateway)?;
    ensure!(
        holding.issued() == count,
        "{} were issued",
        holding.issued()
    );
    ensure!(holding.rate(&[Kind::Renew]).peak <= 40, "{holding}");
    ensure!(holding.writes().peak <= 40, "{holding}");

    print_reads(
        "nothing else",
        &mut read_for(&lab.openbao, for_seconds(3)).await?,
    )?;
    let began = Instant::now();
    let stop = gateway.stop_within(LIMIT);
    let mut waits = read_for(&lab.openbao, stop).await?;
    println!("given back in {:?}", began.elapsed());
    let p99 = print_reads("its leases being given back", &mut waits)?;
    // The cascade of a token with as many leases held others up for two seconds.
    ensure!(p99 < Duration::from_secs(1), "readers waited {p99:?}");
    let audit = Audit::read(&lab.openbao.audit_log())?;
    let revoked = audit.times(&[Kind::Revoke]);
    let (first, last) = (
        revoked.first().context("none")?,
        revoked.last().context("none")?,
    );
    println!("revoked within {:.1} s; in all: {audit}", last - first);
    ensure!(audit.rate(&[Kind::Revoke]).count >= count, "{audit}");
    no_user_left(&lab).await
}

/// A thousand consumers with users of their own, in as many credentials as it takes: a document that
/// names thousands of credentials is larger than any may be.
async fn users_of_consumers(
    lab: &Lab,
    count: usize,
    origin: &str,
) -> Result<(String, Vec<String>)> {
    let query = "select 'key-' || n, encode(sha256(('key-' || n)::bytea), 'hex') \
                 from generate_series(1, 1000) n";
    let rows = lab.postgres.client().await?.query(query, &[]).await?;
    let (mut keys, mut consumers) = (Vec::new(), String::new());
    for row in rows {
        let (key, digest): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        consumers.push_str(&format!("  {key}: {{ keys: [{{ sha256: {digest} }}] }}\n"));
        keys.push(key);
    }
    let credentials = count.div_ceil(MOST_CREDENTIALS);
    let text = users(lab, credentials, "many", origin).await?;
    let own = "{ per: { consumer: { cap: 1000, idle: 24h } }, from:";
    let text = text
        .replace("{ from:", own)
        .replace("[tester]", &format!("[{}]", keys.join(", ")));
    // What all gateways have in common ends with the consumers.
    Ok((format!("{consumers}{text}"), keys))
}

/// Has each consumer ask for each of its credentials once.
async fn call_all(gateway: &Gateway, keys: &[String], count: usize) -> Result<()> {
    let mut under_way = JoinSet::new();
    let each =
        (0..count).filter_map(|n| Some((keys.get(n % MOST_CREDENTIALS)?, n / MOST_CREDENTIALS)));
    for (key, credential) in each {
        if under_way.len() >= 100 {
            under_way.join_next().await;
        }
        let request = gateway.request_as(key, &format!("/{credential}/"));
        under_way.spawn(async { anyhow::Ok(request.send().await?.status()) });
    }
    while let Some(answer) = under_way.join_next().await {
        let status = answer??;
        ensure!(status == 200 || status == 503, "{status}");
    }
    Ok(())
}

/// Waits until as many leases are served.
async fn all_active(gateway: &Gateway, count: usize) -> Result<()> {
    let mut active = 0.0;
    let outcome = wait::until_true("every lease", LIMIT, async || {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let metrics = gateway.metrics().await?;
        let lines = metrics.lines();
        let lines = lines
            .filter(|it| it.starts_with("leasehold_leases{") && it.contains("state=\"active\""));
        let counts = lines.filter_map(|it| it.rsplit_once(' ')?.1.parse::<f64>().ok());
        active = counts.sum();
        Ok(active >= f64::from(u32::try_from(count)?))
    });
    outcome
        .await
        .with_context(|| format!("{active} of {count} are active"))
}

/// For comparison: what readers wait while an anchor or a session is ended with all that hangs on it.
#[tokio::test]
#[ignore = "a measurement; `cargo xtask bench cascade`"]
async fn a_cascade_holds_readers_up() -> Result<()> {
    let count: usize = option_env!("STORM_COUNT").unwrap_or("240").parse()?;
    let (_turn, lab) = lab().await?;
    let token = orphan(&lab).await?;
    for _ in 0..count {
        let issue = lab.openbao.call(&token, "GET", "database/creds/long", None);
        ensure!(issue.await?.status == 200, "an issue");
    }
    let began = Instant::now();
    let ended = async {
        let path = "auth/token/revoke-self";
        let body = Some(serde_json::json!({}));
        lab.openbao.call(&token, "POST", path, body).await?;
        println!("the call took {:?}", began.elapsed());
        wait::until_true("all users to be gone", LIMIT, async || {
            for_seconds(1).await?;
            Ok(lab.postgres.login_roles_like("v-").await?.is_empty())
        })
        .await
    };
    let mut waits = read_for(&lab.openbao, ended).await?;
    println!("all {count} were gone after {:?}", began.elapsed());
    print_reads("a cascade", &mut waits)?;
    Ok(())
}

async fn orphan(lab: &Lab) -> Result<String> {
    let path = "auth/token/create/leasehold";
    let answer = lab.openbao.api("POST", path, Some(serde_json::json!({})));
    let answer = answer.await?;
    let token = answer.pointer("/auth/client_token");
    Ok(token
        .and_then(|it| it.as_str())
        .context("a token")?
        .to_owned())
}

/// Reads a stored value again and again until `done`, and returns what each read took.
async fn read_for(bao: &OpenBao, done: impl Future<Output = Result<()>>) -> Result<Vec<Duration>> {
    let over = AtomicBool::new(false);
    let done = async {
        let outcome = done.await;
        over.store(true, Ordering::Relaxed);
        outcome
    };
    let reading = async {
        let mut waits = Vec::new();
        while !over.load(Ordering::Relaxed) {
            let began = Instant::now();
            bao.api("GET", "kv/data/app", None).await?;
            waits.push(began.elapsed());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        anyhow::Ok(waits)
    };
    let ((), waits) = tokio::try_join!(done, reading)?;
    Ok(waits)
}

fn print_reads(beside: &str, waits: &mut [Duration]) -> Result<Duration> {
    waits.sort_unstable();
    let at = |percent: usize| waits.get(waits.len() * percent / 100);
    let (p50, p99) = (at(50).context("a read")?, at(99).context("a read")?);
    let most = waits.last().context("a read")?;
    println!(
        "{} reads beside {beside}: p50 {p50:?}, p99 {p99:?}, at most {most:?}",
        waits.len()
    );
    Ok(*p99)
}

/// Prints the memory and the open files of the gateway.
fn print_size(gateway: &Gateway) -> Result<()> {
    let id = gateway.process().process_id().context("a process")?;
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let resident = status.lines().find(|it| it.starts_with("VmRSS"));
    let files = fs::read_dir(format!("/proc/{id}/fd"))?.count();
    println!("{}, {files} files open", resident.unwrap_or_default());
    Ok(())
}

/// How many credentials of the gateway's own, and how many consumers, fit a document.
const MOST_CREDENTIALS: usize = 1000;
const LIMIT: Duration = Duration::from_secs(1200);
