use anyhow::Result;

use crate::run::{Steps, Workspace, run};
use crate::{generate, layers, setup};

/// Checks everything that can be checked without running the product's tests.
pub(crate) fn checks(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    steps.run("format", || {
        run(&mut workspace.cargo(&["fmt", "--all", "--check"]))
    })?;
    steps.run("clippy", || run(&mut workspace.cargo(CLIPPY)))?;
    steps.run("documentation", || {
        run(workspace.cargo(DOC).env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    check_layers(workspace, steps)?;
    steps.run("generated files", || generate::check(workspace))
}

/// Checks the walls, and that the check itself would notice a breach.
pub(crate) fn check_layers(workspace: &Workspace, steps: &mut Steps) -> Result<()> {
    steps.run("install cargo-deny", || setup::cargo_deny(workspace))?;
    steps.run("check-layers", || layers::check(workspace))?;
    steps.run("check-layers --self-test", || layers::self_test(workspace))
}

/// Installs the servers, builds everything and runs the tests.
pub(crate) fn test(workspace: &Workspace, steps: &mut Steps, arguments: &[&str]) -> Result<()> {
    steps.run("setup", || setup::servers(workspace))?;
    // Built apart, so that its time is not counted as the tests'.
    steps.run("build", || run(workspace.cargo(TEST).arg("--no-run")))?;
    steps.run("test", || run(workspace.cargo(TEST).args(arguments)))
}

const CLIPPY: &[&str] = &[
    "clippy",
    "--workspace",
    "--all-targets",
    "--locked",
    "--",
    "-D",
    "warnings",
];
const DOC: &[&str] = &["doc", "--no-deps", "--workspace", "--locked"];
const TEST: &[&str] = &["test", "--workspace", "--locked"];
