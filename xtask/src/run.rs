use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// Where the sources are and where what is built from them goes.
#[derive(Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    target: PathBuf,
}

/// The steps done so far and the time that each took.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<(String, Duration)>,
}

// === impl Workspace ===

impl Workspace {
    /// Finds the workspace that this command was built in.
    pub(crate) fn find() -> Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("the command was built outside a workspace")?
            .to_path_buf();
        let metadata = metadata(&root)?;
        let target = metadata.get("target_directory").and_then(Value::as_str);
        Ok(Self {
            target: PathBuf::from(target.context("cargo names no target directory")?),
            root,
        })
    }

    /// Returns where everything that is built goes.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Returns where tools that are not built from our sources are installed.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// Starts a cargo command.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        command.args(arguments).current_dir(&self.root);
        command
    }
}

// === impl Steps ===

impl Steps {
    /// Takes one step and keeps its time, also where it fails.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Result<()>) -> Result<()> {
        println!("==> {name}");
        let began = now();
        let outcome = step();
        self.done.push((name.to_owned(), began.elapsed()));
        outcome.with_context(|| format!("step {name}"))
    }

    /// Prints the time of each step.
    pub(crate) fn print(&self) {
        for (name, time) in &self.done {
            println!("{:>8.1} s  {name}", time.as_secs_f64());
        }
    }
}

/// Runs a command to its end, with our own input and output.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| describe(command))?;
    ensure!(status.success(), "{}: {status}", describe(command));
    Ok(())
}

/// Runs a command to its end and returns what it wrote to its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| describe(command))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}: {}\n{complaint}",
        describe(command),
        output.status
    );
    String::from_utf8(output.stdout).with_context(|| describe(command))
}

/// Tells whether a command can be run and succeeds; what it writes is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Returns what cargo knows of the workspace's own packages.
pub(crate) fn metadata(root: &Path) -> Result<Value> {
    let mut command = Command::new("cargo");
    command
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(root);
    serde_json::from_str(&output(&mut command)?).context("read cargo's metadata")
}

fn describe(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

#[expect(
    clippy::disallowed_methods,
    reason = "the time that a step takes is told to a person and decides nothing"
)]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_has_its_time_too() {
        let mut steps = Steps::default();
        let failed = steps.run("first", || run(&mut Command::new("false")));
        assert!(format!("{:#}", failed.expect_err("false fails")).contains("step first"));
        assert_eq!(steps.done.len(), 1);
    }

    #[test]
    fn what_a_failed_command_said_is_in_the_error() {
        let error = output(Command::new("sh").args(["-c", "echo why >&2; exit 3"]));
        assert!(error.expect_err("it fails").to_string().contains("why"));
    }
}
