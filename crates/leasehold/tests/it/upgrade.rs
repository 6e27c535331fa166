//! One program after the other on the same sockets, and sockets that systemd has opened.
#![expect(clippy::print_stdout, reason = "figures are what a long run is for")]

use std::ffi::OsStr;
use std::fs;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::origin::Database;
use leasehold_testkit::{GatewayProcess, Lab, Origin, Scratch, wait};
use reqwest::Client;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::operator::{leases, list};
use crate::support::{
    CONSUMER_KEY, Gateway, PATIENCE, all_served, binary, lab, no_user_left, operated_document,
    vault_provider,
};

#[tokio::test]
async fn upgrades_under_load_fail_no_request_and_leave_nothing_behind() -> Result<()> {
    under_load(ROUNDS).await
}

/// Starts that many successors, one after the other, and fails where a request did or something is left.
pub(crate) async fn under_load(rounds: u32) -> Result<()> {
    let (_turn, lab) = lab().await?;
    let origin = Origin::database(&lab.postgres).await?;
    let scratch = Scratch::new()?;
    let socket = scratch.path().join("s");
    let ledger = scratch.path().join("ledger");
    let parts = parts(&lab, &origin, &ledger).await?;
    let document = operated_document("upgraded", &socket, &parts);
    let mut gateway = Gateway::start_operated("upgraded", &socket, &parts).await?;
    gateway.ready("database").await?;

    for round in 0..rounds {
        let mut next = GatewayProcess::launch_with(binary(), &document, &upgrade(&socket))?;
        let taken_over = async {
            next.address("public").await?;
            wait::until_true("the predecessor to end", PATIENCE, async || {
                Ok(gateway.process().stderr()?.contains("\"stopped\""))
            })
            .await
        };
        let statuses = gateway
            .load("/query", Duration::from_millis(3), taken_over)
            .await?;
        println!("statuses over upgrade {round}: {statuses:?}");
        all_served(&gateway, &statuses)?;
        let mut former = gateway.succeeded_by(next);
        let status = former.ended(PATIENCE).await?;
        ensure!(status.success(), "{status}: {}", former.stderr()?);
        wait::until_true("one lease", PATIENCE, async || {
            Ok(leases(&lab, "app").await?.len() == 1)
        })
        .await?;
        let listed = list(&socket).await?;
        let instance = listed.get("instance").and_then(Value::as_str);
        ensure!(
            instance == Some("upgraded"),
            "by the same socket: {instance:?}"
        );
    }
    gateway.stop().await?;
    ensure!(!socket.exists(), "the last one removes the socket");
    no_user_left(&lab).await
}

#[tokio::test]
async fn a_successor_that_gets_no_credential_leaves_its_predecessor_serving() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let origin = Origin::database(&lab.postgres).await?;
    let scratch = Scratch::new()?;
    let socket = scratch.path().join("s");
    let sound = parts(&lab, &origin, &scratch.path().join("ledger")).await?;
    let mut gateway = Gateway::start_operated("kept", &socket, &sound).await?;
    gateway.ready("database").await?;
    let broken = sound.replace("database/creds/app", "database/creds/none");
    let broken = operated_document("kept", &socket, &broken);
    let mut successor = GatewayProcess::launch_with(binary(), &broken, &upgrade(&socket))?;
    let failed = async {
        let status = successor.ended(PATIENCE).await?;
        ensure!(!status.success(), "{status}");
        Ok(())
    };
    let statuses = gateway
        .load("/query", Duration::from_millis(5), failed)
        .await?;
    all_served(&gateway, &statuses)?;
    let told = successor.stderr()?;
    ensure!(told.contains("not to be had: user"), "{told}");
    wait::until_true("the predecessor to know", PATIENCE, async || {
        let log = gateway.process().stderr()?;
        Ok(log.contains("went away before it served"))
    })
    .await?;
    ensure!(list(&socket).await?["instance"] == "kept");

    // And it can be succeeded still.
    let sound = operated_document("kept", &socket, &sound);
    let mut successor = GatewayProcess::launch_with(binary(), &sound, &upgrade(&socket))?;
    successor.address("public").await?;
    let mut former = gateway.succeeded_by(successor);
    ensure!(
        former.ended(PATIENCE).await?.success(),
        "{}",
        former.stderr()?
    );
    gateway.stop().await?;
    no_user_left(&lab).await
}

#[tokio::test]
async fn what_a_killed_predecessor_left_is_given_back_by_its_successor() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let origin = Origin::database(&lab.postgres).await?;
    let scratch = Scratch::new()?;
    let socket = scratch.path().join("s");
    let parts = parts(&lab, &origin, &scratch.path().join("ledger")).await?;
    let document = operated_document("killed", &socket, &parts);
    let mut gateway = Gateway::start_operated("killed", &socket, &parts).await?;
    gateway.ready("database").await?;
    let before = leases(&lab, "app").await?;
    let mut successor = GatewayProcess::launch_with(binary(), &document, &upgrade(&socket))?;
    successor.address("public").await?;
    let mut former = gateway.succeeded_by(successor);
    former.kill().await?;
    wait::until_true("the former lease to be revoked", PATIENCE, async || {
        let held = leases(&lab, "app").await?;
        Ok(held.len() == 1 && held != before)
    })
    .await?;
    gateway.stop().await?;
    no_user_left(&lab).await
}

#[tokio::test]
async fn a_socket_that_systemd_opened_is_served_and_connections_wait_in_it() -> Result<()> {
    let origin = Origin::echo().await?;
    let scratch = Scratch::new()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    // Before anybody accepts.
    let client = Client::builder().no_proxy().timeout(PATIENCE).build()?;
    let early = client
        .get(format!("http://{address}/early"))
        .header("x-api-key", CONSUMER_KEY)
        .send();
    let mut waiting = JoinSet::new();
    waiting.spawn(early);
    let document = crate::support::document(&format!(
        "upstreams: {{ echo: {{ endpoints: [{:?}] }} }}\n\
         routes: [{{ name: echo, upstream: echo, consumers: [tester] }}]\n",
        origin.url()
    ));
    let config = scratch.path().join("leasehold.yaml");
    fs::write(&config, document)?;
    let script = scratch.path().join("activate");
    let text = format!(
        "#!/bin/sh\nexec 3<&0 </dev/null\nLISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=public\n\
         export LISTEN_PID LISTEN_FDS LISTEN_FDNAMES\nexec {:?} serve --config {config:?}\n",
        binary()
    );
    fs::write(&script, text)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let mut process = tokio::process::Command::from(activated(&script, listener)).spawn()?;
    let answer = waiting.join_next().await.context("an answer")???;
    ensure!(answer.status() == 200, "{answer:?}");
    ensure!(answer.text().await?.contains("/early"));
    process.kill().await?;
    Ok(())
}

fn activated(script: &Path, listener: TcpListener) -> Command {
    let mut command = Command::new(script);
    command
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

fn upgrade(socket: &Path) -> [&OsStr; 2] {
    [OsStr::new("--upgrade-from"), socket.as_os_str()]
}

async fn parts(lab: &Lab, origin: &Origin<Database>, ledger: &Path) -> Result<String> {
    Ok(format!(
        "{}\
         ledger: {{ file: {ledger:?} }}\n\
         credentials: {{ user: {{ from: {{ provider: vault, lease: database/creds/app }} }} }}\n\
         upstreams:\n  \
           database:\n    \
             endpoints: [{:?}]\n    \
             credential: user\n    \
             inject: {{ basic: {{ username: username, password: password }} }}\n\
         routes: [{{ name: database, upstream: database, consumers: [tester] }}]\n",
        vault_provider(lab).await?,
        origin.url()
    ))
}

const ROUNDS: u32 = 3;
