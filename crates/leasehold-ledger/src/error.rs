use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a call on a ledger failed.
///
/// It can be cloned, since one failed commit is the answer to everybody who waited for it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LedgerError {
    /// There is no such file.
    #[error("ledger {} does not exist", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// Another process has the file open.
    #[error(
        "ledger {} is in use by another process: each instance has one of its own, and it is shown \
         and repaired while its gateway is stopped",
        file.display()
    )]
    Busy {
        /// The file.
        file: PathBuf,
    },
    /// The file could not be made or replaced.
    #[error("create ledger {}", file.display())]
    Create {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// The file could not be read or written.
    #[error("access ledger {}", file.display())]
    Access {
        /// The file.
        file: PathBuf,
        /// What the database said.
        #[source]
        source: Arc<redb::Error>,
    },
    /// The file is cut short, damaged or something else altogether.
    #[error(
        "ledger {} is damaged or was never one: {what}; `leasehold ledger repair --file {}` keeps \
         what can be read", file.display(), file.display()
    )]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What the database said, where it was the database that noticed.
        #[source]
        source: Option<Arc<redb::Error>>,
    },
    /// The file has a format that this version does not know.
    #[error(
        "ledger {} has format {found}, and this version knows format 1 only: use the version that \
         wrote it, or `leasehold ledger repair --file {}` to begin a new one",
        file.display(), file.display()
    )]
    Format {
        /// The file.
        file: PathBuf,
        /// The number of its format.
        found: u8,
    },
    /// The file belongs to another instance.
    #[error(
        "ledger {} belongs to instance {found} and not to {want}: give each instance a ledger of \
         its own; after a renaming start once more as {found} and stop, so that everything is \
         given back, and move the file away",
        file.display()
    )]
    OtherInstance {
        /// The file.
        file: PathBuf,
        /// Whose it is.
        found: String,
        /// Who wants to open it.
        want: String,
    },
    /// An entry could not be encoded.
    #[error("encode an entry of ledger {}", file.display())]
    Encode {
        /// The file.
        file: PathBuf,
        /// What the encoder said.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// The ledger has been closed.
    #[error("ledger {} is closed", file.display())]
    Closed {
        /// The file.
        file: PathBuf,
    },
    /// The ledger was closed while the file could not be written.
    #[error("ledger {} was closed with {count} changes that could not be written", file.display())]
    Unwritten {
        /// The file.
        file: PathBuf,
        /// How many are lost.
        count: usize,
        /// Why the last try failed.
        #[source]
        source: Box<Self>,
    },
}

impl LedgerError {
    /// Makes an error for a file that makes no sense, where the database saw nothing.
    pub(crate) fn damaged(file: &Path, what: impl Into<String>) -> Self {
        Self::Damaged {
            file: file.to_path_buf(),
            what: what.into(),
            source: None,
        }
    }

    /// Makes an error for a file that could not be made or replaced.
    pub(crate) fn create(file: &Path, source: io::Error) -> Self {
        Self::Create {
            file: file.to_path_buf(),
            source: Arc::new(source),
        }
    }

    /// Tells a file that is not there from one that can't be accessed.
    pub(crate) fn from_io(file: &Path, source: io::Error) -> Self {
        Self::from_database(file, redb::Error::Io(source))
    }

    /// Reads out of the database's error what it means for the file.
    pub(crate) fn from_database(file: &Path, error: impl Into<redb::Error>) -> Self {
        let error = error.into();
        let owned = file.to_path_buf();
        match Verdict::of(&error) {
            Verdict::Missing => Self::Missing { file: owned },
            Verdict::Damaged(what) => Self::Damaged {
                file: owned,
                what: what.to_owned(),
                source: Some(Arc::new(error)),
            },
            Verdict::Other => Self::Access {
                file: owned,
                source: Arc::new(error),
            },
        }
    }
}

/// What an error of the database says about the file.
enum Verdict {
    Missing,
    Damaged(&'static str),
    Other,
}

impl Verdict {
    fn of(error: &redb::Error) -> Self {
        match error {
            redb::Error::Io(io) => match io.kind() {
                ErrorKind::NotFound => Self::Missing,
                ErrorKind::InvalidData => Self::Damaged("it is no database"),
                ErrorKind::UnexpectedEof => Self::Damaged("it is cut short"),
                _ => Self::Other,
            },
            redb::Error::Corrupted(_) => Self::Damaged("a part of it is not what was written"),
            redb::Error::UpgradeRequired(_) => Self::Damaged("it has another database's format"),
            redb::Error::TableDoesNotExist(_)
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. } => {
                Self::Damaged("it does not have the entries of a ledger")
            }
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_names_the_file_and_the_remedy_and_leaves_the_cause_to_the_chain() {
        let error = redb::Error::Corrupted("page 7".to_owned());
        let error = LedgerError::from_database(Path::new("dir/ledger"), error);
        assert_eq!(
            error.to_string(),
            "ledger dir/ledger is damaged or was never one: a part of it is not what was written; \
             `leasehold ledger repair --file dir/ledger` keeps what can be read"
        );
        let chain = leasehold_model::Chain(&error).to_string();
        assert!(chain.ends_with("page 7"), "{chain}");
    }

    #[test]
    fn a_full_disk_is_no_damage() {
        let full = io::Error::from(ErrorKind::StorageFull);
        let error = LedgerError::from_io(Path::new("ledger"), full);
        assert!(matches!(error, LedgerError::Access { .. }), "{error:?}");
    }
}
