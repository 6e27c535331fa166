use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use leasehold_model::{Clock as _, SystemClock};
use redb::StorageBackend;

use crate::LedgerError;

/// A ledger's file, locked for as long as this lives.
///
/// The lock is ours and not the database's: a database that has failed to write must be opened
/// anew, and nobody may come in between.
#[derive(Debug)]
pub(crate) struct LedgerFile {
    path: PathBuf,
    file: Arc<File>,
}

/// Opens and locks a file, or tells that somebody else has it locked.
type Take = fn(&Path) -> io::Result<Option<File>>;

impl LedgerFile {
    /// Opens a file for this process alone.
    pub(crate) fn lock(path: &Path) -> Result<Self, LedgerError> {
        Self::patiently(path, |path| {
            let file = OpenOptions::new().read(true).write(true).open(path)?;
            locked(file.try_lock(), file)
        })
    }

    /// Opens a file to look at, together with others who do.
    pub(crate) fn lock_shared(path: &Path) -> Result<Self, LedgerError> {
        Self::patiently(path, |path| {
            let file = File::open(path)?;
            locked(file.try_lock_shared(), file)
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the database a way to the file.
    pub(crate) fn backend(&self) -> Backend {
        Backend(Arc::clone(&self.file))
    }

    /// Returns the length of the file.
    pub(crate) fn len(&self) -> Result<u64, LedgerError> {
        let metadata = self.file.metadata();
        metadata
            .map(|it| it.len())
            .map_err(|error| LedgerError::from_io(&self.path, error))
    }

    /// Reads the whole file.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, LedgerError> {
        let length = usize::try_from(self.len()?).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        self.file
            .read_exact_at(&mut bytes, 0)
            .map_err(|error| LedgerError::from_io(&self.path, error))?;
        Ok(bytes)
    }

    /// Waits a moment for whoever only looks at the file.
    fn patiently(path: &Path, take: Take) -> Result<Self, LedgerError> {
        let failed = |error| LedgerError::from_io(path, error);
        let deadline = SystemClock.boot().after(PATIENCE);
        loop {
            let taken = take(path).map_err(failed)?;
            // What was locked may have been replaced by a repair in the meantime.
            if let Some(file) = taken
                && is_at(&file, path).map_err(failed)?
            {
                return Ok(Self {
                    path: path.to_path_buf(),
                    file: Arc::new(file),
                });
            }
            if SystemClock.boot() >= deadline {
                return Err(LedgerError::Busy {
                    file: path.to_path_buf(),
                });
            }
            pause();
        }
    }
}

/// The database's way to a file that is locked already.
#[derive(Debug)]
pub(crate) struct Backend(Arc<File>);

impl Backend {
    /// Gives a database a file that nobody else knows of yet.
    pub(crate) fn of(file: File) -> Self {
        Self(Arc::new(file))
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.0.metadata().map(|it| it.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}

fn locked(outcome: Result<(), TryLockError>, file: File) -> io::Result<Option<File>> {
    match outcome {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (this, there) = (file.metadata()?, fs::metadata(path)?);
    Ok((this.dev(), this.ino()) == (there.dev(), there.ino()))
}

#[expect(
    clippy::disallowed_methods,
    reason = "another process's lock can be tried or waited for without a deadline, not with one"
)]
fn pause() {
    thread::sleep(BETWEEN_TRIES);
}

const PATIENCE: Duration = Duration::from_secs(1);
const BETWEEN_TRIES: Duration = Duration::from_millis(5);
