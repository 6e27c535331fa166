//! The ledger by the command line.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use leasehold_ledger::{Change, Event, IntentId, Ledger};
use leasehold_model::{GenerationNumber, InstanceName, SessionEpoch};
use leasehold_testkit::Scratch;

#[test]
fn what_is_held_is_shown_to_people_and_to_programs() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path().join("ledger");
    write(&file)?;
    let shown = ledger(&["show"], &file)?;
    let out = text(&shown.stdout);
    for want in [
        "instance edge",
        "provider vault",
        "session acc-1  epoch 1  until 2020-09-13T12:26:40Z",
        "lease   db/creds/1  orders for shop  generation 1  held  by acc-1  until 2020-09-13T12:26:40Z",
    ] {
        ensure!(out.contains(want), "{want:?} is not in {out}");
    }
    let shown = ledger(&["show", "--json"], &file)?;
    let json: serde_json::Value = serde_json::from_slice(&shown.stdout)?;
    ensure!(json["instance"] == "edge", "{json}");
    let lease = &json["providers"]["vault"]["leases"][0];
    ensure!(lease["lease_id"] == "db/creds/1", "{json}");
    ensure!(lease["deadline"] == "2020-09-13T12:26:40Z", "{json}");
    ensure!(lease["state"] == "held", "{json}");
    Ok(())
}

#[test]
fn a_damaged_ledger_is_refused_with_the_remedy_and_the_remedy_works() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path().join("ledger");
    write(&file)?;
    let mut bytes = fs::read(&file)?;
    bytes.get_mut(..64).context("a header")?.fill(0);
    fs::write(&file, bytes)?;
    let shown = ledger(&["show"], &file)?;
    let remedy = format!("`leasehold ledger repair --file {}`", file.display());
    ensure!(!shown.status.success(), "{shown:?}");
    ensure!(text(&shown.stderr).contains(&remedy), "{shown:?}");

    let repaired = ledger(&["repair"], &file)?;
    ensure!(repaired.status.success(), "{repaired:?}");
    let out = text(&repaired.stdout);
    let kept = "Kept for instance edge: 1 sessions, 0 anchors, 1 leases, 0 intents.";
    ensure!(out.contains(kept), "{out}");
    ensure!(out.contains("ledger.damaged-"), "{out}");
    let shown = ledger(&["show"], &file)?;
    ensure!(text(&shown.stdout).contains("db/creds/1"), "{shown:?}");
    let again = ledger(&["repair"], &file)?;
    ensure!(text(&again.stdout).contains("is sound"), "{again:?}");
    Ok(())
}

#[test]
fn a_ledger_of_which_nothing_is_left_says_where_to_look_instead() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.path().join("ledger");
    fs::write(&file, "")?;
    let repaired = ledger(&["repair"], &file)?;
    let out = text(&repaired.stdout);
    ensure!(repaired.status.success(), "{repaired:?}");
    ensure!(out.contains("`bao list sys/leases/lookup/PATH`"), "{out}");
    Ledger::open(&file, &InstanceName::from("any"))?.0.close()?;
    Ok(())
}

fn write(file: &Path) -> Result<()> {
    let (ledger, _) = Ledger::open(file, &InstanceName::from("edge"))?;
    let at = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    for event in [
        Event::SessionOpened {
            epoch: SessionEpoch::FIRST,
            accessor: "acc-1".into(),
            logged_in_at: at,
            deadline: at,
        },
        Event::IntentWritten {
            id: IntentId(1),
            credential: "orders".into(),
            consumer: Some("shop".into()),
            generation: GenerationNumber::FIRST,
            holder: "acc-1".into(),
            at,
        },
        Event::IntentIssued {
            id: IntentId(1),
            lease_id: "db/creds/1".into(),
            deadline: at,
        },
    ] {
        ledger.note(Change {
            provider: "vault".into(),
            event,
        });
    }
    ledger.close()?;
    Ok(())
}

fn ledger(args: &[&str], file: &Path) -> Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leasehold"));
    command.arg("ledger").args(args).arg("--file").arg(file);
    Ok(command.output()?)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
