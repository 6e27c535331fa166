use std::path::Path;

use leasehold_ledger::{Event, IntentId, Ledger, LedgerError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::lab::{Lab, change, file_of_started, intent, issued, open, renewed, start};

#[test]
fn a_full_disk_refuses_writes_keeps_notes_and_heals_by_itself() {
    let lab = Lab::new();
    // The signal is ignored, so that the limit is an error of the write, as a full disk is.
    let (mut child, lines) = start("full::filler", &lab.file(), "trap '' XFSZ;");
    let printed: Vec<_> = lines.map_while(Result::ok).collect();
    let status = child.wait().expect("ended");
    assert!(status.success(), "{printed:#?}");
    assert!(printed.iter().any(|it| it == "healed"), "{printed:#?}");

    let contents = Ledger::inspect(lab.file()).expect("contents");
    let vault = &contents.providers["vault"];
    assert_eq!(vault.leases.len(), 2);
    assert_eq!(
        vault.intents.len(),
        1,
        "only the one that was written in the end"
    );
    assert_eq!(vault.totals.unmatched, 0);
}

/// Is the process on the full disk: its files can't grow at first.
#[tokio::test]
#[ignore = "started by the test that looks at the file afterwards"]
async fn filler() {
    let Some(file) = file_of_started() else {
        return;
    };
    let (ledger, _) = open(&file).expect("opened");
    ledger.write(intent(1, "a1")).await.expect("written");
    ledger.write(issued(1, "l1")).await.expect("written");
    ledger.write(intent(2, "a1")).await.expect("written");
    limit(Some(1));
    let error = ledger.write(intent(3, "a1")).await.expect_err("full");
    assert!(matches!(error, LedgerError::Access { .. }), "{error:?}");
    assert!(
        error.to_string().contains(&*file.to_string_lossy()),
        "{error}"
    );

    // What happened at the provider is kept, however long it takes.
    ledger.note(issued(2, "l2"));
    for second in 0..100 {
        ledger.note(renewed("l1", 1000 + second));
    }
    let error = ledger.write(intent(4, "a1")).await.expect_err("full");
    assert!(matches!(error, LedgerError::Access { .. }), "{error:?}");
    let health = ledger.health();
    assert!(health.failures >= 2 && health.error.is_some(), "{health:?}");
    // The lease, one renewal, and that two intents are withdrawn.
    assert_eq!(health.unwritten, 4, "{health:?}");

    limit(None);
    ledger.write(intent(5, "a1")).await.expect("written again");
    let health = ledger.health();
    assert!(
        health.unwritten == 0 && health.error.is_none(),
        "{health:?}"
    );
    assert!(health.failures >= 2, "{health:?}");
    ledger.close().expect("closed");
    println!("\nhealed");
}

#[test]
fn notes_alone_heal_without_a_write_and_what_is_lost_at_the_end_is_told() {
    let lab = Lab::new();
    let (mut child, lines) = start("full::waiter", &lab.file(), "trap '' XFSZ;");
    let printed: Vec<_> = lines.map_while(Result::ok).collect();
    assert!(child.wait().expect("ended").success(), "{printed:#?}");
    assert!(printed.iter().any(|it| it == "told"), "{printed:#?}");
    assert_eq!(intents(&lab.file()), [IntentId(1)]);
}

/// Is the process on the disk that is full, then not, then full again at the end.
#[tokio::test]
#[ignore = "started by the test that looks at the file afterwards"]
async fn waiter() {
    let Some(file) = file_of_started() else {
        return;
    };
    let (ledger, _) = open(&file).expect("opened");
    limit(Some(1));
    ledger.note(intent(1, "a1"));
    while ledger.health().error.is_none() {
        tokio::task::yield_now().await;
    }
    limit(None);
    while ledger.health().error.is_some() {
        tokio::task::yield_now().await;
    }
    limit(Some(1));
    ledger.note(intent(2, "a1"));
    ledger.note(change(Event::IntentMaybeLeaked { id: IntentId(2) }));
    let error = ledger.close().expect_err("full");
    assert!(
        matches!(error, LedgerError::Unwritten { count: 2, .. }),
        "{error:?}"
    );
    println!("\ntold");
}

fn intents(file: &Path) -> Vec<IntentId> {
    let contents = Ledger::inspect(file).expect("contents");
    let vault = contents.providers.get("vault");
    vault
        .map(|it| it.intents.iter().map(|it| it.id).collect())
        .unwrap_or_default()
}

/// Lets this process write no byte of a file beyond the first `bytes`.
fn limit(bytes: Option<u64>) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    let limit = Rlimit {
        current: bytes.or(maximum),
        maximum,
    };
    setrlimit(Resource::Fsize, limit).expect("limited");
}
