use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::Secret;

/// Why a secret could not be read from a file.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file could not be opened or read.
    #[error("read secret file {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others than the owner may read the file.
    #[error("secret file {} has mode {mode:04o}, want 0600: run chmod 600 on it", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is empty.
    #[error("secret file {} is empty", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The file is larger than any secret.
    #[error("secret file {} is larger than {LARGEST} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
}

/// Reads a secret from a file and drops line ends and spaces at its end, which editors add.
///
/// # Errors
///
/// When the file can't be read, is empty or is larger than 64 KiB.
pub fn read_trimmed(path: &Path) -> Result<Secret, ReadError> {
    read(path, |_| Ok(()))
}

/// Reads a secret from a file that nobody but its owner may read.
///
/// # Errors
///
/// As [`read_trimmed`], and when the group or others have any right to the file.
pub fn read_owner_only(path: &Path) -> Result<Secret, ReadError> {
    read(path, |file| {
        let mode = file
            .metadata()
            .map_err(|source| io_error(path, source))?
            .mode()
            & 0o777;
        if mode & 0o077 == 0 {
            return Ok(());
        }
        Err(ReadError::Open {
            path: path.to_path_buf(),
            mode,
        })
    })
}

fn read(
    path: &Path,
    admit: impl FnOnce(&File) -> Result<(), ReadError>,
) -> Result<Secret, ReadError> {
    let file = File::open(path).map_err(|source| io_error(path, source))?;
    admit(&file)?;
    // Reserved up front, so that reading does not grow the buffer and leave parts behind.
    let mut text = Zeroizing::new(Vec::with_capacity(CAPACITY));
    file.take(LARGEST + 1)
        .read_to_end(&mut text)
        .map_err(|source| io_error(path, source))?;
    if text.len() as u64 > LARGEST {
        return Err(ReadError::TooLarge {
            path: path.to_path_buf(),
        });
    }
    let length = text.trim_ascii_end().len();
    if length == 0 {
        return Err(ReadError::Empty {
            path: path.to_path_buf(),
        });
    }
    text.truncate(length);
    Ok(Secret::new(std::mem::take(&mut *text)))
}

fn io_error(path: &Path, source: io::Error) -> ReadError {
    ReadError::Io {
        path: path.to_path_buf(),
        source,
    }
}

const LARGEST: u64 = 64 * 1024;
const CAPACITY: usize = 64 * 1024 + 64;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::Expose as _;

    fn file(content: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("secret");
        fs::write(&path, content).expect("write");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("chmod");
        (dir, path)
    }

    #[test]
    fn the_line_end_is_not_part_of_the_secret() {
        let (_dir, path) = file(b"canary\n", 0o644);
        assert_eq!(&*read_trimmed(&path).expect("a secret").expose(), b"canary");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_its_mode() {
        let (_dir, path) = file(b"canary", 0o640);
        let error = read_owner_only(&path).expect_err("mode 0640 is refused");
        assert!(error.to_string().contains("0640"), "{error}");
        assert!(!error.to_string().contains("canary"));
    }

    #[test]
    fn empty_and_missing_files_are_told_apart() {
        let (_dir, path) = file(b" \n", 0o600);
        assert!(matches!(
            read_owner_only(&path),
            Err(ReadError::Empty { .. })
        ));
        assert!(matches!(
            read_trimmed(Path::new("/nonexistent")),
            Err(ReadError::Io { .. })
        ));
    }

    #[test]
    fn a_file_too_large_is_refused() {
        let (_dir, path) = file(&vec![b'x'; 64 * 1024 + 1], 0o600);
        assert!(matches!(
            read_trimmed(&path),
            Err(ReadError::TooLarge { .. })
        ));
    }
}
