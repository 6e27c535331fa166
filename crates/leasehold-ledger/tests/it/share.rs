use std::fs;
use std::os::unix::fs::MetadataExt as _;

use leasehold_ledger::{Ledger, LedgerError, repair};

use crate::lab::{Lab, file_of_started, open, start};

#[test]
fn a_new_ledger_belongs_to_its_owner_alone_and_has_nothing_beside_it() {
    let lab = Lab::new();
    drop(lab.open());
    let mode = fs::metadata(lab.file()).expect("metadata").mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(fs::read_dir(lab.dir()).expect("entries").count(), 1);
}

#[test]
fn a_directory_that_is_not_there_is_not_made() {
    let lab = Lab::new();
    let file = lab.dir().join("none").join("ledger");
    let error = open(&file).expect_err("no directory");
    assert!(matches!(error, LedgerError::Create { .. }), "{error:?}");
    assert!(!lab.dir().join("none").exists());
}

#[test]
fn looking_at_what_is_not_there_makes_nothing() {
    let lab = Lab::new();
    for error in [
        Ledger::inspect(lab.file()).expect_err("nothing to look at"),
        repair(lab.file()).expect_err("nothing to repair"),
    ] {
        assert!(matches!(error, LedgerError::Missing { .. }), "{error:?}");
    }
    assert_eq!(fs::read_dir(lab.dir()).expect("entries").count(), 0);
}

#[test]
fn another_process_is_refused_by_the_name_of_the_file_until_the_first_has_ended() {
    let lab = Lab::new();
    let (mut child, mut lines) = start("share::holder", &lab.file(), "");
    let mut reported = lines.by_ref().map_while(Result::ok);
    assert!(reported.any(|it| it == "held"), "held by the other process");
    let want = format!(
        "ledger {} is in use by another process",
        lab.file().display()
    );
    for error in [
        open(&lab.file()).expect_err("in use"),
        Ledger::inspect(lab.file()).expect_err("in use"),
        repair(lab.file()).expect_err("in use"),
    ] {
        assert!(error.to_string().starts_with(&want), "{error}");
    }
    child.kill().expect("killed");
    child.wait().expect("ended");
    open(&lab.file()).expect("free again");
}

/// Is the other process: holds the ledger until it is killed.
#[test]
#[ignore = "started by the test that kills it"]
fn holder() {
    let Some(file) = file_of_started() else {
        return;
    };
    let _ledger = open(&file).expect("opened");
    println!("\nheld");
    loop {
        std::thread::park();
    }
}

#[test]
fn of_those_who_open_a_new_ledger_at_once_one_does() {
    let lab = Lab::new();
    let file = lab.file();
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| open(&file))).collect();
        let ended = threads.into_iter().map(|it| it.join().expect("ended"));
        ended.collect()
    });
    let refused = results
        .iter()
        .filter(|it| matches!(it, Err(LedgerError::Busy { .. })));
    assert_eq!(refused.count(), 3, "{results:?}");
}
