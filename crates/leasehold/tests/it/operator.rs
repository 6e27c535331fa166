//! An operator's orders to a gateway that holds real leases.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::origin::Database;
use leasehold_testkit::{Lab, Origin, Scratch, wait};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::support::{Gateway, PATIENCE, all_served, lab, vault_provider};

#[tokio::test]
async fn the_list_shows_each_lease_as_openbao_has_it() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let origin = Origin::database(&lab.postgres).await?;
    let socket = lab.dir().join("admin.sock");
    let mut gateway = start(&lab, &origin, "under-test", &socket).await?;

    let held = list(&socket).await?;
    ensure!(held["instance"] == "under-test", "{held}");
    let lease = held.pointer("/leases/0").context("a lease")?;
    let id = lease["lease_id"].as_str().context("a lease id")?;
    ensure!(leases(&lab, "app").await? == [id], "{held}");
    ensure!(
        lease["state"] == "active" && lease["generation"] == 1,
        "{lease}"
    );
    let holder = lease.pointer("/hangs_on/kind");
    ensure!(holder == Some(&json!("session")), "{lease}");
    let looked_up = lab
        .openbao
        .api("POST", "sys/leases/lookup", Some(json!({ "lease_id": id })));
    let ttl = looked_up
        .await?
        .pointer("/data/ttl")
        .and_then(Value::as_u64)
        .context("a ttl")?;
    // Looked up first and shown after that, so it can only be less; OpenBao rounds to seconds.
    let shown = run(&["lease", "show", id, "--json"], &socket).await?;
    let shown: Value = serde_json::from_str(&shown.stdout)?;
    let usable = shown["usable_for_ms"].as_u64().context("a deadline")?;
    ensure!(
        usable > 0 && usable <= (ttl + 1) * 1000,
        "{usable} of {ttl} s"
    );

    let table = run(&["lease", "list"], &socket).await?;
    ensure!(table.code == 0 && table.stdout.contains(id), "{table:?}");
    ensure!(table.stdout.contains("(lease)"), "{table:?}");
    // By the configuration, as an operator who does not know the socket would ask.
    let file = gateway.process().config_file();
    let file = file.to_str().context("a path")?;
    let by_config = command(&["lease", "list", "--config", file]).await?;
    ensure!(
        by_config.code == 0 && by_config.stdout.contains(id),
        "{by_config:?}"
    );
    let unknown = run(&["lease", "show", "database/creds/app/none"], &socket).await?;
    ensure!(
        unknown.code == 2 && unknown.stderr.contains("not held"),
        "{unknown:?}"
    );

    gateway.stop().await?;
    ensure!(!socket.exists(), "the socket stays behind");
    let log = gateway.process().stderr()?;
    ensure!(
        log.contains("\"verb\":\"list\"") && log.contains("\"uid\":"),
        "{log}"
    );
    let about = "\"verb\":\"show\",\"about\":\"database/creds/app/none\"";
    let line = log.lines().find(|it| it.contains(about));
    let line = line.context("a line of the order that named no lease")?;
    ensure!(
        line.contains("WARN") && line.contains("is not held by this instance"),
        "{line}"
    );
    gateway.assert_no_leak(&passwords(&origin))
}

#[tokio::test]
async fn a_rotation_that_was_asked_for_serves_a_new_user_without_a_failed_request() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let origin = Origin::database(&lab.postgres).await?;
    let socket = lab.dir().join("admin.sock");
    let mut gateway = start(&lab, &origin, "under-test", &socket).await?;
    let before = leases(&lab, "app").await?;
    let rotations = async {
        for former in 1..=3 {
            let rotated = run(&["lease", "rotate", "user"], &socket).await?;
            let expected = format!("from generation {former} to {}", former + 1);
            ensure!(
                rotated.code == 0 && rotated.stdout.contains(&expected),
                "{rotated:?}"
            );
            println!("{}", rotated.stdout);
        }
        Ok(())
    };
    let statuses = gateway
        .load("/query", Duration::from_millis(5), rotations)
        .await?;
    println!("statuses: {statuses:?}");
    all_served(&gateway, &statuses)?;
    wait::until_true("the former users to be gone", PATIENCE, async || {
        Ok(leases(&lab, "app").await?.len() == 1)
    })
    .await?;
    ensure!(
        leases(&lab, "app").await? != before,
        "the lease is the same"
    );
    ensure!(gateway.get("/query").await?.status == 200);
    let unknown = run(&["lease", "rotate", "none"], &socket).await?;
    ensure!(
        unknown.code == 2 && unknown.stderr.contains("none"),
        "{unknown:?}"
    );
    gateway.stop().await
}

#[tokio::test]
async fn a_revoked_lease_is_dead_in_the_database_when_the_command_returns() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let origin = Origin::database(&lab.postgres).await?;
    let socket = lab.dir().join("admin.sock");
    let mut gateway = start(&lab, &origin, "under-test", &socket).await?;
    let first = users(&lab).await?;
    let id = only(leases(&lab, "app").await?)?;
    let revoked = run(&["lease", "revoke", &id], &socket).await?;
    println!("{}", revoked.stdout);
    ensure!(
        revoked.code == 0 && revoked.stdout.contains("confirmed"),
        "{revoked:?}"
    );
    ensure!(revoked.stdout.contains(" ms "), "no latency: {revoked:?}");
    let left = users(&lab).await?;
    ensure!(
        first.iter().all(|user| !left.contains(user)),
        "{first:?} of {left:?}"
    );
    let again = run(&["lease", "revoke", &id], &socket).await?;
    ensure!(
        again.code == 2 && again.stderr.contains("not held"),
        "{again:?}"
    );

    // A lease is ended and not the credential: the next one is issued by itself.
    gateway.ready("database").await?;
    ensure!(gateway.get("/").await?.status == 200);
    let second = users(&lab).await?;
    let revoked = run(
        &["lease", "revoke", "--credential", "user", "--json"],
        &socket,
    )
    .await?;
    ensure!(revoked.code == 0, "{revoked:?}");
    let answer: Value = serde_json::from_str(&revoked.stdout)?;
    ensure!(
        answer.pointer("/revocations/0/outcome") == Some(&json!("revoked")),
        "{answer}"
    );
    let took = answer
        .pointer("/revocations/0/took_ms")
        .and_then(Value::as_u64);
    println!("revoked by credential in {took:?} ms");
    ensure!(took.is_some(), "{answer}");
    let left = users(&lab).await?;
    ensure!(
        second.iter().all(|user| !left.contains(user)),
        "{second:?} of {left:?}"
    );
    gateway.stop().await
}

#[tokio::test]
async fn revoking_one_instance_leaves_the_others_leases_and_traffic_alone() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let origin = Origin::database(&lab.postgres).await?;
    let (a, b) = (lab.dir().join("a.sock"), lab.dir().join("b.sock"));
    let mut one = start(&lab, &origin, "edge-a", &a).await?;
    let of_one = leases(&lab, "app").await?;
    let mut other = start(&lab, &origin, "edge-b", &b).await?;
    let of_other: Vec<_> = leases(&lab, "app")
        .await?
        .into_iter()
        .filter(|it| !of_one.contains(it))
        .collect();
    ensure!(
        of_one.len() == 1 && of_other.len() == 1,
        "{of_one:?} {of_other:?}"
    );

    let not_meant = run(&["lease", "revoke", "--instance"], &a).await?;
    ensure!(
        not_meant.code == 2 && not_meant.stderr.contains("--yes"),
        "{not_meant:?}"
    );
    ensure!(
        leases(&lab, "app").await?.len() == 2,
        "something was revoked"
    );
    let order = async {
        let revoked = run(&["lease", "revoke", "--instance", "--yes"], &a).await?;
        println!("{}", revoked.stdout);
        ensure!(
            revoked.code == 0 && revoked.stdout.contains(&of_one[0]),
            "{revoked:?}"
        );
        ensure!(!revoked.stdout.contains(&of_other[0]), "{revoked:?}");
        let left = leases(&lab, "app").await?;
        ensure!(
            !left.contains(&of_one[0]) && left.contains(&of_other[0]),
            "{left:?}"
        );
        Ok(())
    };
    let statuses = other
        .load("/query", Duration::from_millis(5), order)
        .await?;
    println!("statuses of the other: {statuses:?}");
    all_served(&other, &statuses)?;
    let held = list(&b).await?;
    ensure!(held["instance"] == "edge-b", "{held}");
    ensure!(
        held.pointer("/leases/0/lease_id") == Some(&json!(of_other[0])),
        "{held}"
    );
    ensure!(
        held.pointer("/leases/0/generation") == Some(&json!(1)),
        "{held}"
    );
    one.stop().await?;
    other.stop().await
}

#[tokio::test]
async fn a_gateway_that_can_not_be_asked_is_told_from_one_that_refuses() -> Result<()> {
    let scratch = Scratch::new()?;
    let nowhere = scratch.path().join("none.sock");
    let not_running = run(&["lease", "list"], &nowhere).await?;
    ensure!(
        not_running.code == 2 && not_running.stderr.contains("is it running"),
        "{not_running:?}"
    );
    drop(std::os::unix::net::UnixListener::bind(&nowhere)?);
    let dead = run(&["lease", "list"], &nowhere).await?;
    ensure!(
        dead.code == 2 && dead.stderr.contains("is it running"),
        "{dead:?}"
    );

    let config = scratch.path().join("leasehold.yaml");
    let text = "instance: x\nlisteners: { public: { address: \"127.0.0.1:0\" } }\n\
                upstreams: { u: { endpoints: [\"http://127.0.0.1:1\"] } }\n\
                routes: [{ name: r, upstream: u, consumers: anyone }]\n";
    std::fs::write(&config, text)?;
    let config = config.to_str().context("a path")?;
    let unset = command(&["lease", "list", "--config", config]).await?;
    ensure!(
        unset.code == 2 && unset.stderr.contains("declares no operator's socket"),
        "{unset:?}"
    );
    let unnamed = command(&["lease", "list"]).await?;
    ensure!(
        unnamed.code == 2 && unnamed.stderr.contains("--socket"),
        "{unnamed:?}"
    );
    let targetless = run(&["lease", "revoke"], &nowhere).await?;
    ensure!(targetless.code == 2, "{targetless:?}");
    let both = run(&["lease", "revoke", "x", "--instance", "--yes"], &nowhere).await?;
    ensure!(both.code == 2, "{both:?}");
    Ok(())
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

pub(crate) async fn run(arguments: &[&str], socket: &Path) -> Result<Said> {
    let socket = socket.to_str().context("a path")?;
    let arguments: Vec<&str> = arguments
        .iter()
        .copied()
        .chain(["--socket", socket])
        .collect();
    command(&arguments).await
}

pub(crate) async fn command(arguments: &[&str]) -> Result<Said> {
    let output = Command::new(env!("CARGO_BIN_EXE_leasehold"))
        .args(arguments)
        .env_clear()
        .output()
        .await?;
    Ok(Said {
        code: output.status.code().context("a code")?,
        stdout: String::from_utf8(output.stdout)?,
        stderr: String::from_utf8(output.stderr)?,
    })
}

pub(crate) async fn list(socket: &Path) -> Result<Value> {
    let said = run(&["lease", "list", "--json"], socket).await?;
    ensure!(said.code == 0, "{said:?}");
    Ok(serde_json::from_str(&said.stdout)?)
}

/// Starts a gateway with a database user of a minute, and waits until it serves.
async fn start(
    lab: &Lab,
    origin: &Origin<Database>,
    instance: &str,
    socket: &Path,
) -> Result<Gateway> {
    let parts = format!(
        "{}\
         credentials: {{ user: {{ from: {{ provider: vault, lease: database/creds/app }} }} }}\n\
         upstreams:\n  \
           database:\n    \
             endpoints: [{:?}]\n    \
             credential: user\n    \
             inject: {{ basic: {{ username: username, password: password }} }}\n\
         routes: [{{ name: database, upstream: database, consumers: [tester] }}]\n",
        vault_provider(lab).await?,
        origin.url()
    );
    let mut gateway = Gateway::start_operated(instance, socket, &parts).await?;
    gateway.ready("database").await?;
    ensure!(gateway.get("/").await?.status == 200);
    Ok(gateway)
}

/// The leases of a database role, as OpenBao lists them.
pub(crate) async fn leases(lab: &Lab, role: &str) -> Result<Vec<String>> {
    let prefix = format!("database/creds/{role}");
    let path = format!("sys/leases/lookup/{prefix}");
    let answer = lab
        .openbao
        .call(lab.openbao.root_token(), "LIST", &path, None)
        .await?;
    let keys = answer.body.pointer("/data/keys").and_then(Value::as_array);
    let ids = keys.into_iter().flatten().filter_map(Value::as_str);
    Ok(ids.map(|id| format!("{prefix}/{id}")).collect())
}

async fn users(lab: &Lab) -> Result<Vec<String>> {
    lab.postgres.login_roles_like("v-").await
}

fn only(mut ids: Vec<String>) -> Result<String> {
    ensure!(ids.len() == 1, "{ids:?}");
    ids.pop().context("one")
}

fn passwords(origin: &Origin<Database>) -> Vec<String> {
    origin
        .pairs()
        .into_iter()
        .map(|(_, password)| password)
        .collect()
}
