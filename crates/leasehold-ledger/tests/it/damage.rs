use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use leasehold_ledger::{Contents, Ledger, LedgerError, Report, repair};
use leasehold_model::InstanceName;

use crate::lab::{Lab, intent, issued, open, revoked, session};

/// Writes enough for the database to have several pages of entries.
fn written() -> (Lab, Vec<u8>) {
    let lab = Lab::new();
    let (ledger, _) = lab.open();
    ledger.note(session("s1"));
    for id in 0..LEASES {
        ledger.note(intent(id, "a1"));
        ledger.note(issued(id, &lease(id)));
    }
    ledger.close().expect("closed");
    let bytes = fs::read(lab.file()).expect("the file");
    (lab, bytes)
}

fn lease(id: u64) -> String {
    format!("database/creds/orders/{id:04}")
}

fn leases(contents: &Contents) -> BTreeSet<String> {
    let vault = contents.providers.get("vault");
    let leases = vault.map(|it| it.leases.iter().map(|it| it.lease_id.to_string()));
    leases.into_iter().flatten().collect()
}

fn all() -> BTreeSet<String> {
    (0..LEASES).map(lease).collect()
}

fn changed(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[at] ^= 0x55;
    changed
}

/// A lease found by whoever has only the bytes: its id stands there with its end.
fn stands_in(bytes: &[u8], lease: &str) -> bool {
    let text = format!("\"lease_id\":\"{lease}\"");
    bytes.windows(text.len()).any(|it| it == text.as_bytes())
}

/// Repairs and opens, and returns what the repair said.
fn repaired(copy: &Path) -> Report {
    let before = fs::read(copy).expect("the damaged file");
    let report = repair(copy).expect("repaired");
    if let Some(damaged) = &report.damaged {
        assert_eq!(fs::read(damaged).expect("kept"), before, "kept as it was");
        fs::remove_file(damaged).expect("removed");
    }
    let (ledger, former) = open(copy).expect("can be opened after the repair");
    ledger.close().expect("closed");
    let counted: usize = former
        .providers
        .values()
        .map(leasehold_ledger::Held::count)
        .sum();
    assert_eq!(counted, report.entries);
    report
}

#[test]
fn a_byte_changed_anywhere_gives_what_was_written_or_an_error_that_names_the_remedy() {
    let (lab, bytes) = written();
    let copy = lab.dir().join("copy");
    let remedy = format!("`leasehold ledger repair --file {}`", copy.display());
    let written = Ledger::inspect(lab.file()).expect("contents");
    assert_eq!(leases(&written), all());
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    // The header whole, and the rest in strides that no structure of the file is a multiple of.
    for at in (0..512).chain((512..bytes.len()).step_by(997)) {
        fs::write(&copy, changed(&bytes, at)).expect("write");
        let outcome = match Ledger::inspect(&copy) {
            Ok(contents) => {
                assert_eq!(contents, written, "byte {at}");
                "right".to_owned()
            }
            Err(error) => {
                assert!(error.to_string().contains(&remedy), "byte {at}: {error}");
                error.to_string().replace(&*copy.to_string_lossy(), "FILE")
            }
        };
        *seen.entry(outcome).or_default() += 1;
    }
    println!("{seen:#?}");
    assert!(seen.len() > 2, "the changes met different parts: {seen:#?}");
}

#[tokio::test]
async fn a_byte_changed_in_a_file_that_was_not_closed_gives_all_that_was_answered_or_an_error() {
    let lab = Lab::new();
    let (ledger, _) = lab.open();
    for id in 0..20 {
        ledger.note(intent(id, "a1"));
        ledger.write(issued(id, &lease(id))).await.expect("written");
    }
    let bytes = fs::read(lab.file()).expect("as a kill would leave it");
    ledger.close().expect("closed");
    let copy = lab.dir().join("copy");
    let written = Ledger::inspect(copy_of(&copy, &bytes)).expect("contents");
    assert_eq!(leases(&written).len(), 20);
    let (mut right, mut errors) = (0, 0);
    for at in (0..512).chain((512..bytes.len()).step_by(1009)) {
        match Ledger::inspect(copy_of(&copy, &changed(&bytes, at))) {
            // Never what was there one commit before: the change was answered as written.
            Ok(contents) => {
                assert_eq!(contents, written, "byte {at}");
                right += 1;
            }
            Err(_) => errors += 1,
        }
    }
    println!("{right} right, {errors} errors");
    assert!(right > 0 && errors > 0);
}

fn copy_of(path: &Path, bytes: &[u8]) -> PathBuf {
    fs::write(path, bytes).expect("write");
    path.to_path_buf()
}

#[test]
fn opening_says_the_same_as_looking_and_writes_nothing_over_damage() {
    let (lab, bytes) = written();
    let copy = lab.dir().join("copy");
    for at in (0..512).step_by(23).chain((512..bytes.len()).step_by(9973)) {
        let damaged = changed(&bytes, at);
        fs::write(&copy, &damaged).expect("write");
        let looked = Ledger::inspect(&copy).map(|it| leases(&it));
        match (open(&copy), looked) {
            (Ok((ledger, _)), Ok(_)) => ledger.close().expect("closed"),
            (Err(opened), Err(looked)) => {
                assert_eq!(opened.to_string(), looked.to_string(), "byte {at}");
            }
            (opened, looked) => panic!("byte {at}: {opened:?} and {looked:?}"),
        }
    }
}

#[test]
fn a_repair_keeps_every_lease_that_stands_in_the_file_or_says_what_it_could_not_read() {
    let (lab, bytes) = written();
    let copy = lab.dir().join("copy");
    let mut lossy = 0;
    for at in (0..512).step_by(5).chain((512..bytes.len()).step_by(3989)) {
        let damaged = changed(&bytes, at);
        fs::write(&copy, &damaged).expect("write");
        let report = repaired(&copy);
        let kept = leases(&report.contents);
        let lost: Vec<_> = all().difference(&kept).cloned().collect();
        assert!(
            lost.is_empty() || !report.unreadable.is_empty(),
            "byte {at}: {lost:?} silently"
        );
        // One byte can spoil one value at most.
        assert!(lost.len() <= 1, "byte {at}: {lost:?}");
        lossy += lost.len();
    }
    println!("{lossy} leases lost in all");
    assert!(lossy > 0, "some changes met a value");
}

#[test]
fn a_file_cut_short_anywhere_is_told_as_such_and_gives_up_what_is_left_of_it() {
    let (lab, bytes) = written();
    let copy = lab.dir().join("copy");
    let lengths = [0, 1, 64, 320, 4095, 4096, 5000].into_iter();
    for length in lengths.chain((8192..bytes.len()).step_by(9973)) {
        let cut = &bytes[..length];
        fs::write(&copy, cut).expect("write");
        match open(&copy) {
            // The end of the file can be free space, which the database does without.
            Ok((_, former)) => assert_eq!(former.providers["vault"].leases.len(), 200),
            Err(error) => {
                assert!(
                    matches!(error, LedgerError::Damaged { .. }),
                    "{length}: {error:?}"
                );
                let kept = leases(&repaired(&copy).contents);
                let there = all().into_iter().filter(|it| stands_in(cut, it));
                for lease in there {
                    // The last one may itself be cut.
                    let whole = kept.contains(&lease) || !stands_in(&cut[..length - 64], &lease);
                    assert!(whole, "{length}: {lease} is lost");
                }
            }
        }
    }
}

#[test]
fn other_files_are_told_as_such_and_leave_an_empty_ledger_for_any_instance() {
    let lab = Lab::new();
    let other = lab.dir().join("other");
    fs::write(&other, "providers: {}\n".repeat(1000)).expect("write");
    let error = open(&other).expect_err("not a ledger");
    let name = other.display();
    assert_eq!(
        error.to_string(),
        format!(
            "ledger {name} is damaged or was never one: it is no database; \
             `leasehold ledger repair --file {name}` keeps what can be read"
        )
    );
    let report = repaired(&other);
    assert_eq!((report.entries, report.contents.instance), (0, None));
    assert!(
        !report.unreadable.is_empty(),
        "it says why there is nothing"
    );
}

#[test]
fn a_database_of_another_kind_is_told_as_such() {
    let lab = Lab::new();
    let other = lab.dir().join("other");
    drop(redb::Database::create(&other).expect("a database"));
    let error = open(&other).expect_err("not a ledger");
    let want = "it does not have the entries of a ledger";
    assert!(error.to_string().contains(want), "{error}");
}

#[test]
fn entries_that_do_not_decode_are_told_and_repaired_by_key() {
    let (lab, _) = written();
    let key = b"l\0\x05vaultdatabase/creds/orders/0007";
    tamper(&lab.file(), |value| value[30] ^= 1, key);
    let error = open(&lab.file()).expect_err("damaged");
    let want = "entry l\\x00\\x05vaultdatabase/creds/orders/0007 can't be read: its checksum is";
    assert!(error.to_string().contains(want), "{error}");
    let report = repaired(&lab.file());
    let unreadable: Vec<_> = report
        .unreadable
        .iter()
        .map(|it| it.place.as_str())
        .collect();
    assert_eq!(unreadable, ["l\\x00\\x05vaultdatabase/creds/orders/0007"]);
    assert_eq!((report.loose, leases(&report.contents).len()), (0, 199));
    assert_eq!(report.contents.instance, Some(InstanceName::from("edge")));
}

#[test]
fn a_later_format_is_told_as_such() {
    let (lab, _) = written();
    tamper(&lab.file(), |value| value[3] = 2, b"f");
    let error = open(&lab.file()).expect_err("another format");
    let want = "has format 2, and this version knows format 1 only";
    assert!(error.to_string().contains(want), "{error}");
}

#[test]
fn a_sound_ledger_and_one_that_was_only_not_closed_are_left_as_they_are() {
    let (lab, bytes) = written();
    let report = repair(lab.file()).expect("looked at");
    assert!(
        report.damaged.is_none() && report.unreadable.is_empty(),
        "{report:?}"
    );
    assert_eq!(fs::read(lab.file()).expect("the file"), bytes);
    let (ledger, _) = lab.open();
    let left: PathBuf = lab.dir().join("what a kill would leave");
    fs::copy(lab.file(), &left).expect("copied");
    drop(ledger);
    let report = repair(&left).expect("looked at");
    assert!(report.damaged.is_none(), "{report:?}");
    assert_eq!(leases(&report.contents), all());
}

#[test]
fn after_a_repair_writing_goes_on_above_all_that_was_found() {
    let (lab, bytes) = written();
    // Nothing of the database's own structure is left, only its pages.
    let mut damaged = bytes;
    damaged[..4096].fill(0);
    fs::write(lab.file(), damaged).expect("write");
    let report = repaired(&lab.file());
    assert_eq!(leases(&report.contents), all());
    assert!(report.loose > 0, "{report:?}");
    let (ledger, _) = lab.open();
    ledger.note(revoked(&lease(5)));
    ledger.close().expect("closed");
    let contents = Ledger::inspect(lab.file()).expect("contents");
    assert!(!leases(&contents).contains(&lease(5)));
    assert_eq!(contents.instance, Some(InstanceName::from("edge")));
}

/// Changes a value as nobody but a fault of ours could: with the database's own checksums right.
fn tamper(file: &Path, change: impl FnOnce(&mut Vec<u8>), key: &[u8]) {
    let table: redb::TableDefinition<'_, &[u8], &[u8]> = redb::TableDefinition::new("entries");
    let database = redb::Database::open(file).expect("opened");
    let transaction = database.begin_write().expect("begun");
    {
        let mut table = transaction.open_table(table).expect("the table");
        let value = redb::ReadableTable::get(&table, key).expect("read");
        let mut value = value.expect("a value").value().to_vec();
        change(&mut value);
        table.insert(key, value.as_slice()).expect("inserted");
    }
    transaction.commit().expect("committed");
}

const LEASES: u64 = 200;
