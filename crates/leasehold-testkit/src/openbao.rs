use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{Client, StatusCode};
use rustix::process::Signal;
use serde_json::json;

use crate::process::{Process, command};
use crate::{random, tools, wait};

mod api;
mod config;
mod tls;

pub use api::Answer;

use config::{Audit, Config};

/// An OpenBao server of its own: initialised, unsealed and empty, with raft storage and two audit
/// devices. Not the development mode, which keeps everything in memory and can't be sealed.
#[derive(Debug)]
pub struct OpenBao {
    bao: PathBuf,
    dir: PathBuf,
    port: u16,
    http: Client,
    root_token: String,
    unseal_key: String,
    /// The name among the nodes of a cluster.
    node: String,
    audit: Audit,
    /// Whether it serves only where it is active, because there is no other node.
    alone: bool,
    process: Option<Process>,
    tls: Option<tls::Tls>,
}

impl OpenBao {
    /// Starts a server below `dir`, on 127.0.0.1 only, and waits until it is unsealed and active.
    ///
    /// # Errors
    ///
    /// When `bao` is not installed or the server does not come up.
    pub async fn start(dir: &Path) -> Result<Self> {
        Self::start_first(dir, Audit::Files, None).await
    }

    /// As [`OpenBao::start`], with one audit device: each entry is posted to `url`, and what is
    /// refused there is refused to the client.
    ///
    /// # Errors
    ///
    /// As [`OpenBao::start`].
    pub async fn start_audited_by(dir: &Path, url: &str) -> Result<Self> {
        Self::start_first(dir, Audit::Http(url.to_owned()), None).await
    }

    async fn start_first(dir: &Path, audit: Audit, tls: Option<tls::Tls>) -> Result<Self> {
        let mut server = Self::launch_new(dir, FIRST_NODE, audit, tls).await?;
        server.initialise().await?;
        server.unseal().await?;
        Ok(server)
    }

    /// Starts another node of a cluster, below a directory of its own in `dir`.
    pub(crate) async fn join(dir: &Path, node: &str, first: &Self) -> Result<Self> {
        let mut server = Self::launch_new(dir, node, first.audit.clone(), None).await?;
        server.root_token.clone_from(&first.root_token);
        server.unseal_key.clone_from(&first.unseal_key);
        let leader = json!({ "leader_api_addr": first.address() });
        let path = "sys/storage/raft/join";
        let answer = server.call("", "POST", path, Some(leader)).await?;
        ensure!(answer.status == 200, "join: {}", answer.text());
        server.stand_by();
        server.unseal().await?;
        Ok(server)
    }

    /// Takes the server for one of several nodes: from now on it serves as a standby too.
    pub(crate) const fn stand_by(&mut self) {
        self.alone = false;
    }

    async fn launch_new(
        dir: &Path,
        node: &str,
        audit: Audit,
        tls: Option<tls::Tls>,
    ) -> Result<Self> {
        let dir = dir.join(if node == FIRST_NODE { "openbao" } else { node });
        fs::create_dir_all(dir.join("raft")).with_context(|| format!("make {}", dir.display()))?;
        let mut server = Self {
            bao: tools::bao()?,
            dir,
            port: 0,
            http: api::client()?,
            root_token: String::new(),
            unseal_key: String::new(),
            node: node.to_owned(),
            audit,
            alone: true,
            process: None,
            tls,
        };
        server.start_on_a_free_port().await?;
        Ok(server)
    }

    /// Returns the server's address, `http://127.0.0.1:<port>`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the token that may do everything.
    #[must_use]
    pub fn root_token(&self) -> &str {
        &self.root_token
    }

    /// Returns the audit file that hashes accessors, as devices do unless told otherwise.
    #[must_use]
    pub fn audit_log(&self) -> PathBuf {
        self.dir.join("audit.log")
    }

    /// Returns the audit file of the device with `hmac_accessor=false`, which shows accessors.
    #[must_use]
    pub fn audit_log_with_accessors(&self) -> PathBuf {
        self.dir.join("audit-accessors.log")
    }

    /// Returns the server's process id, while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Runs a script of `bao` commands in a shell, as root, and returns what it printed.
    ///
    /// # Errors
    ///
    /// When a command of it fails; the error has what it printed.
    pub async fn shell(&self, script: &str) -> Result<String> {
        let programs = self.bao.parent().context("bao has a directory")?;
        let mut shell = command(Path::new("/bin/sh"), &self.dir);
        shell
            .args(["-ec", script])
            .env("PATH", format!("{}:/usr/bin:/bin", programs.display()))
            .env("BAO_ADDR", self.address())
            .env("BAO_TOKEN", &self.root_token)
            .stdin(Stdio::null());
        let ended = tokio::task::spawn_blocking(move || shell.output()).await?;
        let output = ended.context("run a shell")?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        ensure!(
            output.status.success(),
            "{script}\n{}{}",
            text(&output.stdout),
            text(&output.stderr)
        );
        Ok(text(&output.stdout))
    }

    /// Seals the server: it answers 503 until it is unsealed.
    ///
    /// # Errors
    ///
    /// When the server is not up.
    pub async fn seal(&self) -> Result<()> {
        self.api("PUT", "sys/seal", None).await?;
        Ok(())
    }

    /// Unseals the server and waits until it is active; a node that joined a cluster, until it
    /// serves.
    ///
    /// # Errors
    ///
    /// When the server does not come to that in time.
    pub async fn unseal(&self) -> Result<()> {
        self.give_key().await?;
        wait::until_true("openbao to be active", READY_LIMIT, async || {
            let health = self.health().await;
            let serves = health == Some(STANDBY) && !self.alone;
            Ok(serves || health == Some(StatusCode::OK))
        })
        .await
    }

    /// Gives the server the key that unseals it, and does not wait for what comes of it.
    ///
    /// # Errors
    ///
    /// When the server is not up or refuses the key.
    pub async fn give_key(&self) -> Result<()> {
        let key = json!({ "key": self.unseal_key });
        let answer = self.call("", "PUT", "sys/unseal", Some(key)).await?;
        ensure!(answer.status == 200, "unseal: {}", answer.text());
        Ok(())
    }

    /// Tells whether the server is the one that writes.
    pub(crate) async fn is_active(&self) -> bool {
        self.health().await == Some(StatusCode::OK)
    }

    /// Kills the server, as a crash would; its data stay.
    pub fn kill(&mut self) {
        // Dropping the process is what kills it.
        self.process = None;
    }

    /// Shuts the server down; its data stay.
    ///
    /// # Errors
    ///
    /// When the server does not end in time.
    pub async fn stop(&mut self) -> Result<()> {
        if let Some(process) = self.process.take() {
            process.stop(Signal::TERM, STOP_LIMIT).await?;
        }
        Ok(())
    }

    /// Starts the server again on the same port with the same data, and unseals it.
    ///
    /// # Errors
    ///
    /// When the server runs already or does not come up.
    pub async fn start_again(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "openbao runs already");
        if !self.launch(SEALED).await? {
            bail!("port {} has been taken meanwhile", self.port);
        }
        self.unseal().await
    }

    async fn start_on_a_free_port(&mut self) -> Result<()> {
        for _ in 0..PORT_ATTEMPTS {
            self.port = random::free_port()?;
            if let Some(tls) = &mut self.tls {
                tls.take_a_free_port()?;
            }
            self.write_config()?;
            if self.launch(UNINITIALISED).await? {
                return Ok(());
            }
        }
        bail!("no port of {PORT_ATTEMPTS} was still free when openbao came to it");
    }

    /// Starts the server and waits until it answers; `false` where somebody else has taken its port.
    ///
    /// Its health is known at this point, so an answer that tells another is somebody else's server.
    async fn launch(&mut self, health: StatusCode) -> Result<bool> {
        let mut command = command(&self.bao, &self.dir);
        command
            .arg("server")
            .arg(format!("-config={}", self.config().display()));
        let mut process = Process::start("openbao", &mut command, &self.dir, Signal::KILL)?;
        let answered = wait::until("openbao to answer", READY_LIMIT, async || {
            if process.exited()?.is_some() {
                return Ok(Some(false));
            }
            Ok((self.health().await == Some(health)).then_some(true))
        })
        .await
        .with_context(|| process.last_words())?;
        if answered {
            self.process = Some(process);
            return Ok(true);
        }
        let words = process.last_words();
        ensure!(words.contains("in use"), "openbao did not start: {words}");
        Ok(false)
    }

    async fn initialise(&mut self) -> Result<()> {
        let shares = json!({ "secret_shares": 1, "secret_threshold": 1 });
        let answer = self.call("", "PUT", "sys/init", Some(shares)).await?;
        let text = |pointer: &str| answer.body.pointer(pointer)?.as_str().map(str::to_owned);
        self.root_token = text("/root_token").context("init gave no root token")?;
        self.unseal_key = text("/keys_base64/0").context("init gave no key")?;
        Ok(())
    }

    /// Returns the status of the health report, which is 200 only where the server is unsealed and
    /// active; `None` where it does not answer.
    async fn health(&self) -> Option<StatusCode> {
        let url = format!("{}/v1/sys/health", self.address());
        let response = self.http.get(url).send().await.ok()?;
        Some(response.status())
    }

    fn write_config(&self) -> Result<()> {
        let config = Config {
            node: self.node.clone(),
            port: self.port,
            cluster_port: random::free_port()?,
            audit: self.audit.clone(),
        };
        let mut text = config.text(&self.dir);
        text.extend(self.tls.as_ref().map(tls::Tls::listener));
        fs::write(self.config(), text).context("write openbao's configuration")
    }

    fn config(&self) -> PathBuf {
        self.dir.join("openbao.hcl")
    }
}

/// What the health report answers before `init`.
const UNINITIALISED: StatusCode = StatusCode::NOT_IMPLEMENTED;
/// What the health report answers before `unseal`.
const SEALED: StatusCode = StatusCode::SERVICE_UNAVAILABLE;
/// What the health report of a standby answers.
const STANDBY: StatusCode = StatusCode::TOO_MANY_REQUESTS;
const FIRST_NODE: &str = "only";
const PORT_ATTEMPTS: u32 = 5;
const READY_LIMIT: Duration = Duration::from_secs(60);
const STOP_LIMIT: Duration = Duration::from_secs(30);
