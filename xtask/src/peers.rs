//! What is measured beside programs of other people: what that needs beyond what tests need, and how it is run.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::run::{Workspace, run, succeeds};
use crate::{setup, storm};

/// Fetches the peers, and measures all of them and the program that is shipped in one run.
pub(crate) fn bench(workspace: &Workspace, options: &[&str]) -> Result<()> {
    programs()?;
    let envoy = setup::envoy(workspace)?;
    measure(workspace, "peers", options, &[("STORM_ENVOY", &envoy)])
}

/// Measures what floods cost those who behave, of the program that is shipped.
pub(crate) fn floods(workspace: &Workspace) -> Result<()> {
    programs()?;
    measure(workspace, "floods", &[], &[])
}

/// Builds the program that is shipped and runs one of the measurements with it.
fn measure(
    workspace: &Workspace,
    name: &str,
    options: &[&str],
    more: &[(&str, &Path)],
) -> Result<()> {
    run(&mut workspace.cargo(&[
        "build",
        "--locked",
        "--profile",
        "dist",
        "--package",
        "leasehold",
    ]))?;
    let out = workspace.target().join("bench");
    std::fs::create_dir_all(&out).context("make a place for the report")?;
    let binary = workspace.target().join("dist/leasehold");
    let common: [(&str, &Path); 2] = [("STORM_BINARY", &binary), ("STORM_OUT", &out)];
    storm::run_with(workspace, name, options, &[&common, more].concat())?;
    println!("the report is in {}", out.display());
    Ok(())
}

/// Installs from Debian what is not on PATH.
fn programs() -> Result<()> {
    let missing: Vec<_> = PROGRAMS
        .iter()
        .filter(|(program, version, _)| !succeeds(Command::new(program).arg(version)))
        .map(|(_, _, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let advice = format!("install {} first", missing.join(", "));
    ensure!(Path::new("/etc/debian_version").exists(), advice);
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        // Without a run level the packages' services are not started.
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .env("RUNLEVEL", "1");
        command.args(arguments);
        command
    };
    run(&mut apt(&["update", "--quiet"])).context(advice.clone())?;
    let install = ["install", "--quiet", "--yes", "--no-install-recommends"];
    run(apt(&install).args(missing)).context(advice)
}

/// What to ask a program for to see that it is there, and the package that brings it.
const PROGRAMS: [(&str, &str, &str); 6] = [
    ("nginx", "-v", "nginx"),
    ("haproxy", "-v", "haproxy"),
    ("h2load", "--version", "nghttp2-client"),
    ("slowhttptest", "-h", "slowhttptest"),
    ("wrk", "-v", "wrk"),
    ("taskset", "--version", "util-linux"),
];
