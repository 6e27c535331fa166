use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::Signal;
use tokio::net::TcpStream;

use crate::process::{Process, command};
use crate::{random, tools, wait};

/// A web server of other people's making.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebServerKind {
    /// nginx, which answers by `return`.
    Nginx,
    /// `HAProxy`, which answers by `http-request return`.
    HaProxy,
    /// Waitress, a server of Python.
    Waitress,
    /// The server of Node.js.
    Node,
}

impl WebServerKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Nginx, Self::HaProxy, Self::Waitress, Self::Node];

    const fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::HaProxy => "haproxy",
            Self::Waitress => "waitress",
            Self::Node => "node",
        }
    }
}

/// A web server that answers each request with 200 and writes down which it has seen.
#[derive(Debug)]
pub struct WebServer {
    port: u16,
    seen: PathBuf,
    _process: Process,
}

impl WebServer {
    /// Starts a server below `dir`, on 127.0.0.1 only, and waits until it listens.
    ///
    /// # Errors
    ///
    /// When its program is not installed or the server does not come up.
    pub async fn start(kind: WebServerKind, dir: &Path) -> Result<Self> {
        for _ in 0..PORT_ATTEMPTS {
            let port = random::free_port()?;
            if let Some(server) = Self::launch(kind, dir, port).await? {
                return Ok(server);
            }
        }
        bail!("{} did not start on any port", kind.name())
    }

    /// Returns the port that the server listens on.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Returns what the server has seen: for each request a line that begins with its method and its
    /// target, in the order in which it was done with them.
    ///
    /// # Errors
    ///
    /// When its record can't be read.
    pub fn seen(&self) -> Result<Vec<String>> {
        let bytes = fs::read(&self.seen).context("read what a web server has seen")?;
        let text = String::from_utf8_lossy(&bytes);
        let whole = text.split_inclusive('\n').filter(|it| it.ends_with('\n'));
        Ok(whole.map(|line| line.trim_end().to_owned()).collect())
    }

    async fn launch(kind: WebServerKind, dir: &Path, port: u16) -> Result<Option<Self>> {
        let dir = dir.join(format!("{}-{port}", kind.name()));
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        let mut command = prepare(kind, &dir, port)?;
        let mut process = Process::start(kind.name(), &mut command, &dir, Signal::KILL)?;
        let up = wait::until("a web server to listen", START_LIMIT, async || {
            if process.exited()?.is_some() {
                return Ok(Some(false));
            }
            let reached = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
            Ok(reached.is_ok().then_some(true))
        })
        .await
        .with_context(|| process.last_words())?;
        if !up {
            let words = process.last_words();
            if words.contains("in use") || words.contains("cannot bind") {
                return Ok(None);
            }
            bail!("{} did not start: {words}", kind.name());
        }
        Ok(Some(Self {
            port,
            seen: match kind {
                WebServerKind::Nginx => dir.join("seen"),
                _ => dir.join(format!("{}.stdout", kind.name())),
            },
            _process: process,
        }))
    }
}

/// Writes what the server is configured by, and returns the command that starts it.
fn prepare(kind: WebServerKind, dir: &Path, port: u16) -> Result<Command> {
    let (file, template) = match kind {
        WebServerKind::Nginx => ("nginx.conf", include_str!("web/nginx.conf")),
        WebServerKind::HaProxy => ("haproxy.cfg", include_str!("web/haproxy.cfg")),
        WebServerKind::Waitress => ("app.py", include_str!("web/app.py")),
        WebServerKind::Node => ("app.js", include_str!("web/app.js")),
    };
    let here = dir.to_str().context("the directory's path is no text")?;
    let text = template
        .replace("@DIR@", here)
        .replace("@PORT@", &port.to_string());
    let file = dir.join(file);
    fs::write(&file, text).with_context(|| format!("write {}", file.display()))?;
    let tool = tools::web(kind.name())?;
    let mut command = command(&tool.program, dir);
    if let Some((variable, value)) = tool.variable {
        command.env(variable, value);
    }
    match kind {
        WebServerKind::Nginx => command.arg("-p").arg(dir).arg("-c"),
        WebServerKind::HaProxy => command.arg("-f"),
        WebServerKind::Waitress | WebServerKind::Node => &mut command,
    }
    .arg(&file);
    Ok(command)
}

const PORT_ATTEMPTS: u32 = 5;
const START_LIMIT: Duration = Duration::from_secs(60);
