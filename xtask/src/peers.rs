//! The comparison with other gateways: what it needs beyond what tests need, and how it is run.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::run::{Workspace, run, succeeds};
use crate::{setup, storm};

/// Builds the program that is shipped, fetches the peers and measures all of them in one run.
pub(crate) fn bench(workspace: &Workspace, options: &[&str]) -> Result<()> {
    programs()?;
    let envoy = setup::envoy(workspace)?;
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
    let more: [(&str, &Path); 3] = [
        ("STORM_BINARY", &binary),
        ("STORM_ENVOY", &envoy),
        ("STORM_OUT", &out),
    ];
    storm::run_with(workspace, "peers", options, &more)?;
    println!("the table and the drawing are in {}", out.display());
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
const PROGRAMS: [(&str, &str, &str); 5] = [
    ("nginx", "-v", "nginx"),
    ("haproxy", "-v", "haproxy"),
    ("h2load", "--version", "nghttp2-client"),
    ("wrk", "-v", "wrk"),
    ("taskset", "--version", "util-linux"),
];
