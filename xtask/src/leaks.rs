//! The canary matrix, whose report can be attached to a release.

use anyhow::{Context as _, Result};

use crate::run::{Workspace, run};
use crate::setup;

/// Runs the released program through success and failure, many times over, and searches what is left.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    setup::servers(workspace)?;
    test(workspace, NOTHING_FOUND, &["--release"], Some(ROUNDS))
}

/// The same once, with the program that tests are run with.
pub(crate) fn check_shortly(workspace: &Workspace) -> Result<()> {
    setup::servers(workspace)?;
    test(workspace, NOTHING_FOUND, &[], None)
}

/// Plants a canary in each place and each form, and has each found.
pub(crate) fn self_test(workspace: &Workspace) -> Result<()> {
    test(workspace, PLANTED_FOUND, &[], None)
}

fn test(workspace: &Workspace, name: &str, more: &[&str], rounds: Option<&str>) -> Result<()> {
    let report = workspace.target().join("leak-check");
    let mut arguments = vec!["test", "--locked", "--package", "leasehold", "--test", "it"];
    arguments.extend(more);
    arguments.extend([name, "--", "--exact", "--nocapture"]);
    let mut command = workspace.cargo(&arguments);
    // Read when the test is built, as the simulation's seed is.
    command.env("LEAK_CHECK_REPORT", &report);
    if let Some(rounds) = rounds {
        command.env("LEAK_CHECK_ROUNDS", rounds);
        // Large, and slow to search for whoever is not optimised.
        command.env("LEAK_CHECK_PROGRAM", "yes");
    }
    run(&mut command).with_context(|| format!("the report is in {}", report.display()))
}

const NOTHING_FOUND: &str = "leak_check::no_canary_is_found_in_any_place";
const PLANTED_FOUND: &str =
    "leak_check::a_canary_that_is_planted_in_any_place_in_any_form_is_found";
/// How often each credential is replaced.
const ROUNDS: &str = "10";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn each_run_is_a_test_that_stands_in_the_sources() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/leasehold/tests/it");
        let source = std::fs::read_to_string(root.join("leak_check.rs")).expect("the module");
        for name in [NOTHING_FOUND, PLANTED_FOUND] {
            let (_, test) = name.split_once("::").expect("a module and a test");
            assert!(source.contains(&format!("fn {test}()")), "{name}");
        }
    }
}
