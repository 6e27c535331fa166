use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use leasehold_model::Failure;
use leasehold_secret::ReadError;

/// Why a call on a native provider's file failed.
#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    /// The key file could not be read.
    #[error("read key file {}", key_file.display())]
    ReadKey {
        /// The key file.
        key_file: PathBuf,
        /// What was wrong with it.
        #[source]
        source: ReadError,
    },
    /// The key file does not hold a key.
    #[error("key file {} does not hold a key: want 64 hexadecimal digits", key_file.display())]
    BadKey {
        /// The key file.
        key_file: PathBuf,
    },
    /// The file was written with another key.
    #[error("the key in {} is not the one {} was written with", key_file.display(), file.display())]
    WrongKey {
        /// The file.
        file: PathBuf,
        /// The key file.
        key_file: PathBuf,
    },
    /// The file does not exist.
    #[error("file {} does not exist", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// The file exists already, and is never overwritten.
    #[error("file {} exists already", file.display())]
    Exists {
        /// The file.
        file: PathBuf,
    },
    /// The file could not be created.
    #[error("create file {}", file.display())]
    Create {
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process kept the file locked for longer than this one waits.
    #[error("file {} is in use by another process", file.display())]
    Busy {
        /// The file.
        file: PathBuf,
    },
    /// The file could not be read or written.
    #[error("access file {}", file.display())]
    Access {
        /// The file.
        file: PathBuf,
        /// What the database said.
        #[source]
        source: Box<redb::Error>,
    },
    /// The file is cut short, damaged or something else altogether.
    #[error("file {} is damaged or was not written by a native provider", file.display())]
    Corrupt {
        /// The file.
        file: PathBuf,
        /// What the database said, where it was the database that noticed.
        #[source]
        source: Option<Box<redb::Error>>,
    },
    /// The file has a format that this version does not know.
    #[error("file {} has format {found}, and this version knows format 1 only", file.display())]
    Format {
        /// The file.
        file: PathBuf,
        /// The number of its format.
        found: u8,
    },
    /// A record is not what was written under its path and version.
    #[error("record {path} version {version} is damaged")]
    Damaged {
        /// The path of the record.
        path: String,
        /// Its version.
        version: u64,
    },
    /// Nothing was ever put at the path.
    #[error("there is no record {path}")]
    Absent {
        /// The path asked for.
        path: String,
    },
    /// What was put at the path has been deleted.
    #[error("record {path} was deleted after version {version}")]
    Deleted {
        /// The path asked for.
        path: String,
        /// The last version there was.
        version: u64,
    },
    /// The path can't name a record.
    #[error("not a path: want 1 to 512 characters out of letters, digits and - _ . /")]
    BadPath,
    /// The fields can't be kept as a record.
    #[error("not a record: {detail}")]
    BadFields {
        /// What is wrong with them, without their names or values.
        detail: &'static str,
    },
    /// The cryptographic library refused to draw random bytes or to encrypt.
    #[error("the cryptographic library failed")]
    Crypto,
}

impl NativeError {
    /// Tells apart what a person must mend from what may pass.
    pub(crate) fn failure(&self) -> Failure {
        match self {
            Self::ReadKey { source, .. } => read_key_failure(source),
            Self::Busy { .. } | Self::Access { .. } | Self::Create { .. } | Self::Crypto => {
                Failure::Transient
            }
            Self::BadKey { .. }
            | Self::WrongKey { .. }
            | Self::Missing { .. }
            | Self::Exists { .. }
            | Self::Corrupt { .. }
            | Self::Format { .. }
            | Self::Damaged { .. }
            | Self::Absent { .. }
            | Self::Deleted { .. }
            | Self::BadPath
            | Self::BadFields { .. } => Failure::Misconfigured,
        }
    }

    /// Gives up the cause, for an error that takes over this one's own words.
    pub(crate) fn into_cause(self) -> Option<Box<dyn Error + Send + Sync>> {
        match self {
            Self::ReadKey { source, .. } => Some(Box::new(source)),
            Self::Create { source, .. } => Some(Box::new(source)),
            Self::Access { source, .. } => Some(source),
            Self::Corrupt { source, .. } => source.map(|it| it as Box<dyn Error + Send + Sync>),
            Self::BadKey { .. }
            | Self::WrongKey { .. }
            | Self::Missing { .. }
            | Self::Exists { .. }
            | Self::Busy { .. }
            | Self::Format { .. }
            | Self::Damaged { .. }
            | Self::Absent { .. }
            | Self::Deleted { .. }
            | Self::BadPath
            | Self::BadFields { .. }
            | Self::Crypto => None,
        }
    }

    /// Makes an error for a file whose content makes no sense, where the database saw nothing.
    pub(crate) fn corrupt(file: &Path) -> Self {
        Self::Corrupt {
            file: file.to_path_buf(),
            source: None,
        }
    }

    /// Reads out of the database's error what it means for the file.
    pub(crate) fn from_database(file: &Path, error: impl Into<redb::Error>) -> Self {
        let error = error.into();
        let file = file.to_path_buf();
        match Verdict::of(&error) {
            Verdict::Busy => Self::Busy { file },
            Verdict::Missing => Self::Missing { file },
            Verdict::Damaged => Self::Corrupt {
                file,
                source: Some(Box::new(error)),
            },
            Verdict::Other => Self::Access {
                file,
                source: Box::new(error),
            },
        }
    }
}

/// What an error of the database says about the file.
enum Verdict {
    Busy,
    Missing,
    Damaged,
    Other,
}

impl Verdict {
    fn of(error: &redb::Error) -> Self {
        match error {
            redb::Error::DatabaseAlreadyOpen
            | redb::Error::LockProtocolMismatch
            | redb::Error::RepairAborted => Self::Busy,
            redb::Error::Io(io) => match io.kind() {
                ErrorKind::NotFound => Self::Missing,
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof => Self::Damaged,
                _ => Self::Other,
            },
            redb::Error::Corrupted(_)
            | redb::Error::UpgradeRequired(_)
            | redb::Error::TableDoesNotExist(_)
            | redb::Error::TableIsMultimap(_)
            | redb::Error::TableTypeMismatch { .. }
            | redb::Error::TypeDefinitionChanged { .. } => Self::Damaged,
            _ => Self::Other,
        }
    }
}

fn read_key_failure(error: &ReadError) -> Failure {
    match error {
        ReadError::Io { source, .. } => match source.kind() {
            ErrorKind::NotFound | ErrorKind::PermissionDenied => Failure::Misconfigured,
            _ => Failure::Transient,
        },
        ReadError::Open { .. } | ReadError::Empty { .. } | ReadError::TooLarge { .. } => {
            Failure::Misconfigured
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_database(error: redb::Error) -> NativeError {
        NativeError::from_database(Path::new("file"), error)
    }

    #[test]
    fn what_may_pass_is_told_from_what_a_person_must_mend() {
        let full = redb::Error::Io(io::Error::from(ErrorKind::StorageFull));
        let gone = redb::Error::Io(io::Error::from(ErrorKind::NotFound));
        let damaged = redb::Error::Corrupted("page 7".to_owned());
        for (error, failure) in [
            (redb::Error::DatabaseAlreadyOpen, Failure::Transient),
            (full, Failure::Transient),
            (gone, Failure::Misconfigured),
            (damaged, Failure::Misconfigured),
        ] {
            let error = from_database(error);
            assert_eq!(error.failure(), failure, "{error}");
        }
    }

    #[test]
    fn the_cause_is_kept_and_not_printed() {
        let error = from_database(redb::Error::Corrupted("page 7".to_owned()));
        assert!(!error.to_string().contains("page 7"), "{error}");
        let cause = error.into_cause().expect("a cause");
        assert!(cause.to_string().contains("page 7"), "{cause}");
    }
}
