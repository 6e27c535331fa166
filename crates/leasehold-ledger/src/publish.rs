use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::file::Backend;
use crate::{LedgerError, database};

/// Makes a ledger of mode 0600 appear whole under its name, or not at all.
///
/// Where the name is taken, by whoever came first, what is there is left as it is.
pub(crate) fn create(path: &Path, entries: &[(Vec<u8>, Vec<u8>)]) -> Result<(), LedgerError> {
    let failed = |source| LedgerError::create(path, source);
    match fill(path, entries)?.persist_noclobber(path) {
        Ok(_) => sync_directory(path).map_err(failed),
        Err(error) if error.error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(failed(error.error)),
    }
}

/// Puts a ledger in the place of another, which stays beside it under the name returned.
///
/// There is a file under the name at every moment.
pub(crate) fn replace(
    path: &Path,
    entries: &[(Vec<u8>, Vec<u8>)],
    unix_time: u64,
) -> Result<PathBuf, LedgerError> {
    let failed = |source| LedgerError::create(path, source);
    let fresh = fill(path, entries)?;
    give_to_owner_of(path, fresh.as_file()).map_err(failed)?;
    let kept = keep(path, unix_time).map_err(failed)?;
    fresh.persist(path).map_err(|error| failed(error.error))?;
    sync_directory(path).map_err(failed)?;
    Ok(kept)
}

fn fill(path: &Path, entries: &[(Vec<u8>, Vec<u8>)]) -> Result<NamedTempFile, LedgerError> {
    let failed = |source| LedgerError::create(path, source);
    let temporary = tempfile::Builder::new()
        .prefix(".leasehold-")
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(directory(path))
        .map_err(failed)?;
    let file = temporary.as_file().try_clone().map_err(failed)?;
    database::initialise(path, Backend::of(file), entries)?;
    temporary.as_file().sync_all().map_err(failed)?;
    Ok(temporary)
}

/// Makes sure that the gateway can open what a superuser repaired.
fn give_to_owner_of(path: &Path, fresh: &File) -> io::Result<()> {
    let (old, new) = (fs::metadata(path)?, fresh.metadata()?);
    if (old.uid(), old.gid()) == (new.uid(), new.gid()) {
        return Ok(());
    }
    fchown(fresh, Some(old.uid()), Some(old.gid()))
}

/// Gives a file a second name, of which no other file is.
fn keep(path: &Path, unix_time: u64) -> io::Result<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".damaged-{unix_time}"));
    let mut kept = PathBuf::from(&name);
    let mut again = 1_u32;
    loop {
        match fs::hard_link(path, &kept) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let mut numbered = name.clone();
                numbered.push(format!("-{again}"));
                kept = PathBuf::from(numbered);
                again = again.saturating_add(1);
            }
            outcome => return outcome.map(|()| kept),
        }
    }
}

/// A name is on disk only once its directory is.
fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(directory(path))?.sync_all()
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
