//! A ledger that can't be used, and one that can't be written.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use leasehold_ledger::Ledger;
use leasehold_testkit::{GatewayProcess, Scratch, audit_entries, wait};
use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::scene::Scene;
use crate::support::{Gateway, PATIENCE, binary, document, lab};

#[tokio::test]
async fn a_damaged_ledger_stops_the_start_and_a_repaired_one_finds_what_was_left() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let scene = Scene::new(lab).await?;
    let mut gateway = scene.serve().await?;
    gateway.kill().await?;
    let before = scene.remains().await?;
    ensure!(before.users.len() == 3, "{before:?}");
    let file = scene.ledger_file();
    let mut bytes = fs::read(&file)?;
    bytes.get_mut(..64).context("a header")?.fill(0);
    fs::write(&file, bytes)?;

    let said = refused(&scene.parts).await?;
    let remedy = format!("`leasehold ledger repair --file {}`", file.display());
    ensure!(
        said.contains("open the ledger") && said.contains(&remedy),
        "{said}"
    );
    ensure!(
        scene.remains().await?.tokens == before.tokens,
        "it logged in"
    );

    let mut repair = Command::new(binary());
    let repaired = repair
        .args(["ledger", "repair", "--file"])
        .arg(&file)
        .output()?;
    ensure!(repaired.status.success(), "{repaired:?}");
    let mut gateway = scene.serve().await?;
    wait::until_true("what was left to be gone", PATIENCE, async || {
        let now = scene.remains().await?;
        Ok(before.still_in(&now, &before.tokens).is_empty())
    })
    .await?;
    gateway.stop().await?;
    scene.nothing_is_left().await
}

#[tokio::test]
async fn a_ledger_in_use_or_of_another_instance_stops_the_start() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path().join("ledger.redb");
    let parts = format!("ledger: {{ file: {file:?} }}\n{OPEN}");
    let mut gateway = Gateway::start(&parts).await?;
    let said = refused(&parts).await?;
    ensure!(said.contains("is in use by another process"), "{said}");
    gateway.stop().await?;

    fs::remove_file(&file)?;
    Ledger::open(&file, &"another".into())?.0.close()?;
    let said = refused(&parts).await?;
    let whose = "belongs to instance another and not to under-test";
    ensure!(said.contains(whose), "{said}");
    Ok(())
}

#[tokio::test]
async fn a_full_disk_stops_new_leases_and_nothing_else_until_there_is_room() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let scene = Scene::new(lab).await?;
    // With the signal ignored, the limit is an error of the write, as a full disk is.
    let deaf = scene.lab.dir().join("leasehold");
    let script = format!("#!/bin/sh\ntrap '' XFSZ\nexec {:?} \"$@\"\n", binary());
    fs::write(&deaf, script)?;
    fs::set_permissions(&deaf, PermissionsExt::from_mode(0o755))?;
    let process = GatewayProcess::start(&deaf, &document(&scene.parts)).await?;
    let mut gateway = Gateway::of(process).await?;
    for route in ["lasting", "refused", "brief"] {
        gateway.ready(route).await?;
    }

    limit(&gateway, Some(1))?;
    until_metric(&mut gateway, |it| {
        it.contains("failures ") && !it.contains("failures 0")
    })
    .await?;
    let issued = issues(&scene)?;
    wait::until_true("the brief credential to run out", PATIENCE, async || {
        let answer = gateway.get("/lasting/").await?;
        ensure!(answer.status == 200, "what is held serves on: {answer:?}");
        Ok(gateway.get("/brief/").await?.status == 503)
    })
    .await?;
    let meanwhile = issues(&scene)?;
    ensure!(issued == meanwhile, "{issued} issues and then {meanwhile}");

    limit(&gateway, None)?;
    gateway.ready("brief").await?;
    ensure!(
        gateway.get("/brief/").await?.status == 200,
        "it serves again"
    );
    ensure!(issues(&scene)? > issued, "by a new lease");
    until_metric(&mut gateway, |it| it.contains("unwritten 0\n")).await?;
    gateway.stop().await?;
    scene.nothing_is_left().await
}

#[tokio::test]
async fn leased_credentials_without_a_ledger_are_warned_of_at_the_start() -> Result<()> {
    let mut gateway = Gateway::start(LEASED).await?;
    let log = gateway.process().stderr()?;
    ensure!(log.contains("no ledger is configured"), "{log}");
    gateway.stop().await
}

/// Starts a gateway that refuses to start, and returns why.
async fn refused(parts: &str) -> Result<String> {
    let started = GatewayProcess::start(binary(), &document(parts)).await;
    let why = started.err().context("it started")?;
    Ok(format!("{why:#}"))
}

/// Counts the leases that were asked for.
fn issues(scene: &Scene) -> Result<usize> {
    let entries = audit_entries(&scene.lab.openbao.audit_log())?;
    let asked = entries.iter().filter(|it| {
        let path = it.pointer("/request/path").and_then(|it| it.as_str());
        it["type"] == "request" && path.is_some_and(|it| it.starts_with("database/creds/"))
    });
    Ok(asked.count())
}

async fn until_metric(gateway: &mut Gateway, holds: impl Fn(&str) -> bool) -> Result<()> {
    wait::until_true("the metrics of the ledger", PATIENCE, async || {
        let metrics = gateway.admin("/metrics").await?.text;
        let mut of_ledger = metrics
            .lines()
            .filter(|it| it.starts_with("leasehold_ledger_"));
        Ok(of_ledger.any(|it| holds(&format!("{it}\n"))))
    })
    .await
}

/// Lets a gateway write no byte of a file beyond the first `bytes`.
fn limit(gateway: &Gateway, bytes: Option<u64>) -> Result<()> {
    let id = gateway.process().process_id().context("it runs")?;
    let id = Pid::from_raw(i32::try_from(id)?);
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(id, Resource::Fsize, limit).context("limit the size of files")?;
    Ok(())
}

/// A route that needs no provider.
const OPEN: &str = "\
upstreams: { open: { endpoints: [\"http://127.0.0.1:9\"] } }
routes: [{ upstream: open, consumers: anyone }]
";
/// A route with a credential that nobody issues.
const LEASED: &str = "\
providers: { vault: { kind: vault, address: \"http://127.0.0.1:9\", auth: { approle: { role_id: none, secret_id: { file: /none } } } } }
credentials: { leased: { from: { provider: vault, lease: database/creds/x } } }
upstreams: { open: { endpoints: [\"http://127.0.0.1:9\"], credential: leased, inject: { header: X-Api-Key, field: password } } }
routes: [{ upstream: open, consumers: anyone }]
";
