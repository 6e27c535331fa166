use std::path::Path;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition};
use redb::{StorageError, WriteTransaction};
use zeroize::Zeroizing;

use crate::NativeError;
use crate::key::{FileKey, random};
use crate::record::FileId;

/// What is in a file, to look at or, with [`WriteTables`], to change.
///
/// `versions` has the last version of each path and never loses one; `records` has the encrypted
/// record of that version; `meta` says what file this is.
pub(crate) struct Tables<'f, B, N> {
    file: &'f Path,
    meta: B,
    records: B,
    versions: N,
}

pub(crate) type ReadTables<'f> = Tables<'f, ReadOnlyTable<Bytes, Bytes>, ReadOnlyTable<Bytes, u64>>;

pub(crate) type WriteTables<'f, 't> = Tables<'f, Table<'t, Bytes, Bytes>, Table<'t, Bytes, u64>>;

impl<'f> ReadTables<'f> {
    pub(crate) fn open(file: &'f Path, transaction: &ReadTransaction) -> Result<Self, NativeError> {
        let failed = |error| NativeError::from_database(file, error);
        Ok(Self {
            file,
            meta: transaction.open_table(META).map_err(failed)?,
            records: transaction.open_table(RECORDS).map_err(failed)?,
            versions: transaction.open_table(VERSIONS).map_err(failed)?,
        })
    }
}

impl<'f, 't> WriteTables<'f, 't> {
    pub(crate) fn open(
        file: &'f Path,
        transaction: &'t WriteTransaction,
    ) -> Result<Self, NativeError> {
        let failed = |error| NativeError::from_database(file, error);
        Ok(Self {
            file,
            meta: transaction.open_table(META).map_err(failed)?,
            records: transaction.open_table(RECORDS).map_err(failed)?,
            versions: transaction.open_table(VERSIONS).map_err(failed)?,
        })
    }

    /// Makes this the file of a key: gives it an id of its own and a constant that only the key can
    /// have encrypted.
    pub(crate) fn found(&mut self, key: &FileKey) -> Result<(), NativeError> {
        let id: FileId = random()?;
        let check = key.seal(&check_context(id), Zeroizing::new(CHECK.to_vec()))?;
        for (name, value) in [
            (FORMAT_KEY, [FORMAT].as_slice()),
            (ID_KEY, &id),
            (CHECK_KEY, &check),
        ] {
            let failed = |error: StorageError| NativeError::from_database(self.file, error);
            self.meta.insert(name, value).map_err(failed)?;
        }
        Ok(())
    }

    /// Makes this the record of a path, in place of the one it had.
    pub(crate) fn put(
        &mut self,
        path: &str,
        version: u64,
        record: &[u8],
    ) -> Result<(), NativeError> {
        let failed = |error| NativeError::from_database(self.file, error);
        let path = path.as_bytes();
        self.versions.insert(path, version).map_err(failed)?;
        self.records.insert(path, record).map_err(failed)?;
        Ok(())
    }
}

impl<B, N> Tables<'_, B, N>
where
    B: ReadableTable<Bytes, Bytes>,
    N: ReadableTable<Bytes, u64>,
{
    /// Returns the id of the file, once it is certain that the key is the one it was written with.
    pub(crate) fn identify(&self, key: &FileKey, key_file: &Path) -> Result<FileId, NativeError> {
        let damaged = || NativeError::corrupt(self.file);
        match self.meta(FORMAT_KEY)?.as_deref() {
            Some(&[FORMAT]) => (),
            Some(&[found]) => {
                let file = self.file.to_path_buf();
                return Err(NativeError::Format { file, found });
            }
            _ => return Err(damaged()),
        }
        let id = self.meta(ID_KEY)?.and_then(|id| id.try_into().ok());
        let id = id.ok_or_else(damaged)?;
        let check = self.meta(CHECK_KEY)?.ok_or_else(damaged)?;
        match key.open(&check_context(id), &check) {
            Some(text) if text.as_slice() == CHECK => Ok(id),
            _ => Err(NativeError::WrongKey {
                file: self.file.to_path_buf(),
                key_file: key_file.to_path_buf(),
            }),
        }
    }

    /// Returns the last version of a path that something was ever put at.
    pub(crate) fn version(&self, path: &str) -> Result<Option<u64>, NativeError> {
        self.versions
            .get(path.as_bytes())
            .map(|version| version.map(|it| it.value()))
            .map_err(|error| NativeError::from_database(self.file, error))
    }

    /// Returns the encrypted record of a path.
    pub(crate) fn record(&self, path: &str) -> Result<Option<Vec<u8>>, NativeError> {
        self.records
            .get(path.as_bytes())
            .map(|record| record.map(|it| it.value().to_vec()))
            .map_err(|error| NativeError::from_database(self.file, error))
    }

    /// Returns every path that something was ever put at, in order.
    pub(crate) fn paths(&self) -> Result<Vec<String>, NativeError> {
        let failed = |error| NativeError::from_database(self.file, error);
        let mut paths = Vec::new();
        for entry in self.versions.iter().map_err(failed)? {
            let (path, _) = entry.map_err(failed)?;
            let path = str::from_utf8(path.value()).ok().map(str::to_owned);
            paths.push(path.ok_or_else(|| NativeError::corrupt(self.file))?);
        }
        Ok(paths)
    }

    fn meta(&self, name: &[u8]) -> Result<Option<Vec<u8>>, NativeError> {
        self.meta
            .get(name)
            .map(|value| value.map(|it| it.value().to_vec()))
            .map_err(|error| NativeError::from_database(self.file, error))
    }
}

fn check_context(id: FileId) -> Vec<u8> {
    [CHECK_LABEL, id.as_slice()].concat()
}

/// Only bytes and numbers go into the database, so that what a file holds is up to this crate's own
/// encoding and not to how the database encodes a type.
type Bytes = &'static [u8];

const META: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("meta");
const RECORDS: TableDefinition<'_, Bytes, Bytes> = TableDefinition::new("records");
const VERSIONS: TableDefinition<'_, Bytes, u64> = TableDefinition::new("versions");

const FORMAT_KEY: &[u8] = b"format";
const ID_KEY: &[u8] = b"id";
const CHECK_KEY: &[u8] = b"check";

const FORMAT: u8 = 1;
const CHECK: &[u8] = b"leasehold native file";
const CHECK_LABEL: &[u8] = b"leasehold native 1 key check\0";

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use leasehold_provider::Material;
    use leasehold_secret::Secret;

    use super::*;
    use crate::{EntryState, NativeFile, database};

    struct Lab {
        dir: tempfile::TempDir,
        native: NativeFile,
    }

    impl Lab {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a temporary directory");
            let native = NativeFile::create(dir.path().join("file"), dir.path().join("key"))
                .expect("created");
            Self { dir, native }
        }

        fn file(&self) -> PathBuf {
            self.dir.path().join("file")
        }

        /// Changes the file as someone could who has the file and not the key.
        fn tamper(&self, change: impl FnOnce(&mut WriteTables<'_, '_>)) {
            let file = self.file();
            database::write(&file, |transaction| {
                change(&mut WriteTables::open(&file, transaction)?);
                Ok(())
            })
            .expect("tampered");
        }

        fn put(&self, path: &str, value: &str) {
            let mut fields = Material::default();
            fields.insert("key", Secret::new(value));
            self.native.put(path, &fields).expect("put");
        }

        fn assert_damaged(&self, path: &str, version: u64) {
            let want = format!("record {path} version {version} is damaged");
            let error = self.native.get(path).expect_err("damaged");
            assert_eq!(error.to_string(), want);
            let mut fields = Material::default();
            fields.insert("key", Secret::new("next"));
            let error = self.native.put(path, &fields).expect_err("damaged");
            assert_eq!(error.to_string(), want);
            let error = self.native.delete(path).expect_err("damaged");
            assert_eq!(error.to_string(), want);
            let list = self.native.list().expect("a list");
            let entry = list.iter().find(|it| it.path == path).expect("its entry");
            assert_eq!((entry.version, entry.state), (version, EntryState::Damaged));
        }
    }

    #[test]
    fn a_changed_byte_of_a_record_is_noticed() {
        let lab = Lab::new();
        lab.put("app", "one");
        lab.tamper(|tables| {
            let mut record = tables.record("app").expect("read").expect("a record");
            *record.last_mut().expect("a byte") ^= 1;
            tables.put("app", 1, &record).expect("put");
        });
        lab.assert_damaged("app", 1);
    }

    #[test]
    fn a_record_of_another_path_is_noticed() {
        let lab = Lab::new();
        lab.put("app", "one");
        lab.put("other", "two");
        lab.tamper(|tables| {
            let record = tables.record("other").expect("read").expect("a record");
            tables.put("app", 1, &record).expect("put");
        });
        lab.assert_damaged("app", 1);
    }

    #[test]
    fn a_changed_version_or_an_older_record_is_noticed() {
        let lab = Lab::new();
        lab.put("app", "one");
        let (mut first, file) = (Vec::new(), lab.file());
        database::read(&file, |transaction| {
            let tables = ReadTables::open(&file, transaction)?;
            first = tables.record("app")?.expect("a record");
            Ok(())
        })
        .expect("read");
        lab.put("app", "two");
        lab.tamper(|tables| tables.put("app", 2, &first).expect("put"));
        lab.assert_damaged("app", 2);
        lab.tamper(|tables| tables.put("app", u64::MAX, &first).expect("put"));
        lab.assert_damaged("app", u64::MAX);
    }

    #[test]
    fn a_record_taken_away_is_noticed() {
        let lab = Lab::new();
        lab.put("app", "one");
        lab.tamper(|tables| {
            tables.records.remove(b"app".as_slice()).expect("removed");
        });
        lab.assert_damaged("app", 1);
    }

    #[test]
    fn a_deletion_marked_as_current_is_noticed() {
        let lab = Lab::new();
        lab.put("app", "one");
        lab.native.delete("app").expect("deleted");
        lab.tamper(|tables| {
            let mut record = tables.record("app").expect("read").expect("a record");
            record[0] = 1;
            tables.put("app", 1, &record).expect("put");
        });
        lab.assert_damaged("app", 1);
    }

    #[test]
    fn a_later_format_is_told_as_such() {
        let lab = Lab::new();
        lab.tamper(|tables| {
            let later = [2_u8];
            tables
                .meta
                .insert(FORMAT_KEY, later.as_slice())
                .expect("set");
        });
        let error = lab.native.list().expect_err("another format");
        let want = "has format 2, and this version knows format 1 only";
        assert!(error.to_string().ends_with(want), "{error}");
    }

    #[test]
    fn a_file_without_its_key_check_is_not_trusted() {
        let lab = Lab::new();
        lab.put("app", "one");
        lab.tamper(|tables| {
            tables.meta.remove(CHECK_KEY).expect("removed");
        });
        let error = lab.native.get("app").expect_err("no key check");
        assert!(matches!(error, NativeError::Corrupt { .. }), "{error:?}");
    }
}
