//! `leasehold check` and `leasehold schema`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use anyhow::{Result, ensure};
use leasehold_testkit::Scratch;

#[test]
fn every_example_passes() -> Result<()> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut checked = 0;
    for entry in fs::read_dir(examples)? {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "yaml") {
            let output = check(&path)?;
            ensure!(output.status.success(), "{path:?}: {}", stderr(&output));
            checked += 1;
        }
    }
    ensure!(checked >= 3, "only {checked} examples");
    Ok(())
}

#[test]
fn all_faults_are_shown_at_once_with_their_lines_and_no_secret() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path().join("leasehold.yaml");
    fs::write(
        &file,
        "instance: edge\n\
         listeners: { public: { adress: \"127.0.0.1:8080\" } }\n\
         providers:\n  \
           vault:\n    \
             kind: vault\n    \
             address: http://127.0.0.1:8200\n    \
             auth: { approle: { role_id: gateway, secret_id: canary-7d1f0c55 } }\n\
         upstreams: { payments: { endpoints: [\"ftp://payments\"] } }\n\
         routes: [{ upstream: payment, consumers: anyone }]\n",
    )?;
    let output = check(&file)?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let report = stderr(&output);
    for place in [
        "leasehold.yaml:2:",
        "leasehold.yaml:7:",
        "leasehold.yaml:8:",
        "leasehold.yaml:9:",
    ] {
        ensure!(report.contains(place), "no {place} in\n{report}");
    }
    ensure!(report.contains("help:"), "{report}");
    ensure!(!report.contains("canary-7d1f0c55"), "{report}");

    let serve = leasehold(&["serve", "--config"], &file)?;
    ensure!(serve.status.code() == Some(1), "{serve:?}");
    ensure!(!stderr(&serve).contains("canary-7d1f0c55"));
    Ok(())
}

#[test]
fn a_missing_file_is_named() -> Result<()> {
    let output = check(Path::new("/nonexistent/leasehold.yaml"))?;
    ensure!(output.status.code() == Some(1));
    ensure!(
        stderr(&output).contains("/nonexistent/leasehold.yaml"),
        "{}",
        stderr(&output)
    );
    Ok(())
}

fn check(file: &Path) -> Result<Output> {
    leasehold(&["check", "--config"], file)
}

fn leasehold(args: &[&str], file: &Path) -> Result<Output> {
    Ok(Command::new(env!("CARGO_BIN_EXE_leasehold"))
        .args(args)
        .arg(file)
        .output()?)
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
