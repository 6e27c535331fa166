use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use redb::backends::InMemoryBackend;
use redb::{Builder, Database, ReadableDatabase as _, ReadableTable as _, StorageBackend};
use redb::{ReadOnlyTable, TableDefinition, WriteTransaction};

use crate::LedgerError;
use crate::entry::{Entry, Fault};
use crate::file::{Backend, LedgerFile};

pub(crate) type Bytes = &'static [u8];

/// The one table. Its bytes are ours: redb is asked for nothing but keys in order.
pub(crate) const ENTRIES: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("entries");

/// Opens the database in a file, once it is certain that it is whole.
pub(crate) fn open(file: &LedgerFile) -> Result<Database, LedgerError> {
    // The database would make itself at home in an empty file, which a ledger never is.
    if file.len()? == 0 {
        return Err(LedgerError::damaged(file.path(), "it is empty"));
    }
    open_backend(file.path(), file.backend(), true)
}

/// Opens a copy in memory, so that the file itself is left as it is.
///
/// Where it is not checked, reading it may fail or panic at any entry.
pub(crate) fn open_copy(path: &Path, bytes: &[u8], check: bool) -> Result<Database, LedgerError> {
    let failed = |error| LedgerError::from_io(path, error);
    if bytes.is_empty() {
        return Err(LedgerError::damaged(path, "it is empty"));
    }
    let copy = InMemoryBackend::new();
    copy.set_len(bytes.len() as u64).map_err(failed)?;
    copy.write(0, bytes).map_err(failed)?;
    open_backend(path, copy, check)
}

/// Makes an empty file into a database with these keys and values.
pub(crate) fn initialise<'e>(
    path: &Path,
    backend: Backend,
    entries: impl IntoIterator<Item = &'e (Vec<u8>, Vec<u8>)>,
) -> Result<(), LedgerError> {
    let database = open_backend(path, backend, false)?;
    let failed = |error: redb::Error| LedgerError::from_database(path, error);
    let transaction = begin(path, &database)?;
    let mut table = transaction
        .open_table(ENTRIES)
        .map_err(|it| failed(it.into()))?;
    for (key, value) in entries {
        table
            .insert(key.as_slice(), value.as_slice())
            .map_err(|it| failed(it.into()))?;
    }
    drop(table);
    transaction.commit().map_err(|it| failed(it.into()))?;
    database.close().map_err(|it| failed(it.into()))
}

/// Begins a change.
///
/// It is committed in two phases: the pages are synced before the header names them. With one phase a
/// page that is damaged later looks like a commit that a crash cut short, and is dropped in silence
/// with all that was in it; with two it is damage.
pub(crate) fn begin(path: &Path, database: &Database) -> Result<WriteTransaction, LedgerError> {
    let mut transaction = database
        .begin_write()
        .map_err(|error| LedgerError::from_database(path, error))?;
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

/// Reads all entries, and fails at the first that is not what was written.
pub(crate) fn entries(path: &Path, database: &Database) -> Result<Vec<Entry>, LedgerError> {
    let failed = |error| LedgerError::from_database(path, error);
    let mut entries = Vec::new();
    for item in table(path, database)?.iter().map_err(failed)? {
        let (key, value) = item.map_err(failed)?;
        let (entry, _) = decode(path, key.value(), value.value())?;
        entries.push(entry);
    }
    Ok(entries)
}

/// Opens the table to read.
pub(crate) fn table(
    path: &Path,
    database: &Database,
) -> Result<ReadOnlyTable<Bytes, Bytes>, LedgerError> {
    let transaction = database
        .begin_read()
        .map_err(|error| LedgerError::from_database(path, error))?;
    transaction
        .open_table(ENTRIES)
        .map_err(|error| LedgerError::from_database(path, error))
}

/// Decodes what stands under a key.
pub(crate) fn decode(path: &Path, key: &[u8], value: &[u8]) -> Result<(Entry, u64), LedgerError> {
    Entry::decode(key, value).map_err(|fault| match fault {
        Fault::Format(found) => LedgerError::Format {
            file: path.to_path_buf(),
            found,
        },
        Fault::Damaged(why) => {
            let what = format!("entry {} can't be read: {why}", key.escape_ascii());
            LedgerError::damaged(path, what)
        }
    })
}

/// Turns a panic of the database into an error.
///
/// The database trusts what it reads and panics on some of what a disk or a person can do to a file.
pub(crate) fn guard<T>(
    path: &Path,
    work: impl FnOnce() -> Result<T, LedgerError>,
) -> Result<T, LedgerError> {
    // Whatever was inconsistent is dropped on the way here, and nothing of it is looked at again.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(LedgerError::damaged(path, "the database failed on it")))
}

fn open_backend(
    path: &Path,
    backend: impl StorageBackend,
    check: bool,
) -> Result<Database, LedgerError> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder.set_check_integrity_on_open(check);
    builder
        .create_with_backend(backend)
        .map_err(|error| LedgerError::from_database(path, error))
}

const CACHE_BYTES: usize = 4 * 1024 * 1024;
