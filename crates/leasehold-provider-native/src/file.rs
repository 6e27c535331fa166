use std::fmt;
use std::path::PathBuf;

use leasehold_model::{Clock as _, SystemClock};
use leasehold_provider::Material;

use crate::database;
use crate::key::FileKey;
use crate::publish::publish;
use crate::record::{FileId, Place, Record};
use crate::tables::{ReadTables, WriteTables};
use crate::{Entry, EntryState, NativeError};

/// A native provider's file, and the key that it was written with.
///
/// The file is opened for each call and closed after it, so that others can work on it in between.
/// A call waits up to 5 seconds for another process to be done with the file, and blocks its thread.
pub struct NativeFile {
    file: PathBuf,
    key_file: PathBuf,
    key: FileKey,
}

impl NativeFile {
    /// Makes an empty file of mode 0600, and a random key in `key_file` where there is no such file.
    ///
    /// Neither file is ever seen half written, and neither is ever overwritten.
    ///
    /// # Errors
    ///
    /// [`NativeError::Exists`] when there is a file of that name, and when the key file can't be
    /// read or a file can't be written.
    pub fn create(
        file: impl Into<PathBuf>,
        key_file: impl Into<PathBuf>,
    ) -> Result<Self, NativeError> {
        let (file, key_file) = (file.into(), key_file.into());
        if file.exists() {
            // Said before a key is made that nothing would use. Whoever comes in between is noticed
            // when the new file takes its name.
            return Err(NativeError::Exists { file });
        }
        let key = FileKey::load_or_create(&key_file)?;
        publish(&file, |temporary| {
            database::initialise(temporary.path(), |transaction| {
                WriteTables::open(&file, transaction)?.found(&key)
            })
        })?;
        Ok(Self {
            file,
            key_file,
            key,
        })
    }

    /// Reads the key and checks that the file was written with it.
    ///
    /// # Errors
    ///
    /// [`NativeError::WrongKey`] when it was not, [`NativeError::Missing`] when there is no such
    /// file, and when either file can't be read or makes no sense.
    pub fn open(
        file: impl Into<PathBuf>,
        key_file: impl Into<PathBuf>,
    ) -> Result<Self, NativeError> {
        let opened = Self::unchecked(file.into(), key_file.into())?;
        opened.check()?;
        Ok(opened)
    }

    /// Puts the fields at a path as its next version, and returns the version: 1 for the first.
    ///
    /// The version before it is dropped. The new one is on disk when this returns.
    ///
    /// # Errors
    ///
    /// When the path or the fields can't be kept as a record, when the record that is there is
    /// damaged, and as [`NativeFile::open`].
    pub fn put(&self, path: &str, fields: &Material) -> Result<u64, NativeError> {
        check_path(path)?;
        self.change(|tables, file| {
            let version = match tables.version(path)? {
                None => 1,
                Some(version) => {
                    let last = Place {
                        file,
                        path,
                        version,
                    };
                    // Opened only to know that nobody tampered with the version counted on from.
                    self.open_record(last, tables.record(path)?)?;
                    version.checked_add(1).ok_or_else(|| last.damaged())?
                }
            };
            let place = Place {
                file,
                path,
                version,
            };
            let record = Record::seal(&self.key, place, SystemClock.wall(), Some(fields))?;
            tables.put(path, version, &record)?;
            Ok(version)
        })
    }

    /// Deletes what is at a path, and returns the last version there was.
    ///
    /// The count of versions stays, so that what is put there later is newer than all before it.
    ///
    /// # Errors
    ///
    /// [`NativeError::Absent`] or [`NativeError::Deleted`] when there is nothing to delete, when
    /// the record is damaged, and as [`NativeFile::open`].
    pub fn delete(&self, path: &str) -> Result<u64, NativeError> {
        self.change(|tables, file| {
            let version = tables.version(path)?.ok_or_else(|| absent(path))?;
            let place = Place {
                file,
                path,
                version,
            };
            let record = self.open_record(place, tables.record(path)?)?;
            record.material.ok_or_else(|| deleted(place))?;
            let record = Record::seal(&self.key, place, SystemClock.wall(), None)?;
            tables.put(path, version, &record)?;
            Ok(version)
        })
    }

    /// Lists what is or was in the file, ordered by path.
    ///
    /// # Errors
    ///
    /// As [`NativeFile::open`]. A damaged record is listed as such and is not an error.
    pub fn list(&self) -> Result<Vec<Entry>, NativeError> {
        self.read(|tables, file| {
            let mut entries = Vec::new();
            for path in tables.paths()? {
                let Some(version) = tables.version(&path)? else {
                    continue;
                };
                let place = Place {
                    file,
                    path: &path,
                    version,
                };
                let state = EntryState::of(&self.open_record(place, tables.record(&path)?));
                entries.push(Entry {
                    path,
                    version,
                    state,
                });
            }
            Ok(entries)
        })
    }

    /// Reads the key only: each call checks the file anyway.
    pub(crate) fn unchecked(file: PathBuf, key_file: PathBuf) -> Result<Self, NativeError> {
        let key = FileKey::load(&key_file)?;
        Ok(Self {
            file,
            key_file,
            key,
        })
    }

    /// Checks that the file was written with the key.
    pub(crate) fn check(&self) -> Result<(), NativeError> {
        self.read(|_, _| Ok(()))
    }

    /// Returns the fields at a path and their version.
    pub(crate) fn get(&self, path: &str) -> Result<(Material, u64), NativeError> {
        self.read(|tables, file| {
            let version = tables.version(path)?.ok_or_else(|| absent(path))?;
            let place = Place {
                file,
                path,
                version,
            };
            let record = self.open_record(place, tables.record(path)?)?;
            let material = record.material.ok_or_else(|| deleted(place))?;
            Ok((material, version))
        })
    }

    /// Returns the latest version of a path.
    pub(crate) fn version(&self, path: &str) -> Result<u64, NativeError> {
        self.read(|tables, _| tables.version(path)?.ok_or_else(|| absent(path)))
    }

    fn open_record(
        &self,
        place: Place<'_>,
        record: Option<Vec<u8>>,
    ) -> Result<Record, NativeError> {
        // A version without a record is damage as well: both are written in one change.
        Record::open(&self.key, place, &record.ok_or_else(|| place.damaged())?)
    }

    // The key is checked in each call, since the file can be another one than it was in the last.
    fn read<T>(
        &self,
        work: impl FnOnce(&ReadTables<'_>, FileId) -> Result<T, NativeError>,
    ) -> Result<T, NativeError> {
        database::read(&self.file, |transaction| {
            let tables = ReadTables::open(&self.file, transaction)?;
            let id = tables.identify(&self.key, &self.key_file)?;
            work(&tables, id)
        })
    }

    fn change<T>(
        &self,
        work: impl FnOnce(&mut WriteTables<'_, '_>, FileId) -> Result<T, NativeError>,
    ) -> Result<T, NativeError> {
        database::write(&self.file, |transaction| {
            let mut tables = WriteTables::open(&self.file, transaction)?;
            let id = tables.identify(&self.key, &self.key_file)?;
            work(&mut tables, id)
        })
    }
}

impl fmt::Debug for NativeFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NativeFile")
            .field("file", &self.file)
            .field("key_file", &self.key_file)
            .finish_non_exhaustive()
    }
}

fn check_path(path: &str) -> Result<(), NativeError> {
    let fits = (1..=LONGEST_PATH).contains(&path.len());
    // Paths are printed on terminals and in logs.
    let plain = |it: u8| it.is_ascii_alphanumeric() || b"-_./".contains(&it);
    if fits && path.bytes().all(plain) {
        return Ok(());
    }
    Err(NativeError::BadPath)
}

fn absent(path: &str) -> NativeError {
    NativeError::Absent {
        path: path.to_owned(),
    }
}

fn deleted(place: Place<'_>) -> NativeError {
    NativeError::Deleted {
        path: place.path.to_owned(),
        version: place.version,
    }
}

const LONGEST_PATH: usize = 512;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;
    use std::thread;

    use leasehold_secret::{Expose as _, Secret};

    use super::*;

    struct Lab {
        dir: tempfile::TempDir,
    }

    impl Lab {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("a temporary directory");
            Self { dir }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.dir.path().join(name)
        }

        fn create(&self) -> NativeFile {
            NativeFile::create(self.path("file"), self.path("key")).expect("created")
        }
    }

    fn fields(value: &str) -> Material {
        let mut material = Material::default();
        material.insert("key", Secret::new(value));
        material
    }

    fn value(file: &NativeFile, path: &str) -> (String, u64) {
        let (material, version) = file.get(path).expect("a record");
        let field = material.field("key").expect("the field");
        // EXPOSE: a test looks at its own value.
        let value = field.expose().as_str().expect("text").to_owned();
        (value, version)
    }

    #[test]
    fn what_is_put_is_found_by_whoever_opens_the_file_next() {
        let lab = Lab::new();
        assert_eq!(lab.create().put("app/key", &fields("one")).expect("put"), 1);
        let file = NativeFile::open(lab.path("file"), lab.path("key")).expect("opened");
        assert_eq!(value(&file, "app/key"), ("one".to_owned(), 1));
        assert_eq!(file.put("app/key", &fields("two")).expect("put"), 2);
        assert_eq!(value(&file, "app/key"), ("two".to_owned(), 2));
    }

    #[test]
    fn versions_go_on_after_a_deletion() {
        let lab = Lab::new();
        let file = lab.create();
        file.put("app", &fields("one")).expect("put");
        file.put("app", &fields("two")).expect("put");
        assert_eq!(file.delete("app").expect("deleted"), 2);
        for error in [
            file.get("app").expect_err("nothing to get"),
            file.delete("app").expect_err("nothing to delete"),
        ] {
            assert_eq!(error.to_string(), "record app was deleted after version 2");
        }
        assert_eq!(file.put("app", &fields("three")).expect("put"), 3);
        assert_eq!(value(&file, "app"), ("three".to_owned(), 3));
    }

    #[test]
    fn the_list_has_each_path_with_what_became_of_it() {
        let lab = Lab::new();
        let file = lab.create();
        assert_eq!(file.list().expect("an empty list"), []);
        file.put("b", &fields("one")).expect("put");
        file.put("a", &fields("one")).expect("put");
        file.delete("b").expect("deleted");
        let list = file.list().expect("a list");
        let [a, b] = list.as_slice() else {
            panic!("want two entries: {list:?}");
        };
        assert_eq!((a.path.as_str(), a.version), ("a", 1));
        assert!(matches!(a.state, EntryState::Current { .. }), "{a:?}");
        assert_eq!((b.path.as_str(), b.version), ("b", 1));
        assert!(matches!(b.state, EntryState::Deleted { .. }), "{b:?}");
    }

    #[test]
    fn another_key_is_refused_by_name() {
        let lab = Lab::new();
        lab.create();
        FileKey::load_or_create(&lab.path("other")).expect("another key");
        let error = NativeFile::open(lab.path("file"), lab.path("other")).expect_err("wrong key");
        let (file, other) = (lab.path("file"), lab.path("other"));
        assert_eq!(
            error.to_string(),
            format!(
                "the key in {} is not the one {} was written with",
                other.display(),
                file.display()
            )
        );
    }

    #[test]
    fn a_file_that_is_there_is_not_overwritten_and_no_key_is_made_for_it() {
        let lab = Lab::new();
        fs::write(lab.path("file"), "something else").expect("write");
        assert!(matches!(
            NativeFile::create(lab.path("file"), lab.path("key")),
            Err(NativeError::Exists { .. })
        ));
        assert!(!lab.path("key").exists());
        assert_eq!(fs::read(lab.path("file")).expect("read"), b"something else");
    }

    #[test]
    fn of_those_who_create_a_file_at_once_one_does_and_its_key_stays() {
        let lab = Lab::new();
        let results: Vec<_> = thread::scope(|scope| {
            let create = || NativeFile::create(lab.path("file"), lab.path("key"));
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(create)).collect();
            let ended = threads.into_iter().map(|it| it.join().expect("ended"));
            ended.collect()
        });
        let (created, refused): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!((created.len(), refused.len()), (1, 3));
        for result in refused {
            assert!(
                matches!(result, Err(NativeError::Exists { .. })),
                "{result:?}"
            );
        }
        NativeFile::open(lab.path("file"), lab.path("key")).expect("opened");
    }

    #[test]
    fn a_new_file_belongs_to_its_owner_alone_and_has_nothing_beside_it() {
        let lab = Lab::new();
        lab.create();
        for name in ["file", "key"] {
            let mode = fs::metadata(lab.path(name)).expect("metadata").mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        assert_eq!(fs::read_dir(lab.dir.path()).expect("entries").count(), 2);
    }

    #[test]
    fn what_does_not_exist_is_not_made_by_opening_it() {
        let lab = Lab::new();
        let file = lab.create();
        assert!(matches!(
            NativeFile::open(lab.path("none"), lab.path("key")),
            Err(NativeError::Missing { .. })
        ));
        assert!(!lab.path("none").exists());
        for error in [
            file.get("none").expect_err("nothing to get"),
            file.delete("none").expect_err("nothing to delete"),
        ] {
            assert_eq!(error.to_string(), "there is no record none");
        }
        assert_eq!(file.list().expect("a list"), []);
    }

    #[test]
    fn a_path_that_would_not_print_well_is_refused() {
        let lab = Lab::new();
        let file = lab.create();
        for path in ["", "a b", "a\nb", "\u{1b}[31m", "\u{fc}", &"x".repeat(513)] {
            assert!(
                matches!(file.put(path, &fields("one")), Err(NativeError::BadPath)),
                "{path:?}"
            );
        }
        file.put(&"x".repeat(512), &fields("one")).expect("put");
    }
}
