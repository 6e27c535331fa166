use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::process::{Process, command};
use crate::{random, tools, wait};

/// A WebSocket server of other people's making, Python's `websockets`, that sends back whatever it is
/// sent.
#[derive(Debug)]
pub struct WebSocketEcho {
    port: u16,
    _process: Process,
}

impl WebSocketEcho {
    /// Starts the server below `dir`, on 127.0.0.1 only, and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it is not installed or does not come up.
    pub async fn start(dir: &Path) -> Result<Self> {
        let program = dir.join("echo.py");
        fs::write(&program, include_str!("websocket/echo.py")).context("write the server")?;
        for _ in 0..PORT_ATTEMPTS {
            let port = random::free_port()?;
            let mut command = python("websockets", dir)?;
            command.arg(&program).arg(port.to_string());
            let mut process = Process::start(NAME, &mut command, dir, Signal::KILL)?;
            let up = wait::until("a WebSocket server to listen", START_LIMIT, async || {
                if process.exited()?.is_some() {
                    return Ok(Some(false));
                }
                let reached = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
                Ok(reached.is_ok().then_some(true))
            })
            .await
            .with_context(|| process.last_words())?;
            if up {
                return Ok(Self {
                    port,
                    _process: process,
                });
            }
            let words = process.last_words();
            ensure!(words.contains("in use"), "{NAME} did not start: {words}");
        }
        bail!("{NAME} did not start on any port")
    }

    /// Returns the port that the server listens on.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

/// Lets `kosoku`, which has the Autobahn suite's cases, talk to whoever listens at the port, and returns
/// its report: for each case how the server behaved and how it closed.
///
/// # Errors
///
/// When it is not installed, or leaves no report.
pub fn websocket_conformance(
    port: u16,
    without: &[&str],
    dir: &Path,
) -> Result<Vec<(String, [String; 2])>> {
    let reports = dir.join(format!("conformance-{port}"));
    fs::create_dir_all(&reports).context("make room for the report")?;
    let mut command = python("kosoku", dir)?;
    command
        .args(["-c", "from kosoku._cli import main; main()"])
        .arg(format!("127.0.0.1:{port}"))
        .args(["-p", "2"])
        .arg("-o")
        .arg(&reports)
        .args(without.iter().flat_map(|it| ["-x", it]));
    // That cases have failed is in the report, and for the caller to weigh.
    let output = command.output().context("run kosoku")?;
    let report = fs::read(reports.join("index.json"));
    let report = report.with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let report: serde_json::Value = serde_json::from_slice(&report).context("read the report")?;
    let agents = report.as_object().context("a report by agents")?;
    let cases = agents.values().filter_map(serde_json::Value::as_object);
    let word = |of: &serde_json::Value, key: &str| of[key].as_str().unwrap_or_default().to_owned();
    Ok(cases
        .flatten()
        .map(|(name, of)| {
            let words = ["behavior", "behaviorClose"].map(|key| word(of, key));
            (name.clone(), words)
        })
        .collect())
}

/// Returns a Python that has a package which `cargo xtask setup` installed.
fn python(package: &str, dir: &Path) -> Result<Command> {
    let tool = tools::python(package)?;
    let mut command = command(&tool.program, dir);
    command.envs(tool.variable);
    Ok(command)
}

const NAME: &str = "websockets";
const PORT_ATTEMPTS: u32 = 5;
const START_LIMIT: Duration = Duration::from_secs(60);
