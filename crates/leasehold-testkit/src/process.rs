use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};

use crate::wait;

/// A server process of ours, with its output in files.
///
/// It ends when this value is dropped, and also when our own process dies without dropping anything.
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    watchdog: Child,
    /// The signal that ends the process fast and with its children.
    end: Signal,
    stderr: PathBuf,
}

impl Process {
    /// Starts `command` with its output appended to `<name>.stdout` and `<name>.stderr` in `logs`.
    ///
    /// The process gets a group of its own, so that a Ctrl-C at the terminal reaches us and not it,
    /// and only those environment variables that `command` was given after this function's caller
    /// cleared it.
    pub(crate) fn start(
        name: &'static str,
        command: &mut Command,
        logs: &Path,
        end: Signal,
    ) -> Result<Self> {
        let stderr = logs.join(format!("{name}.stderr"));
        let child = command
            .stdin(Stdio::null())
            .stdout(append(&logs.join(format!("{name}.stdout")))?)
            .stderr(append(&stderr)?)
            .process_group(0)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        let watchdog = match watchdog(child.id(), end) {
            Ok(watchdog) => watchdog,
            Err(error) => return Err(abandon(child, error)),
        };
        Ok(Self {
            name,
            child,
            watchdog,
            end,
            stderr,
        })
    }

    /// Returns the process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns how the process ended, if it did.
    pub(crate) fn exited(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("look after {}", self.name))
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(pid(&self.child)?, signal)
            .with_context(|| format!("send a signal to {}", self.name))
    }

    /// Sends `signal` and waits for the process to end.
    ///
    /// A process that does not end within `limit` is killed when this value is dropped.
    pub(crate) async fn stop(mut self, signal: Signal, limit: Duration) -> Result<ExitStatus> {
        self.signal(signal)?;
        let what = format!("{} to end", self.name);
        wait::until(&what, limit, async || self.exited()).await
    }

    /// Returns the last lines that the process wrote to its standard error.
    pub(crate) fn last_words(&self) -> String {
        let text = fs::read(&self.stderr).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().rev().take(LAST_LINES).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The watchdog goes first: once the child is reaped its number may belong to another process.
        end_now(&mut self.watchdog, Signal::KILL);
        end_now(&mut self.child, self.end);
    }
}

/// Starts a command with an empty environment, as far as a server can do without one.
pub(crate) fn command(program: &Path, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", home)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .current_dir(home);
    command
}

/// Starts a shell that ends process `target` once our end of its standard input is closed, which the
/// system sees to however we die.
///
/// A parent-death signal would do the same with less, were it not sent when the *thread* that started
/// the child ends; in a test harness and on a runtime's blocking pool, threads end all the time.
fn watchdog(target: u32, end: Signal) -> Result<Child> {
    command(Path::new("/bin/sh"), Path::new("/"))
        .args(["-c", "read -r _; kill -s \"$1\" \"$2\"", "watchdog"])
        .arg(end.as_raw().to_string())
        .arg(target.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .context("start the watchdog of a server")
}

fn abandon(mut child: Child, error: anyhow::Error) -> anyhow::Error {
    end_now(&mut child, Signal::KILL);
    error
}

/// Ends a child and reaps it. That it has ended already is no failure.
fn end_now(child: &mut Child, signal: Signal) {
    let running = matches!(child.try_wait(), Ok(None));
    let sent = running && pid(child).is_ok_and(|pid| kill_process(pid, signal).is_ok());
    if sent {
        child.wait().ok();
    }
}

fn pid(child: &Child) -> Result<Pid> {
    i32::try_from(child.id())
        .ok()
        .and_then(Pid::from_raw)
        .context("the process id is out of range")
}

fn append(path: &Path) -> Result<File> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("open {}", path.display()))
}

const LAST_LINES: usize = 20;
