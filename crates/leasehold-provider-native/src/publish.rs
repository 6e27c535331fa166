use std::fs::{File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::NamedTempFile;

use crate::NativeError;

/// Makes a file of mode 0600 appear whole under its name, or not at all.
///
/// What `fill` writes goes to a temporary file beside it, which takes the name once it is on disk.
///
/// # Errors
///
/// [`NativeError::Exists`] when the name is taken, by whoever came first; what is there is left as
/// it is. What `fill` fails with, or [`NativeError::Create`].
pub(crate) fn publish(
    file: &Path,
    fill: impl FnOnce(&mut NamedTempFile) -> Result<(), NativeError>,
) -> Result<(), NativeError> {
    let failed = |source| create_error(file, source);
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut temporary = tempfile::Builder::new()
        .prefix(".leasehold-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(directory)
        .map_err(failed)?;
    fill(&mut temporary)?;
    temporary.as_file().sync_all().map_err(failed)?;
    temporary
        .persist_noclobber(file)
        .map_err(|error| failed(error.error))?;
    // The name itself is on disk only once the directory is.
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed)
}

/// Tells a name that is taken from the other reasons why a file could not be created.
pub(crate) fn create_error(file: &Path, source: io::Error) -> NativeError {
    let file = file.to_path_buf();
    if source.kind() == ErrorKind::AlreadyExists {
        return NativeError::Exists { file };
    }
    NativeError::Create { file, source }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn write(file: &Path, content: &[u8]) -> Result<(), NativeError> {
        publish(file, |temporary| {
            temporary
                .write_all(content)
                .map_err(|source| create_error(file, source))
        })
    }

    #[test]
    fn only_the_owner_can_read_what_is_published() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("file");
        write(&file, b"content").expect("published");
        assert_eq!(fs::metadata(&file).expect("metadata").mode() & 0o777, 0o600);
        assert_eq!(fs::read(&file).expect("content"), b"content");
    }

    #[test]
    fn what_is_there_is_not_overwritten_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("file");
        write(&file, b"first").expect("published");
        assert!(matches!(
            write(&file, b"second"),
            Err(NativeError::Exists { .. })
        ));
        assert_eq!(fs::read(&file).expect("content"), b"first");
        assert_eq!(fs::read_dir(dir.path()).expect("entries").count(), 1);
    }

    #[test]
    fn a_file_that_could_not_be_filled_does_not_appear() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("file");
        publish(&file, |_| Err(NativeError::Crypto)).expect_err("fill failed");
        assert_eq!(fs::read_dir(dir.path()).expect("entries").count(), 0);
    }
}
