use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;

use super::Postgres;
use crate::process::Process;
use crate::{random, wait};

impl Postgres {
    /// Starts the server on a port that nobody has, and waits until it answers.
    pub(super) async fn start_on_a_free_port(&mut self) -> Result<()> {
        for _ in 0..PORT_ATTEMPTS {
            self.login.port = random::free_port()?;
            if self.launch().await? {
                return Ok(());
            }
        }
        bail!("no port of {PORT_ATTEMPTS} was still free when postgres came to it");
    }

    /// Starts the server on its port and waits until it answers; `false` where somebody else has
    /// taken the port.
    pub(super) async fn launch(&mut self) -> Result<bool> {
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.data());
        for setting in self.settings()? {
            command.arg("-c").arg(setting);
        }
        let mut process = Process::start("postgres", &mut command, &self.dir, Signal::QUIT)?;
        let answered = wait::until("postgres to answer", START_LIMIT, async || {
            if process.exited()?.is_some() {
                return Ok(Some(false));
            }
            Ok(self.superuser("postgres").await.is_ok().then_some(true))
        })
        .await
        .with_context(|| process.last_words())?;
        if answered {
            self.process = Some(process);
            return Ok(true);
        }
        let words = process.last_words();
        ensure!(words.contains("in use"), "postgres did not start: {words}");
        Ok(false)
    }

    fn settings(&self) -> Result<Vec<String>> {
        let mut settings = vec![
            format!("port={}", self.login.port),
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "max_connections=300".to_owned(),
            "fsync=off".to_owned(),
            "log_statement=ddl".to_owned(),
        ];
        // Tests open hundreds of connections a second, and hashing a password 4,096 times is most of
        // the price of one. Generated passwords of full strength do not need stretching.
        if self.major_version()? >= 16 {
            settings.push("scram_iterations=1".to_owned());
        }
        Ok(settings)
    }

    fn major_version(&self) -> Result<u32> {
        let output = self.program("postgres").arg("--version").output();
        let output = output.context("ask postgres for its version")?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.split_whitespace()
            .find_map(|word| word.split('.').next()?.parse().ok())
            .with_context(|| format!("no version in {text:?}"))
    }
}

const PORT_ATTEMPTS: u32 = 5;
const START_LIMIT: Duration = Duration::from_secs(60);
