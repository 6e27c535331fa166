//! The long form of the test that kills gateways.

use anyhow::Result;

use crate::run::{Workspace, run};
use crate::setup;

/// Kills a gateway at a random moment and starts the next one, as many times, with seeds that count up.
pub(crate) fn runs(workspace: &Workspace, count: &str, seed: &str) -> Result<()> {
    setup::servers(workspace)?;
    let arguments = [
        "test",
        "--package",
        "leasehold",
        "--test",
        "it",
        "crash::kills",
        "--",
        "--nocapture",
    ];
    let mut command = workspace.cargo(&arguments);
    // Read when the test is built.
    command.env("CRASH_RUNS", count).env("CRASH_SEED", seed);
    run(&mut command)
}
