//! A gateway killed at moments drawn at random, and the next one that cleans up after it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fastrand::Rng;
use leasehold_testkit::{GatewayProcess, wait};
use serde_json::Value;
use tokio::time::{Instant, sleep, timeout};

use super::scene::{AuditLog, Remains, Scene, accessors, held};
use crate::support::{CONSUMER_KEY, binary, document, lab};

/// `cargo xtask crash-runs --runs 200 --seed 1` does the same more often.
#[tokio::test]
async fn what_a_gateway_killed_at_any_moment_left_is_gone_within_a_minute_of_the_next_start()
-> Result<()> {
    let (_turn, lab) = lab().await?;
    let scene = Scene::new(lab).await?;
    let first = number(option_env!("CRASH_SEED"), fastrand::u64(..1_000_000))?;
    let runs = number(option_env!("CRASH_RUNS"), RUNS)?;
    let mut toll = Toll::default();
    for seed in first..first.saturating_add(runs) {
        let mut rng = Rng::with_seed(seed);
        let moment = Moment::draw(&mut rng);
        println!("seed {seed}: {moment:?}");
        let run = Box::pin(run(&scene, moment, &mut toll)).await;
        run.with_context(|| format!("replay: cargo xtask crash-runs --runs 1 --seed {seed}"))?;
    }
    println!("{toll:#?}");
    // Whoever kills what holds nothing proves nothing.
    ensure!(runs < RUNS || toll.leases > 0, "no lease was ever left");
    Ok(())
}

/// What all runs came to.
#[derive(Debug, Default)]
struct Toll {
    runs: u64,
    /// Leases that killed gateways left.
    leases: usize,
    /// Those of them whose ids the ledger did not know: they hung on the holder that an intent names.
    unnamed: usize,
    /// Users without a lease at OpenBao.
    users_without_lease: usize,
    intents: usize,
    /// Runs in which something was left.
    with_orphans: u64,
    /// Tokens that the ledger did not know; nothing hangs on them.
    strays: BTreeSet<String>,
    /// Leases that OpenBao lists and never told anybody of: it gave up issuing them when the gateway
    /// was gone, dropped the user and left the entry.
    shells: BTreeSet<String>,
    slowest_since_start: Duration,
    slowest_since_kill: Duration,
}

async fn run(scene: &Scene, moment: Moment, toll: &mut Toll) -> Result<()> {
    let issued = live_until(scene, moment).await?;
    let killed = Instant::now();
    let left = held(scene.ledger()?);
    let mut before = scene.remains().await?;
    let shells = before.take_shells(&issued);
    toll.shells.extend(shells);
    let known = accessors(&left);
    toll.count(&left, &before, &known);

    let started = Instant::now();
    let mut gateway = scene.serve().await?;
    let gone = async || {
        let now = scene.remains().await?;
        let answer = gateway.get("/lasting/").await?;
        ensure!(answer.status == 200, "the next one serves: {answer:?}");
        Ok(before.still_in(&now, &known).is_empty())
    };
    wait::until_true("the former gateway's to be gone", MINUTE, gone)
        .await
        .with_context(|| format!("{left:#?}\n{before:#?}"))?;
    toll.slowest_since_start = toll.slowest_since_start.max(started.elapsed());
    toll.slowest_since_kill = toll.slowest_since_kill.max(killed.elapsed());
    gateway.stop().await?;
    scene.swept().await?;
    scene.nothing_is_left_but(&toll.strays, &toll.shells).await
}

impl Toll {
    fn count(&mut self, left: &leasehold_ledger::Held, before: &Remains, known: &BTreeSet<String>) {
        let named: BTreeSet<_> = left
            .leases
            .iter()
            .map(|it| it.lease_id.to_string())
            .collect();
        self.runs += 1;
        self.leases += before.leases.len();
        self.unnamed += before.leases.difference(&named).count();
        self.users_without_lease += before.users.len().saturating_sub(before.leases.len());
        self.intents += left.intents.len();
        self.with_orphans += u64::from(!before.leases.is_empty());
        self.strays.extend(before.tokens.difference(known).cloned());
    }
}

/// When a gateway is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after its start.
    After(Duration),
    /// So long after OpenBao has written the nth such entry into its audit log, which it does before it
    /// carries a request out and before it answers.
    Seen {
        kind: &'static str,
        path: &'static str,
        nth: usize,
        then: Duration,
    },
}

impl Moment {
    fn draw(rng: &mut Rng) -> Self {
        match rng.u8(..4) {
            0 => Self::After(Duration::from_millis(rng.u64(..800))),
            1 => Self::After(Duration::from_millis(rng.u64(..6000))),
            _ => Self::Seen {
                kind: if rng.bool() { "request" } else { "response" },
                path: rng.choice(PATHS).unwrap_or(ISSUE),
                nth: rng.usize(1..4),
                then: Duration::from_micros(rng.u64(..20_000)),
            },
        }
    }

    async fn come(self, mut log: AuditLog) -> Result<()> {
        let (kind, path, mut nth, then) = match self {
            Self::After(time) => {
                sleep(time).await;
                return Ok(());
            }
            Self::Seen {
                kind,
                path,
                nth,
                then,
            } => (kind, path, nth, then),
        };
        loop {
            for entry in log.read()? {
                if at(&entry, "/type") == kind && at(&entry, "/request/path").starts_with(path) {
                    nth -= 1;
                    if nth == 0 {
                        sleep(then).await;
                        return Ok(());
                    }
                }
            }
            sleep(GLANCE).await;
        }
    }
}

/// Runs a gateway and kills it at the moment, or after some seconds where that does not come. Returns
/// once OpenBao is done with everything that it was asked, with the leases that it has answered with.
async fn live_until(scene: &Scene, moment: Moment) -> Result<BTreeSet<String>> {
    let audit = scene.lab.openbao.audit_log();
    let come = moment.come(AuditLog::follow(&audit)?);
    let mut all = AuditLog::follow(&audit)?;
    let mut process = GatewayProcess::launch(binary(), &document(&scene.parts))?;
    tokio::select! {
        come = timeout(LONGEST_LIFE, come) => come.unwrap_or(Ok(()))?,
        never = provoke(&mut process) => never?,
    }
    process.kill().await?;
    let (mut asked, mut issued) = (BTreeSet::new(), BTreeSet::new());
    wait::until_true("openbao to answer what it was asked", MINUTE, async || {
        for entry in all.read()? {
            let id = at(&entry, "/request/id").to_owned();
            issued.insert(at(&entry, "/response/secret/lease_id").to_owned());
            match at(&entry, "/type") {
                "request" => asked.insert(id),
                _ => asked.remove(&id),
            };
        }
        Ok(asked.is_empty())
    })
    .await?;
    Ok(issued)
}

/// Has an upstream refuse the gateway's credential, over and over, so that long leases are rotated and
/// revoked, too. Ends only where it fails.
async fn provoke(process: &mut GatewayProcess) -> Result<()> {
    let address = process.address("public").await?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://{address}/refused/");
    loop {
        let request = client.get(&url).header("x-api-key", CONSUMER_KEY);
        request.send().await?;
        sleep(Duration::from_millis(100)).await;
    }
}

fn at<'a>(entry: &'a Value, pointer: &str) -> &'a str {
    entry.pointer(pointer).and_then(Value::as_str).unwrap_or("")
}

fn number(given: Option<&str>, otherwise: u64) -> Result<u64> {
    given.map_or(Ok(otherwise), |it| it.parse().context("a number"))
}

const RUNS: u64 = 20;
const MINUTE: Duration = Duration::from_secs(60);
/// Longer than the brief credential lives, so that its rotation lies within.
const LONGEST_LIFE: Duration = Duration::from_secs(8);
const GLANCE: Duration = Duration::from_millis(1);
const ISSUE: &str = "database/creds/";
const PATHS: [&str; 6] = [
    "auth/approle/login",
    "auth/token/create/leasehold",
    ISSUE,
    ISSUE,
    "sys/leases/renew",
    "sys/leases/revoke",
];
