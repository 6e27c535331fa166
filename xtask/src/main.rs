//! Development commands: `cargo xtask <command>`.
#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a command for the terminal says what it does there"
)]

mod ci;
mod crash;
mod engine;
mod generate;
mod layers;
mod leaks;
mod metrics;
mod peers;
mod run;
mod setup;
mod storm;
mod suite;

use std::process::ExitCode;

use anyhow::{Result, bail};

use run::{Steps, Workspace};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut steps = Steps::default();
    let outcome = dispatch(&mut steps, &arguments);
    steps.print();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(steps: &mut Steps, arguments: &[String]) -> Result<()> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some((command, rest)) = words.split_first() else {
        println!("{HELP}");
        return Ok(());
    };
    let workspace = Workspace::find()?;
    match (*command, rest) {
        ("setup", []) => steps.run("setup", || setup::servers(&workspace)),
        ("test", arguments) => ci::test(&workspace, steps, arguments),
        ("check-layers", []) => steps.run("check-layers", || layers::check(&workspace)),
        ("check-layers", ["--self-test"]) => ci::check_layers(&workspace, steps),
        ("gen", []) => steps.run("gen", || generate::write(&workspace)),
        ("gen", ["--check"]) => steps.run("gen", || generate::check(&workspace)),
        ("simulate", ["--seeds", count]) => steps.run("simulate", || {
            engine::simulate(&workspace, "SIMULATION_SEEDS", count)
        }),
        ("simulate", ["--seed", seed]) => steps.run("simulate", || {
            engine::simulate(&workspace, "SIMULATION_SEED", seed)
        }),
        ("paths", ["--count", count, "--seed", seed]) => {
            steps.run("paths", || suite::paths(&workspace, count, seed))
        }
        ("differential", ["--requests", count, "--seed", seed]) => steps
            .run("differential", || {
                suite::differential(&workspace, count, seed)
            }),
        ("websocket-conformance", []) => steps.run("websocket-conformance", || {
            suite::websocket_conformance(&workspace)
        }),
        ("leak-check", []) => steps.run("leak-check", || leaks::check(&workspace)),
        ("leak-check", ["--short"]) => steps.run("leak-check", || leaks::check_shortly(&workspace)),
        ("leak-check", ["--self-test"]) => {
            steps.run("leak-check --self-test", || leaks::self_test(&workspace))
        }
        ("bench", ["engine"]) => steps.run("bench engine", || engine::bench(&workspace)),
        ("crash-runs", ["--runs", count, "--seed", seed]) => {
            steps.run("crash-runs", || crash::runs(&workspace, count, seed))
        }
        ("bench", ["peers", options @ ..]) => {
            steps.run("bench peers", || peers::bench(&workspace, options))
        }
        ("bench", ["floods"]) => steps.run("bench floods", || peers::floods(&workspace)),
        ("bench", [name, options @ ..]) => {
            steps.run(name, || storm::bench(&workspace, name, options))
        }
        ("ci-checks", []) => ci::checks(&workspace, steps),
        ("ci", []) => {
            ci::checks(&workspace, steps)?;
            ci::test(&workspace, steps, &[])
        }
        ("help" | "--help" | "-h", _) => {
            println!("{HELP}");
            Ok(())
        }
        _ => bail!("no such command: {}\n{HELP}", words.join(" ")),
    }
}

const HELP: &str = "\
cargo xtask <command>

  setup                       install the servers that tests start into target/tools
  test [ARGUMENTS]            set up, build, and run all tests; arguments go to `cargo test`
  check-layers [--self-test]  check the walls between the rooms; prove that they fail when breached
  gen [--check]               write what is generated and committed; or fail where it differs
  simulate --seeds COUNT      the engine's simulation in which everything happens, that many times
  simulate --seed SEED        one of those again
  bench engine                memory a slot and CPU time a step with 100,000 credentials
  crash-runs --runs COUNT --seed SEED
                              kill gateways at random moments, that many times from that seed on
  paths --count COUNT --seed SEED
                              route matched equals route forwarded, for that many random paths
  differential --requests COUNT --seed SEED
                              that many mutated requests to each of nginx, HAProxy, Waitress and Node.js
                              behind the gateway
  leak-check [--short]        look for credentials in all that a gateway leaves behind, in every form;
                              the report is in target/leak-check
  leak-check --self-test      prove that it finds them, in each place and form
  websocket-conformance       all cases of the Autobahn suite, directly and through the gateway
  bench rotations [--count COUNT]
                              the gateway rotates short-lived users under load
  bench leases [--count COUNT] [--ttl TTL] [--seconds SECONDS]
                              the gateway issues many leases, holds them and gives them back
  bench outage [--seconds SECONDS]
                              OpenBao hangs, then dies, then is sealed, under load
  bench cascade [--count COUNT]
                              what readers wait while OpenBao ends a token with its leases
  bench reloads [--count COUNT]
                              new configurations under load, by default 200
  bench upgrades [--count COUNT]
                              one program after the other under load, by default 20
  bench floods                what ten floods cost a client who behaves, and how much memory they take
  bench peers [--count ROUNDS] [--scenarios ID,ID]
                              CPU time a request beside nginx, HAProxy and Envoy, latency, idle memory
  ci-checks                   everything that CI checks before it tests
  ci                          everything that CI does";
