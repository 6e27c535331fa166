use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, fchmod, flock, open};
use socket2::{Domain, SockAddr, Socket, Type};

use super::socket::BACKLOG;

/// Makes a Unix socket with this mode and listens on it. One that a dead process has left behind is
/// replaced.
pub(super) fn listen(path: &Path, mode: u32) -> io::Result<(UnixListener, SocketFile)> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = open(directory(path), flags, Mode::empty())?;
    // Of two that find the same dead socket, the second must not remove the first one's new one.
    flock(&directory, FlockOperation::NonBlockingLockExclusive)?;
    make_room(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // The file gets the mode that the socket has when it is bound, less what the umask takes; there is
    // no moment in which others could open it.
    let mode = Mode::from_raw_mode(mode);
    fchmod(&socket, mode)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile::new(path, &fs::symlink_metadata(path)?);
    // The umask is there for files whose mode nobody has said.
    rustix::fs::chmod(path, mode)?;
    socket.listen(BACKLOG)?;
    Ok((socket.into(), file))
}

/// The file of a socket, removed when it is dropped, unless another has taken its place.
#[derive(Debug)]
pub(super) struct SocketFile {
    path: PathBuf,
    /// The device and the inode.
    identity: (u64, u64),
    /// Whether another process sees to it.
    left: bool,
}

impl SocketFile {
    /// Knows the file of a socket that another process has made, and leaves it to that.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut file = Self::new(path, &fs::symlink_metadata(path)?);
        file.left = true;
        Ok(file)
    }

    /// Leaves the file to another process, or takes charge of it.
    pub(super) const fn leave(&mut self, left: bool) {
        self.left = left;
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    fn new(path: &Path, made: &Metadata) -> Self {
        Self {
            path: path.to_path_buf(),
            identity: identity(made),
            left: false,
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        if self.left || !found.is_ok_and(|found| identity(&found) == self.identity) {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a listener's socket stays behind");
        }
    }
}

/// Removes a socket that nobody serves.
fn make_room(path: &Path) -> io::Result<()> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !found.file_type().is_socket() {
        let message = "something that is no socket is there, and is not touched";
        return Err(io::Error::new(ErrorKind::AlreadyExists, message));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path),
        // A queue that is full has a process behind it too.
        Ok(_) => Err(ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(ErrorKind::AddrInUse.into()),
        Err(error) => Err(error),
    }
}

fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn identity(file: &Metadata) -> (u64, u64) {
    (file.dev(), file.ino())
}
