use std::thread;

use crate::lab::{Lab, fetch, fields};

const WRITERS: usize = 4;
const PUTS: usize = 8;

#[tokio::test]
async fn no_put_is_lost_and_no_read_fails_while_others_write() {
    let lab = Lab::new();
    lab.open().put("app", &fields("key", "value")).expect("put");
    let writers: Vec<_> = (0..WRITERS).map(|_| writer(&lab)).collect();
    let mut last = 0;
    while writers.iter().any(|it| !it.is_finished()) {
        let (_, version) = fetch(&lab.file(), &lab.key_file(), "app")
            .await
            .expect("a reader is never turned away");
        assert!(version >= last, "{version} after {last}");
        last = version;
    }
    let mut versions = Vec::new();
    for writer in writers {
        versions.extend(writer.join().expect("the writer ended"));
    }
    versions.sort_unstable();
    let want: Vec<u64> = (2..).take(WRITERS * PUTS).collect();
    assert_eq!(versions, want, "each put has a version of its own");
    let (_, version) = fetch(&lab.file(), &lab.key_file(), "app")
        .await
        .expect("fetched");
    assert_eq!(Some(&version), want.last());
}

// Each opens the file for itself, as a process of its own would: the locks are between open files
// and not between processes.
fn writer(lab: &Lab) -> thread::JoinHandle<Vec<u64>> {
    let file = lab.open();
    thread::spawn(move || {
        (0..PUTS)
            .map(|_| file.put("app", &fields("key", "value")).expect("put"))
            .collect()
    })
}
