use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use leasehold_provider_native::{NativeError, NativeFile};

use crate::lab::{Lab, fetch, fields};

/// Puts enough for the database to have more than one page of records.
fn written() -> (Lab, Vec<u8>) {
    let lab = Lab::new();
    let file = lab.open();
    let filler = "x".repeat(1000);
    for number in 0..12 {
        let fields = fields("key", &filler);
        file.put(&format!("other/{number}"), &fields).expect("put");
    }
    file.put("app", &fields("key", "the value")).expect("put");
    let bytes = fs::read(lab.file()).expect("the file");
    (lab, bytes)
}

fn changed(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[at] ^= 0x55;
    changed
}

#[tokio::test]
async fn a_byte_changed_anywhere_gives_the_right_value_or_an_error() {
    let (lab, bytes) = written();
    let copy = lab.dir().join("copy");
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    // The header whole, and the rest in strides that no structure of the file is a multiple of.
    for at in (0..512).chain((512..bytes.len()).step_by(131)) {
        fs::write(&copy, changed(&bytes, at)).expect("write");
        let outcome = match fetch(&copy, &lab.key_file(), "app").await {
            Ok((value, version)) => {
                assert_eq!((value.as_str(), version), ("the value", 1), "byte {at}");
                "right".to_owned()
            }
            Err(error) => {
                assert!(!error.to_string().contains("the value"), "{error}");
                error.detail.replace(&*copy.to_string_lossy(), "FILE")
            }
        };
        *seen.entry(outcome).or_default() += 1;
    }
    println!("{seen:#?}");
    assert!(seen.len() > 2, "the changes met different parts: {seen:#?}");
}

#[test]
fn a_change_is_not_written_over_damage() {
    let (lab, bytes) = written();
    let copy = lab.dir().join("copy");
    for at in (0..512).step_by(7).chain((512..bytes.len()).step_by(1021)) {
        fs::write(&copy, changed(&bytes, at)).expect("write");
        let put = NativeFile::open(&copy, lab.key_file())
            .and_then(|file| file.put("app", &fields("key", "the next")));
        // What is not damaged where it matters counts on from what it has.
        assert!(!matches!(put, Ok(version) if version != 2), "byte {at}");
    }
}

#[tokio::test]
async fn a_file_cut_short_is_told_as_such() {
    let (lab, bytes) = written();
    let copy = lab.dir().join("copy");
    for length in [0, 1, 64, 320, 4096, 5000, bytes.len() / 2, bytes.len() - 1] {
        fs::write(&copy, &bytes[..length]).expect("write");
        match NativeFile::open(&copy, lab.key_file()) {
            // The end of the file can be free space, which the database does without.
            Ok(_) => assert_right(&copy, &lab).await,
            Err(error) => {
                assert!(
                    matches!(error, NativeError::Corrupt { .. }),
                    "{length} bytes: {error:?}"
                );
            }
        }
    }
}

#[test]
fn another_kind_of_file_is_told_as_such() {
    let lab = Lab::new();
    let other = lab.dir().join("other");
    fs::write(&other, "providers: {}\n".repeat(1000)).expect("write");
    let error = NativeFile::open(&other, lab.key_file()).expect_err("not a native file");
    assert_eq!(
        error.to_string(),
        format!(
            "file {} is damaged or was not written by a native provider",
            other.display()
        )
    );
}

async fn assert_right(file: &Path, lab: &Lab) {
    let (value, version) = fetch(file, &lab.key_file(), "app").await.expect("fetched");
    assert_eq!((value.as_str(), version), ("the value", 1));
}
