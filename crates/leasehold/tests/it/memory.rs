//! What is left of a credential in the gateway's memory.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leasehold_testkit::memory::copies;
use leasehold_testkit::{GatewayProcess, Lab, Origin, Scratch, secret, wait};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::json;

use crate::support::{
    Gateway, PATIENCE, binary as binary_under_test, document, lab, vault_provider,
};

/// A stored key, over plain HTTP/1.1 and over HTTP/2 with TLS, while nobody asks for anything any more.
#[tokio::test]
async fn nothing_is_left_of_a_key_that_was_replaced() -> Result<()> {
    let (_turn, lab) = lab().await?;
    let keys = [secret()?, secret()?, secret()?];
    put(&lab, &keys[0]).await?;
    let plain = Origin::echo().await?;
    let secure = Origin::echo_tls().await?;
    let ca = secure.ca_pem().context("it speaks TLS")?.to_owned();
    let mut gateway = observable(&format!(
        "{}\
         credentials:\n  \
           key: {{ from: {{ provider: vault, kv: kv/payments, field: key, poll: 1s }} }}\n\
         upstreams:\n  \
           plain: {{ endpoints: [{:?}], credential: key, inject: {{ header: Authorization, prefix: 'Bearer ' }} }}\n  \
           secure: {{ endpoints: [{:?}], ca: {ca:?}, credential: key, inject: {{ header: X-Api-Key }} }}\n\
         routes:\n  \
           - {{ name: plain, match: {{ path: /plain/ }}, upstream: plain, consumers: [tester] }}\n  \
           - {{ name: secure, match: {{ path: /secure/ }}, upstream: secure, consumers: [tester] }}\n",
        vault_provider(&lab).await?,
        plain.url(),
        secure.url(),
    ))
    .await?;
    gateway.ready("plain").await?;
    for (key, next) in keys.iter().zip(keys.iter().skip(1)) {
        for path in ["/plain/", "/secure/"].repeat(20) {
            ensure!(gateway.get(path).await?.text.contains(key), "{path}");
        }
        let process = process(&gateway)?;
        ensure!(
            !copies(process, &[key])?.is_empty(),
            "the search finds what is there"
        );
        put(&lab, next).await?;
        activated(&gateway, "key").await?;
        gone(process, key).await?;
    }
    gateway.stop().await
}

/// A login of a database, whose lease runs out and is replaced, while nobody asks for anything any more.
#[tokio::test]
async fn nothing_is_left_of_a_login_that_was_given_back() -> Result<()> {
    let (_turn, lab) = lab().await?;
    lab.create_db_role("short", "3s", "3s").await?;
    let origin = Origin::echo().await?;
    let mut gateway = observable(&format!(
        "{}\
         credentials:\n  \
           login: {{ from: {{ provider: vault, lease: database/creds/short }} }}\n\
         upstreams:\n  \
           origin:\n    \
             endpoints: [{:?}]\n    \
             credential: login\n    \
             inject: {{ basic: {{ username: username, password: password }} }}\n\
         routes: [{{ name: origin, upstream: origin, consumers: [tester] }}]\n",
        vault_provider(&lab).await?,
        origin.url(),
    ))
    .await?;
    gateway.ready("origin").await?;
    for _ in 0..3 {
        let password = password(&gateway.get("/").await?.text)?;
        activated(&gateway, "login").await?;
        gone(process(&gateway)?, &password).await?;
    }
    gateway.stop().await
}

/// Whoever runs as the same user reads nothing of the gateway, and its crash leaves no core.
#[tokio::test]
async fn nobody_reads_the_memory_and_no_crash_writes_it_down() -> Result<()> {
    let scratch = Scratch::new()?;
    // Where this is root, the gateway and the reader are both another user.
    let binary = scratch.path().join("leasehold");
    let config = scratch.path().join("leasehold.yaml");
    fs::copy(binary_under_test(), &binary)?;
    fs::write(&config, SIMPLE)?;
    for (path, mode) in [(scratch.path(), 0o777), (&binary, 0o755), (&config, 0o644)] {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    let serve = "ulimit -c hard; exec ./leasehold serve --config leasehold.yaml";
    let mut serve = as_somebody(&["sh", "-c", serve]);
    let mut gateway = Running::start(serve.current_dir(scratch.path()).stderr(Stdio::piped()))?;
    let other = Running::start(&mut as_somebody(&["sleep", "1000"]))?;
    let mut log = BufReader::new(gateway.0.stderr.take().context("a pipe")?);
    let mut said = String::new();
    while !said.contains("listening") {
        ensure!(log.read_line(&mut said)? > 0, "it ended: {said}");
    }
    let reads = |process: u32| {
        // The memory is asked for as a debugger would: whoever may open it may read it.
        let files = ["maps", "environ", "auxv", "mem"].map(|it| format!("/proc/{process}/{it}"));
        let [maps, environ, auxv, memory] = files.each_ref().map(String::as_str);
        let open = format!(": < {memory}");
        let can = |words: &[&str]| {
            let output = as_somebody(words).stderr(Stdio::null()).output();
            output.map(|it| it.status.success())
        };
        Ok::<_, anyhow::Error>([
            can(&["cat", maps])?,
            can(&["cat", environ])?,
            can(&["cat", auxv])?,
            can(&["sh", "-c", &open])?,
        ])
    };
    ensure!(reads(other.0.id())? == [true; 4], "the test can tell");
    ensure!(
        reads(gateway.0.id())? == [false; 4],
        "the gateway can be read"
    );
    // Rust's own handler takes the first for a stack that has overflowed, finds that it has not, and steps
    // aside for the next.
    let ended = loop {
        kill_process(pid(&gateway.0)?, Signal::SEGV)?;
        if let Some(ended) = gateway.0.try_wait()? {
            break ended;
        }
    };
    ensure!(ended.signal() == Some(Signal::SEGV.as_raw()), "{ended:?}");
    ensure!(!ended.core_dumped(), "{ended:?}");
    let left: Vec<_> = fs::read_dir(scratch.path())?
        .map(|it| Ok::<_, anyhow::Error>(it?.file_name()))
        .collect::<Result<_>>()?;
    ensure!(left.len() == 2, "{left:?}");
    Ok(())
}

async fn observable(parts: &str) -> Result<Gateway> {
    let document = document(parts);
    let started = GatewayProcess::start_observable(binary_under_test(), &document);
    Gateway::of(started.await?).await
}

/// Returns a command that runs as an ordinary user.
fn as_somebody(words: &[&str]) -> Command {
    let (drop, own): (&[&str], _) = if geteuid().is_root() {
        (
            &[
                "setpriv",
                "--reuid=65534",
                "--regid=65534",
                "--clear-groups",
            ],
            words,
        )
    } else {
        (&[], words)
    };
    let mut words = drop.iter().chain(own);
    let mut command = Command::new(words.next().copied().unwrap_or_default());
    command.args(words);
    command
}

/// A process that does not outlive its test.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Result<Self> {
        Ok(Self(command.stdout(Stdio::null()).spawn()?))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended; nothing can be done about anything else.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn pid(child: &Child) -> Result<Pid> {
    Pid::from_raw(i32::try_from(child.id())?).context("a process id")
}

async fn put(lab: &Lab, key: &str) -> Result<()> {
    lab.openbao
        .kv_put("kv", "payments", json!({ "key": key }))
        .await?;
    Ok(())
}

fn process(gateway: &Gateway) -> Result<u32> {
    gateway.process().process_id().context("it runs")
}

/// Waits until one more generation has come into service, and the one before is no more.
async fn activated(gateway: &Gateway, credential: &str) -> Result<()> {
    let counted = async || {
        let metrics = gateway.metrics().await?;
        let name = format!("leasehold_generations_activated_total{{credential=\"{credential}\"}} ");
        let line = metrics.lines().find_map(|it| it.strip_prefix(&name));
        Ok::<u64, anyhow::Error>(line.context("it is counted")?.parse()?)
    };
    let before = counted().await?;
    wait::until_true("a successor", PATIENCE, async || {
        Ok(counted().await? > before)
    })
    .await
}

/// Waits until no copy is left, and looks once more: nothing may come back.
async fn gone(process: u32, secret: &str) -> Result<()> {
    let mut left = Vec::new();
    let gone = wait::until_true("the last copy to be gone", WITHIN, async || {
        left = copies(process, &[secret])?;
        Ok(left.is_empty())
    });
    gone.await.with_context(|| format!("{left:#x?}"))?;
    let left = copies(process, &[secret])?;
    ensure!(left.is_empty(), "{left:#x?}");
    Ok(())
}

/// Returns the password that an echo shows.
fn password(echo: &str) -> Result<String> {
    let (_, basic) = echo.split_once("Basic ").context("a login")?;
    let (basic, _) = basic.split_once('"').context("its end")?;
    let login = String::from_utf8(STANDARD.decode(basic)?)?;
    let (_, password) = login.split_once(':').context("a password")?;
    Ok(password.to_owned())
}

/// How long after its retirement a credential may be found.
const WITHIN: Duration = Duration::from_secs(5);
const SIMPLE: &str = "\
instance: readable
listeners: { public: { address: \"127.0.0.1:0\" } }
admin: { address: \"127.0.0.1:0\" }
upstreams: { nowhere: { endpoints: [\"http://127.0.0.1:9\"] } }
routes: [{ name: r, upstream: nowhere, consumers: anyone }]
";
