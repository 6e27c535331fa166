use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::Duration;

use leasehold_model::{Clock as _, SystemClock};
use redb::{Builder, Database, DatabaseError, ReadOnlyDatabase, ReadableDatabase as _};
use redb::{ReadTransaction, WriteTransaction};

use crate::NativeError;

/// Runs `work` on the file as it stands, and lets go of the file.
///
/// Any number of processes can read at the same time.
///
/// # Errors
///
/// [`NativeError::Busy`] when a writer holds the file for longer than anyone waits, what opening the
/// file fails with, and what `work` fails with.
pub(crate) fn read<T>(
    file: &Path,
    work: impl FnOnce(&ReadTransaction) -> Result<T, NativeError>,
) -> Result<T, NativeError> {
    guard(file, || {
        let database = open_to_read(file)?;
        let transaction = database
            .begin_read()
            .map_err(|error| NativeError::from_database(file, error))?;
        work(&transaction)
    })
}

/// Runs `work` as one change of the file, on disk when this returns, and lets go of the file.
///
/// # Errors
///
/// As [`read`]; the file is as it was before then, except where the change was made and only the
/// report of it failed.
pub(crate) fn write<T>(
    file: &Path,
    work: impl FnOnce(&WriteTransaction) -> Result<T, NativeError>,
) -> Result<T, NativeError> {
    guard(file, || change(file, open_to_write(file)?, work))
}

/// Makes an empty file that exists into a database, with `work` as its first change.
pub(crate) fn initialise(
    file: &Path,
    work: impl FnOnce(&WriteTransaction) -> Result<(), NativeError>,
) -> Result<(), NativeError> {
    let database = builder()
        .create(file)
        .map_err(|error| NativeError::from_database(file, error))?;
    change(file, database, work)
}

fn change<T>(
    file: &Path,
    database: Database,
    work: impl FnOnce(&WriteTransaction) -> Result<T, NativeError>,
) -> Result<T, NativeError> {
    let transaction = database
        .begin_write()
        .map_err(|error| NativeError::from_database(file, error))?;
    let result = work(&transaction)?;
    transaction
        .commit()
        .map_err(|error| NativeError::from_database(file, error))?;
    database
        .close()
        .map_err(|error| NativeError::from_database(file, error))?;
    Ok(result)
}

fn open_to_read(file: &Path) -> Result<ReadOnlyDatabase, NativeError> {
    patiently(file, || match builder().open_read_only(file) {
        // Whoever wrote last was killed. Opening to write rolls back to the last whole change,
        // which an opening to read may not.
        Err(DatabaseError::RepairAborted) => {
            tracing::info!(file = %file.display(), "recover a native file that was not closed");
            open_to_write_once(file)?.close()?;
            builder().open_read_only(file)
        }
        outcome => outcome,
    })
}

fn open_to_write(file: &Path) -> Result<Database, NativeError> {
    patiently(file, || open_to_write_once(file))
}

fn open_to_write_once(file: &Path) -> Result<Database, DatabaseError> {
    builder()
        // Never builds on a damaged file; the file is small, so that looking at all of it is cheap.
        .set_check_integrity_on_open(true)
        .open(file)
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// Calls `open` until the file is free.
fn patiently<T>(
    file: &Path,
    mut open: impl FnMut() -> Result<T, DatabaseError>,
) -> Result<T, NativeError> {
    let deadline = SystemClock.boot().after(PATIENCE);
    loop {
        match open() {
            Err(DatabaseError::DatabaseAlreadyOpen | DatabaseError::RepairAborted)
                if SystemClock.boot() < deadline =>
            {
                pause();
            }
            outcome => return outcome.map_err(|error| NativeError::from_database(file, error)),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "another process's lock can be tried or waited for without a deadline, not with one"
)]
fn pause() {
    thread::sleep(BETWEEN_TRIES);
}

/// Turns a panic of the database into an error.
///
/// The database trusts what it reads and panics on some of what a disk or a person can do to a
/// file. It panics on its own pages, which hold no plaintext.
fn guard<T>(file: &Path, work: impl FnOnce() -> Result<T, NativeError>) -> Result<T, NativeError> {
    // Whatever was inconsistent is dropped on the way here, and nothing of it is looked at again.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(NativeError::corrupt(file)))
}

const CACHE_BYTES: usize = 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);
const BETWEEN_TRIES: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use redb::TableDefinition;

    use super::*;

    const TABLE: TableDefinition<'_, &[u8], u64> = TableDefinition::new("table");

    fn created() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("file");
        fs::write(&file, b"").expect("write");
        initialise(&file, |transaction| set(transaction, 1)).expect("initialised");
        (dir, file)
    }

    fn set(transaction: &WriteTransaction, value: u64) -> Result<(), NativeError> {
        let mut table = transaction.open_table(TABLE).expect("the table");
        table.insert(b"key".as_slice(), value).expect("inserted");
        Ok(())
    }

    fn get(file: &Path) -> u64 {
        read(file, |transaction| {
            let table = transaction.open_table(TABLE).expect("the table");
            let value = table.get(b"key".as_slice()).expect("read");
            Ok(value.expect("a value").value())
        })
        .expect("read")
    }

    #[test]
    fn a_file_that_a_writer_left_open_is_read_as_it_was_before_the_change() {
        let (dir, file) = created();
        let left_open = dir.path().join("copy");
        write(&file, |transaction| {
            set(transaction, 2)?;
            fs::copy(&file, &left_open).expect("what a kill at this point would leave");
            Ok(())
        })
        .expect("written");
        assert!(matches!(
            builder().open_read_only(&left_open),
            Err(DatabaseError::RepairAborted)
        ));
        assert_eq!(get(&left_open), 1);
        assert_eq!(get(&file), 2);
    }

    #[test]
    fn a_change_that_fails_or_panics_is_not_made() {
        let (_dir, file) = created();
        let failed = write(&file, |transaction| {
            set(transaction, 2)?;
            Err::<(), _>(NativeError::Crypto)
        });
        assert!(matches!(failed, Err(NativeError::Crypto)), "{failed:?}");
        let panicked: Result<(), _> = write(&file, |transaction| {
            set(transaction, 3)?;
            panic!("as the database does on a damaged page");
        });
        assert!(
            matches!(panicked, Err(NativeError::Corrupt { .. })),
            "{panicked:?}"
        );
        assert_eq!(get(&file), 1);
    }
}
