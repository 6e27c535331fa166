use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use super::peer::{CONSUMER, LOAD_CORE, PLACEHOLDER, Peer, Place};
use super::{PATIENCE, Scenario};

/// One measurement.
pub(super) struct Load<'a> {
    pub(super) place: &'a Place,
    pub(super) peer: &'a Peer,
    pub(super) scenario: &'a Scenario,
}

/// How long requests took, in microseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latency {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

impl Load<'_> {
    /// Returns the CPU time that the peer takes for a request, in microseconds.
    pub(super) async fn cost(&self) -> Result<f64> {
        let before = self.peer.cpu()?;
        let text = if self.scenario.churn {
            self.run(&mut self.wrk()).await?
        } else {
            self.run(&mut self.h2load(None)).await?
        };
        let after = self.peer.cpu()?;
        let answered = if self.scenario.churn {
            wrk_answered(&text)
        } else {
            h2load_answered(&text).filter(|it| *it == self.scenario.requests)
        };
        let answered = answered.with_context(|| format!("{}: {text}", self.describe()))?;
        let count = u32::try_from(answered)?;
        Ok((after - before).as_secs_f64() * 1e6 / f64::from(count))
    }

    /// Returns how long requests take that come at a rate.
    pub(super) async fn latency(&self) -> Result<Latency> {
        let log = self.place.file("times");
        drop(std::fs::remove_file(&log));
        let text = self.run(&mut self.h2load(Some(&log))).await?;
        let answered = h2load_answered(&text).with_context(|| self.describe())?;
        ensure!(
            answered == self.scenario.requests,
            "{}: {answered}",
            self.describe()
        );
        let mut times = std::fs::read_to_string(&log)?
            .lines()
            .filter_map(|line| line.split_whitespace().nth(2)?.parse::<f64>().ok())
            .collect::<Vec<_>>();
        times.sort_by(f64::total_cmp);
        let at = |percent: usize| times.get(times.len() * percent / 100).copied();
        let (p50, p99) = at(50).zip(at(99)).context("times")?;
        Ok(Latency { p50, p99 })
    }

    async fn run(&self, command: &mut Command) -> Result<String> {
        let output = tokio::time::timeout(PATIENCE, command.kill_on_drop(true).output()).await;
        let output = output.with_context(|| self.describe())??;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "{}: {text}{}",
            self.describe(),
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }

    fn describe(&self) -> String {
        format!("{} with {}", self.scenario.id, self.peer.name)
    }

    fn h2load(&self, log: Option<&Path>) -> Command {
        let Scenario {
            connections,
            requests,
            http2,
            rate,
            ..
        } = self.scenario;
        let mut command = on_its_core("h2load");
        command.args([
            "-t",
            "1",
            "-c",
            &connections.to_string(),
            "-n",
            &requests.to_string(),
        ]);
        command.args(["-m", if *http2 { "4" } else { "1" }]);
        if !http2 {
            command.arg("--h1");
        }
        if let Some(rate) = rate {
            command.args(["--rps", &(rate / connections).to_string()]);
        }
        if let Some(log) = log {
            command.arg(format!("--log-file={}", log.display()));
        }
        for header in [PLACEHOLDER, CONSUMER] {
            command.args(["-H", header]);
        }
        command.arg(self.url());
        command
    }

    /// wrk opens a connection anew where the answer says that it is closed.
    fn wrk(&self) -> Command {
        let mut command = on_its_core("wrk");
        let connections = self.scenario.connections.to_string();
        command.args(["-t", "1", "-d", "1s", "-c", &connections]);
        for header in [PLACEHOLDER, CONSUMER, "connection: close"] {
            command.args(["-H", header]);
        }
        command.arg(self.url());
        command
    }

    fn url(&self) -> String {
        self.peer.url(self.scenario.tls, self.scenario.path)
    }
}

/// Starts a command that stays on the core of the load.
fn on_its_core(program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", LOAD_CORE, program]);
    command
}

/// Returns how many answers of h2load's were of the class 2xx.
fn h2load_answered(text: &str) -> Option<usize> {
    let line = text
        .lines()
        .find(|line| line.starts_with("status codes:"))?;
    line.split_whitespace().nth(2)?.parse().ok()
}

/// Returns how many answers of wrk's were whole, where all were of the class 2xx.
fn wrk_answered(text: &str) -> Option<usize> {
    let failed = text.contains("Non-2xx") || text.contains("Socket errors");
    let line = text.lines().find(|line| line.contains(" requests in "))?;
    let count = line.split_whitespace().next()?.parse().ok()?;
    (!failed).then_some(count)
}
