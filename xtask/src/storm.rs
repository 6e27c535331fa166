//! Long runs of the whole gateway against real servers, which print figures.

use std::path::Path;

use anyhow::{Result, bail};

use crate::run::{Workspace, run};

/// Runs one of them, with `--count`, `--ttl` and `--seconds` where it takes them.
pub(crate) fn bench(workspace: &Workspace, name: &str, options: &[&str]) -> Result<()> {
    run_with(workspace, name, options, &[])
}

/// As [`bench()`], with these paths as well.
pub(crate) fn run_with(
    workspace: &Workspace,
    name: &str,
    options: &[&str],
    paths: &[(&str, &Path)],
) -> Result<()> {
    let Some((_, test)) = RUNS.iter().find(|(it, _)| *it == name) else {
        bail!("no such bench: {name}");
    };
    let arguments = [
        "test",
        "--release",
        "--package",
        "leasehold",
        "--test",
        "it",
        test,
        "--",
        "--exact",
        "--ignored",
        "--nocapture",
    ];
    // Read when the test is built, as the simulation's seed is.
    let mut cargo = workspace.cargo(&arguments);
    for pair in options.chunks(2) {
        let [option, value] = pair else {
            bail!("{} wants a value", pair.concat());
        };
        let Some((_, variable)) = OPTIONS.iter().find(|(it, _)| it == option) else {
            bail!("no such option: {option}");
        };
        cargo.env(variable, value);
    }
    cargo.envs(paths.iter().copied());
    run(&mut cargo)
}

const RUNS: [(&str, &str); 8] = [
    (
        "rotations",
        "storm::rotations::many_rotations_fail_no_request_and_keep_to_the_budget",
    ),
    (
        "leases",
        "storm::leases::many_leases_are_issued_renewed_and_given_back",
    ),
    (
        "outage",
        "storm::outage::while_openbao_is_away_only_what_has_not_run_out_is_served",
    ),
    ("reloads", "storm::reloads::many_reloads_fail_no_request"),
    ("upgrades", "storm::reloads::many_upgrades_fail_no_request"),
    ("cascade", "storm::leases::a_cascade_holds_readers_up"),
    (
        "floods",
        "storm::floods::a_client_who_behaves_is_served_beside_floods",
    ),
    ("peers", "storm::peers::a_request_costs_what_it_costs"),
];
const OPTIONS: [(&str, &str); 4] = [
    ("--count", "STORM_COUNT"),
    ("--scenarios", "STORM_SCENARIOS"),
    ("--ttl", "STORM_TTL"),
    ("--seconds", "STORM_SECONDS"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_run_is_a_test_that_stands_in_the_sources() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/leasehold/tests/it");
        for (name, test) in RUNS {
            let mut words = test.split("::").skip(1);
            let (module, test) = (
                words.next().expect("a module"),
                words.next().expect("a test"),
            );
            let source = std::fs::read_to_string(root.join(format!("storm/{module}.rs")));
            let source = source.expect("the module");
            assert!(source.contains(&format!("async fn {test}()")), "{name}");
        }
    }
}
