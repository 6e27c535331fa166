//! The long forms of what is shown of HTTP/1.1.

use anyhow::Result;

use crate::run::{Workspace, run};
use crate::setup;

/// Sends as many random paths through a gateway, from a seed.
pub(crate) fn paths(workspace: &Workspace, count: &str, seed: &str) -> Result<()> {
    let variables = [("PATHS_COUNT", count), ("PATHS_SEED", seed)];
    test(workspace, "paths::", &variables)
}

/// Sends as many mutated requests to each kind of origin, from a seed.
pub(crate) fn differential(workspace: &Workspace, count: &str, seed: &str) -> Result<()> {
    setup::servers(workspace)?;
    let variables = [
        ("DIFFERENTIAL_REQUESTS", count),
        ("DIFFERENTIAL_SEED", seed),
    ];
    test(workspace, "differential::", &variables)
}

/// Lets all cases of the Autobahn suite talk to a server, directly and through the gateway.
pub(crate) fn websocket_conformance(workspace: &Workspace) -> Result<()> {
    setup::servers(workspace)?;
    let variables = [("WEBSOCKET_CONFORMANCE", "full")];
    test(workspace, "websocket::conformance::", &variables)
}

fn test(workspace: &Workspace, name: &str, variables: &[(&str, &str)]) -> Result<()> {
    let arguments = [
        "test",
        "--release",
        "--package",
        "leasehold-proxy",
        "--test",
        "it",
        name,
        "--",
        "--nocapture",
    ];
    let mut command = workspace.cargo(&arguments);
    // Read when the test is built, as the simulation's seed is.
    command.envs(variables.iter().copied());
    run(&mut command)
}
