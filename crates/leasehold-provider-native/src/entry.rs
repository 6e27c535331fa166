use std::time::SystemTime;

use crate::NativeError;
use crate::record::Record;

/// One path of a file, without its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path.
    pub path: String,
    /// Its last version.
    pub version: u64,
    /// What has become of that version.
    pub state: EntryState,
}

/// What has become of the last version of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryState {
    /// It is what the gateway fetches.
    Current {
        /// When it was put, to the second.
        modified: SystemTime,
    },
    /// It has been deleted.
    Deleted {
        /// When it was deleted, to the second.
        modified: SystemTime,
    },
    /// Its record is not what was written.
    Damaged,
}

impl EntryState {
    pub(crate) fn of(record: &Result<Record, NativeError>) -> Self {
        match record {
            Ok(Record {
                modified,
                material: Some(_),
            }) => Self::Current {
                modified: *modified,
            },
            Ok(Record {
                modified,
                material: None,
            }) => Self::Deleted {
                modified: *modified,
            },
            Err(_) => Self::Damaged,
        }
    }
}
