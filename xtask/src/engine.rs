//! Long runs and measurements of the engine alone.

use anyhow::Result;

use crate::run::{Workspace, run};

/// Runs the simulation in which everything happens, with as many seeds, or with one of them.
pub(crate) fn simulate(workspace: &Workspace, variable: &str, value: &str) -> Result<()> {
    // Read when it is built, so that a run that failed is replayed by building it with its seed.
    let arguments = [
        "test",
        "--release",
        "--package",
        "leasehold-lease",
        "--test",
        "it",
        "anything_may_happen",
        "--",
        "--nocapture",
    ];
    // Optimised for the sake of many seeds, and with the engine's own checks all the same.
    let mut command = workspace.cargo(&arguments);
    command.env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
    run(command.env(variable, value))
}

/// Prints memory a slot and CPU time a step.
pub(crate) fn bench(workspace: &Workspace) -> Result<()> {
    let arguments = [
        "run",
        "--release",
        "--package",
        "leasehold-lease",
        "--example",
        "scale",
    ];
    run(&mut workspace.cargo(&arguments))
}
