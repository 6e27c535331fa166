use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Signal, geteuid};
use serde_json::Value;

use crate::process::{Process, command};
use crate::{Scratch, wait};

/// The real gateway as a process of its own, started with `serve --config FILE`.
///
/// It is killed when it is dropped; its output stays where the test panicked.
#[derive(Debug)]
pub struct GatewayProcess {
    process: Option<Process>,
    // Below the process, because fields are dropped in order and it writes into it to the end.
    scratch: Scratch,
}

impl GatewayProcess {
    /// Starts `binary` with a configuration and waits until it says that it listens.
    ///
    /// A test of the binary's own package passes `env!("CARGO_BIN_EXE_leasehold")`.
    ///
    /// # Errors
    ///
    /// When the gateway ends, or says nothing of a listener for 30 seconds; the error has the last
    /// lines that it wrote.
    pub async fn start(binary: &Path, config: &str) -> Result<Self> {
        let mut gateway = Self::launch(binary, config)?;
        gateway.announced("listening", None).await?;
        Ok(gateway)
    }

    /// As [`GatewayProcess::start`], so that [`crate::memory::copies`] may read its memory: where this is not
    /// root, in a user namespace of this process's own.
    ///
    /// # Errors
    ///
    /// As [`GatewayProcess::start`], and where no such namespace may be made.
    pub async fn start_observable(binary: &Path, config: &str) -> Result<Self> {
        let mut gateway = Self::launch_observable(binary, config, &[], &[])?;
        gateway.announced("listening", None).await?;
        Ok(gateway)
    }

    /// Starts one whose memory may be read as above, with more arguments and variables of the environment,
    /// and waits for nothing.
    ///
    /// # Errors
    ///
    /// When the process can't be started.
    pub fn launch_observable(
        binary: &Path,
        config: &str,
        more: &[&OsStr],
        variables: &[(&str, &OsStr)],
    ) -> Result<Self> {
        let in_own_namespace = ["unshare", "--user", "--map-root-user"].map(OsStr::new);
        let within: &[&OsStr] = if geteuid().is_root() {
            &[]
        } else {
            &in_own_namespace
        };
        Self::spawn(within, binary, config, more, variables)
    }

    /// Starts `binary` with a configuration and waits for nothing.
    ///
    /// # Errors
    ///
    /// When the process can't be started.
    pub fn launch(binary: &Path, config: &str) -> Result<Self> {
        Self::launch_with(binary, config, &[])
    }

    /// As [`GatewayProcess::launch`], with more arguments.
    ///
    /// # Errors
    ///
    /// When the process can't be started.
    pub fn launch_with(binary: &Path, config: &str, more: &[&OsStr]) -> Result<Self> {
        Self::spawn(&[], binary, config, more, &[])
    }

    /// Starts `binary`, as an argument of the words `within` where there are any.
    fn spawn(
        within: &[&OsStr],
        binary: &Path,
        config: &str,
        more: &[&OsStr],
        variables: &[(&str, &OsStr)],
    ) -> Result<Self> {
        let scratch = Scratch::new()?;
        let config_file = config_file(&scratch);
        write_owner_only(&config_file, config)?;
        let mut words = within.iter().copied().chain([binary.as_os_str()]);
        let program = words.next().map_or(binary, Path::new);
        let mut command = command(program, scratch.path());
        command.args(words);
        command.arg("serve").arg("--config").arg(&config_file);
        command.args(more);
        command.envs(variables.iter().copied());
        let process = Process::start(NAME, &mut command, scratch.path(), Signal::KILL)?;
        Ok(Self {
            process: Some(process),
            scratch,
        })
    }

    /// Returns the address of a listener, once it listens.
    ///
    /// # Errors
    ///
    /// When the gateway ends first, or takes longer than 30 seconds.
    pub async fn address(&mut self, listener: &str) -> Result<SocketAddr> {
        self.announced("listening", Some(listener)).await
    }

    /// Returns the address of the admin listener, once it listens.
    ///
    /// # Errors
    ///
    /// When the gateway ends first, or takes longer than 30 seconds.
    pub async fn admin_address(&mut self) -> Result<SocketAddr> {
        self.announced("admin listening", None).await
    }

    /// Returns the process id, while the gateway runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Waits for the gateway to end by itself.
    ///
    /// # Errors
    ///
    /// When the gateway has ended already or does not end within `limit`; then it is killed.
    pub async fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let mut process = self.process.take().context("the gateway has ended")?;
        wait::until("the gateway to end", limit, async || process.exited()).await
    }

    /// Sends SIGTERM and waits for the end.
    ///
    /// # Errors
    ///
    /// When the gateway has ended already or does not end within `limit`; then it is killed.
    pub async fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.end(Signal::TERM, limit).await
    }

    /// Kills the gateway, as a crash would.
    ///
    /// # Errors
    ///
    /// When the gateway has ended already.
    pub async fn kill(&mut self) -> Result<ExitStatus> {
        self.end(Signal::KILL, START_LIMIT).await
    }

    /// Returns everything that the gateway wrote to its standard output so far.
    ///
    /// # Errors
    ///
    /// When the file can't be read.
    pub fn stdout(&self) -> Result<String> {
        self.output("stdout")
    }

    /// Returns everything that the gateway wrote to its standard error so far: its log.
    ///
    /// # Errors
    ///
    /// When the file can't be read.
    pub fn stderr(&self) -> Result<String> {
        self.output("stderr")
    }

    /// Returns the directory with the output and the configuration.
    #[must_use]
    pub fn logs_dir(&self) -> &Path {
        self.scratch.path()
    }

    /// Returns the file that the gateway was started with.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        config_file(&self.scratch)
    }

    async fn end(&mut self, signal: Signal, limit: Duration) -> Result<ExitStatus> {
        let process = self.process.take().context("the gateway has ended")?;
        process.stop(signal, limit).await
    }

    /// Waits for a log line with this message and, where one is asked for, this listener.
    async fn announced(&mut self, message: &str, listener: Option<&str>) -> Result<SocketAddr> {
        let log = self.output_file("stderr");
        let process = self.process.as_mut().context("the gateway has ended")?;
        let what = format!("the gateway to log {message:?}");
        wait::until(&what, START_LIMIT, async || {
            let text = fs::read_to_string(&log).context("read the gateway's log")?;
            if let Some(address) = announcement(&text, message, listener) {
                return Ok(Some(address));
            }
            match process.exited()? {
                Some(status) => bail!("the gateway ended, {status}"),
                None => Ok(None),
            }
        })
        .await
        .with_context(|| process.last_words())
    }

    fn output(&self, stream: &str) -> Result<String> {
        let bytes = fs::read(self.output_file(stream)).context("read the gateway's output")?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn output_file(&self, stream: &str) -> PathBuf {
        self.scratch.path().join(format!("{NAME}.{stream}"))
    }
}

/// Finds the address in the first log line that has this message and this listener.
///
/// The last line may be half written; it is read again at the next poll.
fn announcement(log: &str, message: &str, listener: Option<&str>) -> Option<SocketAddr> {
    log.lines().find_map(|line| {
        let event: Value = serde_json::from_str(line).ok()?;
        // A formatter may nest the fields of an event or lay them flat.
        let field = |name: &str| {
            let nested = event.get("fields").and_then(|fields| fields.get(name));
            nested.or_else(|| event.get(name))?.as_str()
        };
        let wanted = field("message")? == message
            && listener.is_none_or(|listener| field("listener") == Some(listener));
        if !wanted {
            return None;
        }
        field("address")?.parse().ok()
    })
}

fn config_file(scratch: &Scratch) -> PathBuf {
    scratch.path().join("leasehold.yaml")
}

fn write_owner_only(path: &Path, text: &str) -> Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("write {}", path.display()))
}

const NAME: &str = "leasehold";
const START_LIMIT: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_found_in_flat_and_in_nested_fields() {
        let log = concat!(
            r#"{"fields":{"message":"listening","listener":"other","address":"127.0.0.1:1"}}"#,
            "\n",
            r#"{"message":"listening","listener":"public","address":"127.0.0.1:2"}"#,
            "\n",
            r#"{"fields":{"message":"admin listening","address":"127.0.0.1:3"}}"#,
            "\n{\"fields\":{\"mess",
        );
        let port = |message, listener| Some(announcement(log, message, listener)?.port());
        assert_eq!(port("listening", None), Some(1));
        assert_eq!(port("listening", Some("public")), Some(2));
        assert_eq!(port("admin listening", None), Some(3));
        assert_eq!(port("listening", Some("private")), None);
    }

    #[tokio::test]
    async fn a_gateway_that_ends_at_once_is_reported_with_its_last_words() {
        let scratch = Scratch::new().expect("a directory");
        let binary = scratch.path().join("gateway");
        let script = "#!/bin/sh\necho 'no such route' >&2\nexit 3\n";
        fs::write(&binary, script).expect("write");
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(&binary, executable).expect("chmod");
        let error = GatewayProcess::start(&binary, "").await.expect_err("ended");
        let text = format!("{error:#}");
        assert!(text.contains("no such route"), "{text}");
        assert!(text.contains("exit status: 3"), "{text}");
    }
}
