//! A new configuration, put to work while the gateway serves.
#![expect(clippy::print_stdout, reason = "figures are what a long run is for")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::origin::Database;
use leasehold_testkit::{Origin, Scratch, wait};
use rustix::process::Signal;
use serde_json::Value;

use crate::operator::{leases, list, run};
use crate::support::{
    Gateway, PATIENCE, all_served, document, lab, no_user_left, operated_document, vault_provider,
};

#[tokio::test]
async fn reloads_under_load_fail_no_request_and_keep_what_has_not_changed() -> Result<()> {
    under_load(RELOADS).await
}

/// Reloads that many times, and fails where a request did or a lease was lost that should be kept.
pub(crate) async fn under_load(rounds: u32) -> Result<()> {
    let (_turn, lab) = lab().await?;
    let origin = Origin::database(&lab.postgres).await?;
    let scratch = Scratch::new()?;
    let socket = scratch.path().join("s");
    let vault = vault_provider(&lab).await?;
    let parts = |response: u32, role: &str| {
        let kept = upstream("kept", &origin, "user", response);
        let changing = upstream("changing", &origin, "other", 30);
        format!(
            "{vault}{}upstreams:\n{kept}{changing}{}",
            credentials(&[("user", "app"), ("other", role)]),
            routes(&["kept", "changing"])
        )
    };
    let mut gateway = Gateway::start_operated("reloads", &socket, &parts(30, "app")).await?;
    gateway.ready("kept").await?;
    gateway.ready("changing").await?;
    let before = lease_of(&socket, "user").await?;
    let reloads = async {
        for round in 0..rounds {
            // Every fourth changes where a credential comes from, each other one a bound of time.
            let role = if round / 4 % 2 == 0 { "app" } else { "slow" };
            gateway.configure(&operated_document(
                "reloads",
                &socket,
                &parts(30 + round, role),
            ))?;
            let said = run(&["reload", "--json"], &socket).await?;
            ensure!(said.code == 0, "round {round}: {said:?}");
            let told: Value = serde_json::from_str(&said.stdout)?;
            let fetched = usize::from(round % 4 == 0 && round > 0);
            let list = |key| told.get(key).and_then(Value::as_array);
            ensure!(
                list("fetched").map_or(0, Vec::len) == fetched,
                "round {round}: {told}"
            );
            ensure!(list("not_ready").is_some_and(Vec::is_empty), "{told}");
        }
        Ok(())
    };
    lab.create_db_role("slow", "10m", "20m").await?;
    let paths = ["/kept/query".to_owned(), "/changing/query".to_owned()];
    let statuses = gateway
        .load_all(&paths, Duration::from_millis(5), reloads)
        .await?;
    println!("statuses over {rounds} reloads: {statuses:?}");
    all_served(&gateway, &statuses)?;
    ensure!(
        lease_of(&socket, "user").await? == before,
        "the lease was kept"
    );
    let metrics = gateway.metrics().await?;
    let applied = format!("leasehold_config_reloads_total{{outcome=\"applied\"}} {rounds}");
    ensure!(metrics.contains(&applied), "{metrics}");
    let generation = format!("leasehold_config_generation {}", rounds + 1);
    ensure!(metrics.contains(&generation), "{metrics}");
    gateway.stop().await?;
    no_user_left(&lab).await
}

#[tokio::test]
async fn a_configuration_with_faults_changes_nothing_and_each_fault_is_told() -> Result<()> {
    let origin = Origin::echo().await?;
    let scratch = Scratch::new()?;
    let socket = scratch.path().join("s");
    let parts = |path: &str| {
        format!(
            "upstreams: {{ echo: {{ endpoints: [{:?}] }} }}\n\
             routes: [{{ name: echo, match: {{ path: {path:?} }}, upstream: echo, consumers: [tester] }}]\n",
            origin.url()
        )
    };
    let mut gateway = Gateway::start_operated("faulty", &socket, &parts("/one")).await?;
    ensure!(gateway.get("/one").await?.status == 200);
    let written = |parts: &str| operated_document("faulty", &socket, parts);

    let lost = parts("/two").replace("upstream: echo", "upstream: lost");
    gateway.configure(&written(&lost))?;
    let said = run(&["reload"], &socket).await?;
    ensure!(
        said.code == 1 && said.stderr.contains("nothing has changed"),
        "{said:?}"
    );
    ensure!(
        said.stderr.contains("lost") && said.stderr.contains("leasehold.yaml:"),
        "{said:?}"
    );

    let moved = written(&parts("/two")).replace("instance: faulty", "instance: other");
    gateway.configure(&moved)?;
    let said = run(&["reload"], &socket).await?;
    ensure!(
        said.code == 1 && said.stderr.contains("`instance`"),
        "{said:?}"
    );

    let unwritable = format!(
        "{}access_record: {{ to: {{ file: /nonexistent/access.jsonl }} }}\n",
        parts("/two")
    );
    gateway.configure(&written(&unwritable))?;
    let said = run(&["reload"], &socket).await?;
    ensure!(
        said.code == 1 && said.stderr.contains("access.jsonl"),
        "{said:?}"
    );
    ensure!(gateway.get("/one").await?.status == 200, "as before");
    ensure!(gateway.get("/two").await?.status == 404, "as before");

    gateway.configure(&written(&parts("/two")))?;
    let said = run(&["reload"], &socket).await?;
    ensure!(
        said.code == 0 && said.stdout.contains("Configuration 2"),
        "{said:?}"
    );
    ensure!(gateway.get("/two").await?.status == 200);
    ensure!(gateway.get("/one").await?.status == 404);
    let metrics = gateway.metrics().await?;
    let refused = "leasehold_config_reloads_total{outcome=\"refused\"} 3";
    ensure!(metrics.contains(refused), "{metrics}");
    gateway.stop().await
}

#[tokio::test]
async fn what_is_declared_no_more_is_revoked_once_its_request_has_ended() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let origin = Origin::database(&lab.postgres).await?;
    let echo = Origin::echo().await?;
    let scratch = Scratch::new()?;
    let socket = scratch.path().join("s");
    let with = format!(
        "{}{}upstreams:\n{}  echo: {{ endpoints: [{:?}] }}\n{}",
        vault_provider(&lab).await?,
        credentials(&[("user", "app")]),
        upstream("database", &origin, "user", 30),
        echo.url(),
        routes(&["database", "echo"]),
    );
    let without = format!(
        "upstreams:\n  echo: {{ endpoints: [{:?}] }}\n{}",
        echo.url(),
        routes(&["echo"])
    );
    let mut gateway = Gateway::start_operated("removes", &socket, &with).await?;
    gateway.ready("database").await?;
    ensure!(gateway.get("/database/").await?.status == 200);
    ensure!(leases(&lab, "app").await?.len() == 1);
    gateway.configure(&operated_document("removes", &socket, &without))?;
    gateway.signal(Signal::HUP)?;
    wait::until_true("the lease to be revoked", PATIENCE, async || {
        Ok(leases(&lab, "app").await?.is_empty())
    })
    .await?;
    no_user_left(&lab).await?;
    ensure!(gateway.get("/echo/").await?.status == 200);
    ensure!(gateway.get("/database/").await?.status == 404);
    wait::until_true("the login to be ended", PATIENCE, async || {
        let log = gateway.process().stderr()?;
        Ok(log.contains("nothing is held at the provider any more"))
    })
    .await?;

    // And back again.
    gateway.configure(&operated_document("removes", &socket, &with))?;
    let said = run(&["reload"], &socket).await?;
    ensure!(
        said.code == 0 && said.stdout.contains("1 (user) fetched"),
        "{said:?}"
    );
    ensure!(
        gateway.get("/database/").await?.status == 200,
        "it was waited for"
    );
    gateway.stop().await?;
    no_user_left(&lab).await
}

#[tokio::test]
async fn another_form_of_injection_is_had_with_another_generation_and_no_failure() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let origin = Origin::database(&lab.postgres).await?;
    let echo = Origin::echo().await?;
    let scratch = Scratch::new()?;
    let socket = scratch.path().join("s");
    let vault = vault_provider(&lab).await?;
    let head = format!("{vault}{}", credentials(&[("user", "app")]));
    let database = upstream("database", &origin, "user", 30);
    let one = format!("{head}upstreams:\n{database}{}", routes(&["database"]));
    let shown = format!(
        "  shown:\n    endpoints: [{:?}]\n    credential: user\n    \
         inject: {{ header: X-User, field: username }}\n",
        echo.url()
    );
    let two = format!(
        "{head}upstreams:\n{database}{shown}{}",
        routes(&["database", "shown"])
    );
    let mut gateway = Gateway::start_operated("forms", &socket, &one).await?;
    gateway.ready("database").await?;
    let before = lease_of(&socket, "user").await?;
    let reload = async {
        gateway.configure(&operated_document("forms", &socket, &two))?;
        let said = run(&["reload"], &socket).await?;
        ensure!(
            said.code == 0 && said.stdout.contains("1 (user) fetched"),
            "{said:?}"
        );
        // One form fewer takes nothing anew.
        gateway.configure(&operated_document("forms", &socket, &one))?;
        let said = run(&["reload"], &socket).await?;
        ensure!(
            said.code == 0 && said.stdout.contains("1 credentials kept"),
            "{said:?}"
        );
        gateway.configure(&operated_document("forms", &socket, &two))?;
        let said = run(&["reload"], &socket).await?;
        ensure!(
            said.code == 0 && said.stdout.contains("1 credentials kept"),
            "{said:?}"
        );
        wait::until_true("the former lease to be revoked", PATIENCE, async || {
            let held = leases(&lab, "app").await?;
            Ok(held.len() == 1 && held.first() != Some(&before))
        })
        .await
    };
    let statuses = gateway
        .load("/database/query", Duration::from_millis(5), reload)
        .await?;
    all_served(&gateway, &statuses)?;
    let answer = gateway.get("/shown/").await?;
    ensure!(answer.text.contains("x-user"), "{answer:?}");
    gateway.stop().await?;
    no_user_left(&lab).await
}

#[tokio::test]
async fn listeners_are_opened_changed_and_closed_with_the_document() -> Result<()> {
    let origin = Origin::echo().await?;
    let scratch = Scratch::new()?;
    let socket = scratch.path().join("s");
    let local = scratch.path().join("local");
    let parts = format!(
        "upstreams: {{ echo: {{ endpoints: [{:?}] }} }}\n\
         routes: [{{ name: echo, upstream: echo, consumers: [tester] }}]\n",
        origin.url()
    );
    let listening = |listeners: &str| {
        let document = operated_document("listens", &socket, &parts);
        document.replace(
            "listeners: { public: { address: \"127.0.0.1:0\" } }",
            &format!("listeners: {{ {listeners} }}"),
        )
    };
    let public = "public: { address: \"127.0.0.1:0\" }";
    let mut gateway = Gateway::start_operated("listens", &socket, &parts).await?;
    let reload = async |listeners: &str| {
        gateway.configure(&listening(listeners))?;
        run(&["reload"], &socket).await
    };
    let two = format!(
        "{public}, local: {{ address: \"unix:{}\" }}",
        local.display()
    );
    let said = reload(&two).await?;
    ensure!(
        said.code == 0 && said.stdout.contains("Opened listeners: local."),
        "{said:?}"
    );
    ensure!(local.exists());

    // One address that can't be had: nothing of the document is put to work.
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let taken = taken.local_addr()?;
    let said = reload(&format!(
        "{two}, other: {{ address: {:?} }}",
        taken.to_string()
    ))
    .await?;
    ensure!(
        said.code == 1
            && said
                .stderr
                .contains(&format!("bind listener other to {taken}")),
        "{said:?}"
    );

    let fewer = "public: { address: \"127.0.0.1:0\", limits: { headers: 40 } }";
    let said = reload(fewer).await?;
    ensure!(
        said.code == 0
            && said.stdout.contains("Changed listeners: public.")
            && said.stdout.contains("Closed listeners: local."),
        "{said:?}"
    );
    ensure!(!local.exists());
    ensure!(gateway.get("/").await?.status == 200, "where it was before");
    gateway.stop().await
}

#[tokio::test]
async fn the_keys_of_an_issuer_are_kept_while_where_they_are_from_stays() -> Result<()> {
    let origin = Origin::echo().await?;
    let scratch = Scratch::new()?;
    let socket = scratch.path().join("s");
    let keys = scratch.path().join("jwks.json");
    fs::write(&keys, JWKS)?;
    let parts = |keys: &Path, path: &str| {
        format!(
            // The first line goes on with the consumers that all have in common.
            "  alice: {{ tokens: [{{ issuer: corp, subject: alice }}] }}\n\
             token_issuers:\n  \
               corp: {{ issuer: \"https://issuer.example\", jwks: {{ file: {keys:?} }}, audiences: [gateway] }}\n\
             upstreams: {{ echo: {{ endpoints: [{:?}] }} }}\n\
             routes: [{{ name: echo, match: {{ path: {path} }}, upstream: echo, consumers: [alice] }}]\n",
            origin.url()
        )
    };
    let mut gateway = Gateway::start_operated("issuers", &socket, &parts(&keys, "/")).await?;
    let bearer = format!("Bearer {TOKEN}");
    let shown = [("authorization", bearer.as_str())];
    wait::until_true("the keys", PATIENCE, async || {
        Ok(gateway.get_with("/", &shown).await?.status == 200)
    })
    .await?;

    fs::remove_file(&keys)?;
    gateway.configure(&operated_document(
        "issuers",
        &socket,
        &parts(&keys, "/kept/"),
    ))?;
    let said = run(&["reload"], &socket).await?;
    ensure!(said.code == 0, "{said:?}");
    let answer = gateway.get_with("/kept/", &shown).await?;
    ensure!(answer.status == 200, "{answer:?}");

    let elsewhere = scratch.path().join("elsewhere.json");
    gateway.configure(&operated_document(
        "issuers",
        &socket,
        &parts(&elsewhere, "/other/"),
    ))?;
    let said = run(&["reload"], &socket).await?;
    ensure!(said.code == 0, "{said:?}");
    let answer = gateway.get_with("/other/", &shown).await?;
    ensure!(
        answer.status == 503 && answer.text.contains("issuer_keys_unavailable"),
        "{answer:?}"
    );
    gateway.stop().await
}

#[tokio::test]
async fn the_access_record_is_reopened_on_sigusr1_and_with_a_reload() -> Result<()> {
    let origin = Origin::echo().await?;
    let scratch = Scratch::new()?;
    let file = scratch.path().join("access.jsonl");
    let parts = |file: &Path| {
        format!(
            "access_record: {{ to: {{ file: {file:?} }} }}\n\
             upstreams: {{ echo: {{ endpoints: [{:?}] }} }}\n\
             routes: [{{ name: echo, upstream: echo, consumers: [tester] }}]\n",
            origin.url()
        )
    };
    let mut gateway = Gateway::start(&parts(&file)).await?;
    ensure!(gateway.get("/first").await?.status == 200);
    has(&file, "/first").await?;
    let rotated = scratch.path().join("access.jsonl.1");
    fs::rename(&file, &rotated)?;
    gateway.signal(Signal::USR1)?;
    wait::until_true("the new file", PATIENCE, async || Ok(file.exists())).await?;
    ensure!(gateway.get("/second").await?.status == 200);
    has(&file, "/second").await?;

    let elsewhere = scratch.path().join("elsewhere.jsonl");
    gateway.configure(&document(&parts(&elsewhere)))?;
    gateway.signal(Signal::HUP)?;
    wait::until_true("the other file", PATIENCE, async || Ok(elsewhere.exists())).await?;
    wait::until_true("the other sink", PATIENCE, async || {
        Ok(gateway
            .process()
            .stderr()?
            .contains("configuration applied"))
    })
    .await?;
    ensure!(gateway.get("/third").await?.status == 200);
    has(&elsewhere, "/third").await?;
    gateway.stop().await?;
    let lines = |file: &Path| Ok::<_, anyhow::Error>(fs::read_to_string(file)?.lines().count());
    ensure!(
        lines(&rotated)? + lines(&file)? + lines(&elsewhere)? == 3,
        "each once"
    );
    Ok(())
}

async fn has(file: &Path, path: &str) -> Result<()> {
    wait::until_true(&format!("the record of {path}"), PATIENCE, async || {
        Ok(fs::read_to_string(file)?.contains(path))
    })
    .await
}

/// The one lease that is held of a credential.
async fn lease_of(socket: &Path, credential: &str) -> Result<String> {
    let held = list(socket).await?;
    let held = held.get("leases").and_then(Value::as_array);
    let of_it = held
        .context("leases")?
        .iter()
        .find(|it| it["credential"] == credential);
    let lease = of_it.and_then(|it| it["lease_id"].as_str());
    Ok(lease.context("a lease")?.to_owned())
}

/// Credentials, each with the database role that it is issued by.
fn credentials(roles: &[(&str, &str)]) -> String {
    let each = roles.iter().map(|(name, role)| {
        format!("  {name}: {{ from: {{ provider: vault, lease: database/creds/{role} }} }}\n")
    });
    format!("credentials:\n{}", each.collect::<String>())
}

fn upstream(name: &str, origin: &Origin<Database>, credential: &str, response: u32) -> String {
    format!(
        "  {name}:\n    \
           endpoints: [{:?}]\n    \
           credential: {credential}\n    \
           inject: {{ basic: {{ username: username, password: password }} }}\n    \
           timeouts: {{ response: {response}s }}\n",
        origin.url()
    )
}

/// A route to each upstream, by the path that has its name.
fn routes(upstreams: &[&str]) -> String {
    let each = upstreams.iter().map(|name| {
        format!(
            "  - {{ name: {name}, match: {{ path: /{name}/ }}, upstream: {name}, consumers: [tester] }}\n"
        )
    });
    format!("routes:\n{}", each.collect::<String>())
}

/// A key of Ed25519 whose private half is gone, and what it signed: `sub` is alice, to the year 2100.
const JWKS: &str = r#"{"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "use": "sig", "alg": "EdDSA",
    "x": "2tNaZ19j91NOfaiCD5X65kqy10v1RhGG9bwILtXkt-E"}]}"#;
const TOKEN: &str = "eyJhbGciOiJFZERTQSIsImtpZCI6ImsxIn0.\
    eyJpc3MiOiJodHRwczovL2lzc3Vlci5leGFtcGxlIiwiYXVkIjoiZ2F0ZXdheSIsInN1YiI6ImFsaWNlIiwiZXhwIjo0MTAyNDQ0ODAwfQ.\
    XOd7cHC-wpXIeAyBBim4djcJqbvqSyWEUpw-p95-UovbWVFBRkSbaiX63p6du7NFgynYzt-XASg_8ufW0BExCw";

const RELOADS: u32 = 20;
