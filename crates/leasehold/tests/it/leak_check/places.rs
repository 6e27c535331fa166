//! The places, and what was collected from each.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::{Form, scan};
use memchr::memmem;

use super::report::Finding;

/// What was collected, by the number of the place.
#[derive(Default)]
pub(crate) struct Places(BTreeMap<u8, Vec<Piece>>);

/// Something that was collected, such as one file.
pub(crate) struct Piece {
    pub(crate) name: String,
    bytes: Vec<u8>,
    /// What was found by other means, where it can't be collected.
    found: Vec<(usize, Form)>,
}

impl Places {
    /// Returns the numbers of those that there are.
    pub(crate) fn searched() -> impl Iterator<Item = u8> {
        let places = PLACES.iter().filter(|it| matches!(it.how, Searched(_)));
        places.map(|it| it.number)
    }

    pub(crate) fn add(&mut self, place: u8, name: &str, bytes: impl Into<Vec<u8>>) {
        self.0.entry(place).or_default().push(Piece {
            name: name.to_owned(),
            bytes: bytes.into(),
            found: Vec::new(),
        });
    }

    /// Adds what was searched where it is, such as the memory of a process.
    pub(crate) fn add_searched(&mut self, place: u8, name: &str, found: Vec<(usize, Form)>) {
        self.0.entry(place).or_default().push(Piece {
            name: name.to_owned(),
            bytes: Vec::new(),
            found,
        });
    }

    /// Adds every file below a directory, but for those of these names.
    pub(crate) fn add_files(&mut self, place: u8, dir: &Path, but: &[&str]) -> Result<()> {
        for entry in std::fs::read_dir(dir).with_context(|| dir.display().to_string())? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            self.add(place, "the names of files", name.as_bytes());
            if kind.is_dir() {
                self.add_files(place, &entry.path(), but)?;
            } else if kind.is_file() && !but.contains(&&*name) {
                self.add(place, &name, std::fs::read(entry.path())?);
            }
        }
        Ok(())
    }

    pub(crate) fn pieces(&self, place: u8) -> &[Piece] {
        self.0.get(&place).map_or(&[], Vec::as_slice)
    }
}

impl Piece {
    pub(crate) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Returns which secret was found, and how it was written.
    pub(crate) fn search(&self, secrets: &[String]) -> Result<Vec<(usize, Finding)>> {
        let mut found: Vec<_> = self
            .found
            .iter()
            .map(|(it, form)| (*it, Finding::Form(*form)))
            .collect();
        for hit in scan(&self.bytes, secrets)? {
            found.push((hit.secret, Finding::Form(hit.form)));
        }
        for at in memmem::find_iter(&self.bytes, GZIP) {
            // What only begins like it gives nothing.
            let unpacked = unpacked(self.bytes.get(at..).unwrap_or_default())?;
            for hit in scan(&unpacked, secrets)? {
                found.push((hit.secret, Finding::Packed(hit.form)));
            }
        }
        // Nothing of ours writes this form, so that it needs no reader: that it is there is the finding.
        found.extend(memmem::find_iter(&self.bytes, ZSTD).map(|_| (0, Finding::Unreadable)));
        Ok(found)
    }
}

/// Returns as much as can be unpacked from the beginning on.
fn unpacked(bytes: &[u8]) -> Result<Vec<u8>> {
    filtered(&["gzip", "-dcq"], bytes).map(|(_, out)| out)
}

/// Packs bytes with the program of that name.
pub(crate) fn packed(program: &str, bytes: &[u8]) -> Result<Vec<u8>> {
    let (well, out) = filtered(&[program, "-c"], bytes)?;
    ensure!(well, "{program} failed");
    Ok(out)
}

fn filtered(words: &[&str], bytes: &[u8]) -> Result<(bool, Vec<u8>)> {
    let (program, arguments) = words.split_first().context("a program")?;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| (*program).to_owned())?;
    let mut input = child.stdin.take().context("a pipe")?;
    let output = std::thread::scope(|scope| {
        // It may have seen enough before the end.
        scope.spawn(move || drop(input.write_all(bytes)));
        child.wait_with_output()
    })?;
    Ok((output.status.success(), output.stdout))
}

pub(crate) struct Place {
    pub(crate) number: u8,
    pub(crate) name: &'static str,
    pub(crate) how: How,
}

pub(crate) enum How {
    /// Searched, and what that means here.
    Searched(&'static str),
    /// Not there, and why.
    NotThere(&'static str),
}

use How::{NotThere, Searched};

const fn place(number: u8, name: &'static str, how: How) -> Place {
    Place { number, name, how }
}

pub(crate) const PLACES: [Place; 20] = [
    place(
        1,
        "heap after retirement and revocation",
        Searched("all writable memory, of retired credentials, 5 s later"),
    ),
    place(
        2,
        "stacks and registers",
        Searched("the stacks are in the same search; registers are not read"),
    ),
    place(
        3,
        "core on abort, SEGV, OOM",
        Searched("files after SIGABRT; `memory` in the test suite has SIGSEGV"),
    ),
    place(
        4,
        "/proc/PID of another process",
        Searched("environ, cmdline, maps, fd; refused to the same user by `memory`"),
    ),
    place(
        5,
        "swap",
        Searched("swapped pages are in the search of 1; status says how many there are"),
    ),
    place(
        6,
        "stdout, stderr, ledger, access log",
        Searched("`--log debug`, the most that there is, with RUST_LOG=trace set"),
    ),
    place(
        7,
        "panic text, backtrace, Debug",
        Searched("the log with RUST_BACKTRACE=full; the hook names places only"),
    ),
    place(
        8,
        "metrics, trace attributes, OTLP",
        Searched("/metrics, and all bytes that a collector got"),
    ),
    place(
        9,
        "admin answers, list, show, reload",
        Searched("what the verbs wrote, and the admin listener"),
    ),
    place(
        10,
        "configuration, databases, support output",
        Searched("configuration, encrypted file, ledger; doctor, check, ledger show, native list"),
    ),
    place(
        11,
        "temporary files, crash reports",
        Searched("every file below the directories that the gateway could write to"),
    ),
    place(
        12,
        "answers to consumers",
        Searched("echo, errors, redirects, challenges, cookies, TRACE, 400, 431, 503"),
    ),
    place(
        13,
        "response cache, coalescing",
        NotThere("no answer is kept and no two requests share one"),
    ),
    place(
        14,
        "wrong upstream",
        Searched("what came to a server that proxy variables and redirects lead to"),
    ),
    place(
        15,
        "SSLKEYLOGFILE",
        Searched("the file that the variable names, with TLS upstreams"),
    ),
    place(
        16,
        "timing of a comparison",
        Searched("nothing to search: digests are compared; answers to false keys are"),
    ),
    place(
        17,
        "child processes",
        Searched("the list of children of each thread, and their command lines"),
    ),
    place(
        18,
        "plug-in memory",
        NotThere("no plug-in code runs in the process"),
    ),
    place(
        19,
        "the evidence itself",
        Searched("the report of this check"),
    ),
    place(
        20,
        "history and layers of the build",
        Searched("every tracked file; in a long run the program too"),
    ),
];

const GZIP: &[u8] = &[0x1f, 0x8b, 0x08];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
