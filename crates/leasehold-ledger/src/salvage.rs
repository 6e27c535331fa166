use std::collections::BTreeMap;
use std::path::Path;

use redb::{AccessGuard, ReadableTable as _, StorageError};

use crate::database::{Bytes, guard, open_copy, table};
use crate::entry::{Entry, FORMAT, Fault, MAGIC};

/// A part of a damaged file that could not be read as an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unreadable {
    /// Its key, or where in the file it is.
    pub place: String,
    /// What is wrong with it.
    pub why: String,
}

/// What was found in a damaged file.
#[derive(Debug, Default)]
pub(crate) struct Salvage {
    /// The last readable state of each entry, by key, with the number of the change that wrote it.
    pub(crate) found: BTreeMap<Vec<u8>, (Entry, u64)>,
    /// How many of them stood in no list that could be followed, and may have been ended since.
    pub(crate) loose: usize,
    pub(crate) unreadable: Vec<Unreadable>,
}

impl Salvage {
    /// Looks for entries in the bytes of a file.
    ///
    /// First through the database, which knows what is current. Where it can't read all of it, the
    /// bytes are searched for whatever looks like an entry and has the right checksum.
    pub(crate) fn of(path: &Path, bytes: &[u8]) -> Self {
        let mut salvage = Self::default();
        if !salvage.follow(path, bytes) {
            salvage.search(bytes);
        }
        salvage.unreadable.sort();
        salvage.unreadable.dedup();
        salvage
    }

    /// Tells whether the database had no fault to find, so that nothing is elsewhere.
    fn follow(&mut self, path: &Path, bytes: &[u8]) -> bool {
        let whole = guard(path, || self.walk(path, bytes, true));
        if whole.is_ok() {
            return true;
        }
        // Only what can be reached from either end; the search has the rest.
        if let Err(error) = guard(path, || self.walk(path, bytes, false)) {
            self.unreadable.push(Unreadable {
                place: "the database".to_owned(),
                why: leasehold_model::Chain(&error).to_string(),
            });
        }
        false
    }

    fn walk(&mut self, path: &Path, bytes: &[u8], check: bool) -> Result<(), crate::LedgerError> {
        let failed = |error| crate::LedgerError::from_database(path, error);
        let database = open_copy(path, bytes, check)?;
        let table = table(path, &database)?;
        // A damaged list may lead in circles; it can't have more entries than the file has bytes.
        let forth = table.iter().map_err(failed)?.take(bytes.len());
        let broken_off = self.take(forth).map_err(failed);
        if broken_off.is_err() {
            let back = table.iter().map_err(failed)?.rev().take(bytes.len());
            self.take(back).map_err(failed)?;
        }
        broken_off
    }

    fn take<'t>(&mut self, items: impl Iterator<Item = Item<'t>>) -> Result<(), StorageError> {
        for item in items {
            let (key, value) = item?;
            match Entry::decode(key.value(), value.value()) {
                Ok((entry, seq)) => self.keep(entry, seq),
                Err(fault) => self.unreadable.push(Unreadable {
                    place: key.value().escape_ascii().to_string(),
                    why: reason(&fault),
                }),
            }
        }
        Ok(())
    }

    fn search(&mut self, bytes: &[u8]) {
        let before = self.found.len();
        for at in memchr::memmem::find_iter(bytes, MAGIC) {
            let rest = bytes.get(at..).unwrap_or_default();
            match Entry::decode_prefix(rest) {
                Ok((entry, seq, _)) => self.keep(entry, seq),
                // The three letters alone may be part of a name.
                Err(_) if rest.get(MAGIC.len()) != Some(&FORMAT) => (),
                Err(fault) => self.unreadable.push(Unreadable {
                    place: format!("byte {at}"),
                    why: reason(&fault),
                }),
            }
        }
        self.loose = self.found.len().saturating_sub(before);
    }

    fn keep(&mut self, entry: Entry, seq: u64) {
        let key = entry.key();
        match self.found.get(&key) {
            Some((_, later)) if *later >= seq => (),
            _ => {
                self.found.insert(key, (entry, seq));
            }
        }
    }
}

type Item<'t> = Result<(AccessGuard<'t, Bytes>, AccessGuard<'t, Bytes>), StorageError>;

fn reason(fault: &Fault) -> String {
    match fault {
        Fault::Format(found) => format!("it has format {found}"),
        Fault::Damaged(why) => (*why).to_owned(),
    }
}
