use std::io::{BufRead as _, BufReader, Lines, Write as _, stdin};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::lab::{Lab, fetch, fields, open};

const ROUNDS: u64 = 8;

#[tokio::test]
async fn a_writer_killed_at_any_point_leaves_the_old_version_or_the_new_one() {
    let lab = Lab::new();
    let mut version = 0;
    for round in 1..=ROUNDS {
        let (mut child, mut lines) = start(lab.dir());
        let mut reported = version;
        while reported < version + round {
            reported = next_report(&mut lines).expect("the writer is alive");
        }
        fetch(&lab.file(), &lab.key_file(), "app")
            .await
            .expect("a reader is not turned away by another process");
        child.kill().expect("killed");
        child.wait().expect("ended");
        while let Some(it) = next_report(&mut lines) {
            reported = it;
        }
        let (value, found) = fetch(&lab.file(), &lab.key_file(), "app")
            .await
            .expect("the file can be read");
        assert!(
            found == reported || found == reported + 1,
            "found version {found} after {reported} was reported"
        );
        assert_eq!(value, format!("value {found}"));
        version = found;
    }
    let next = lab.open().put("app", &fields("key", "end")).expect("put");
    assert_eq!(next, version + 1);
}

/// Is the process that is killed: puts one version after the other and reports each.
#[test]
#[ignore = "started by the test that kills it"]
fn writer() {
    let mut dir = String::new();
    stdin().read_line(&mut dir).expect("a line");
    if dir.is_empty() {
        // Run by hand, with all ignored tests.
        return;
    }
    let file = open(Path::new(dir.trim_end()));
    let listed = file.list().expect("a list");
    let mut version = listed.first().map_or(0, |entry| entry.version);
    loop {
        let value = format!("value {}", version + 1);
        version = file.put("app", &fields("key", &value)).expect("put");
        println!("\nput {version}");
    }
}

fn start(dir: &Path) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["crash::writer", "--exact", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut stdin = child.stdin.take().expect("its input");
    writeln!(stdin, "{}", dir.display()).expect("told where");
    let stdout = child.stdout.take().expect("its output");
    (child, BufReader::new(stdout).lines())
}

fn next_report(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<u64> {
    lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("put ")?.parse().ok())
}
