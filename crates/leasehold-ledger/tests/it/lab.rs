use std::io::{BufRead as _, BufReader, Lines};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use leasehold_ledger::{AnchorEnd, Change, Event, Former, IntentId, Ledger, LedgerError};
use leasehold_model::{GenerationNumber, InstanceName, SessionEpoch};

/// A directory with the ledger of instance `edge`.
pub(crate) struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Self { dir }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("ledger")
    }

    pub(crate) fn open(&self) -> (Ledger, Former) {
        open(&self.file()).expect("opened")
    }
}

pub(crate) fn open(file: &Path) -> Result<(Ledger, Former), LedgerError> {
    Ledger::open(file, &InstanceName::from("edge"))
}

pub(crate) fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

pub(crate) fn change(event: Event) -> Change {
    Change {
        provider: "vault".into(),
        event,
    }
}

pub(crate) fn session(accessor: &str) -> Change {
    change(Event::SessionOpened {
        epoch: SessionEpoch::FIRST,
        accessor: accessor.into(),
        logged_in_at: at(1),
        deadline: at(1000),
    })
}

pub(crate) fn session_ended(accessor: &str) -> Change {
    change(Event::SessionEnded {
        accessor: accessor.into(),
    })
}

pub(crate) fn anchor(accessor: &str) -> Change {
    change(Event::AnchorMinted {
        epoch: SessionEpoch::FIRST,
        accessor: accessor.into(),
        deadline: at(100),
    })
}

pub(crate) fn anchor_ended(accessor: &str, end: AnchorEnd) -> Change {
    change(Event::AnchorEnded {
        accessor: accessor.into(),
        end,
    })
}

pub(crate) fn intent(id: u64, holder: &str) -> Change {
    change(Event::IntentWritten {
        id: IntentId(id),
        credential: "orders".into(),
        consumer: Some("shop".into()),
        generation: GenerationNumber::FIRST,
        holder: holder.into(),
        at: at(2),
    })
}

pub(crate) fn issued(id: u64, lease_id: &str) -> Change {
    change(Event::IntentIssued {
        id: IntentId(id),
        lease_id: lease_id.into(),
        deadline: at(50),
    })
}

pub(crate) fn revoked(lease_id: &str) -> Change {
    change(Event::LeaseRevoked {
        lease_id: lease_id.into(),
    })
}

pub(crate) fn renewed(lease_id: &str, seconds: u64) -> Change {
    change(Event::LeaseRenewed {
        lease_id: lease_id.into(),
        deadline: at(seconds),
    })
}

/// Starts this program again to run one ignored test, in a shell that can set limits for it.
///
/// The shell becomes the test, so that killing it kills the test.
pub(crate) fn start(
    test: &str,
    file: &Path,
    shell: &str,
) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = Command::new("sh")
        .arg("-c")
        .arg(format!("{shell} exec \"$@\""))
        .arg("sh")
        .arg(std::env::current_exe().expect("this program"))
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let stdout = child.stdout.take().expect("its output");
    (child, BufReader::new(stdout).lines())
}

/// Returns the file that a test started by another one works on; none where it is run by hand.
#[expect(
    clippy::disallowed_methods,
    reason = "how a test tells the copy of itself that it starts where to work"
)]
pub(crate) fn file_of_started() -> Option<PathBuf> {
    std::env::var_os(FILE).map(PathBuf::from)
}

const FILE: &str = "LEASEHOLD_LEDGER_TEST_FILE";
