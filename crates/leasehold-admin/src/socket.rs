use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener as StdListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags, fchmod, flock, open};
use rustix::io::Errno;
use tokio::net::{UnixListener, UnixSocket};

/// The operator's socket: a Unix socket that its owner alone may open, from its first moment on.
///
/// Its file is removed when it is dropped.
#[derive(Debug)]
pub struct OperatorSocket {
    pub(crate) listener: UnixListener,
    pub(crate) file: SocketFile,
}

/// Why the operator's socket could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// A process answers on it.
    #[error("another process serves {}: choose another path for `admin.socket`", path.display())]
    Served {
        /// The path.
        path: PathBuf,
    },
    /// Something that is no socket is there.
    #[error("{} is there and is no socket: it is not touched", path.display())]
    NoSocket {
        /// The path.
        path: PathBuf,
    },
    /// Another process holds the directory for longer than it takes to make a socket.
    #[error("another process keeps {} locked", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The system refused.
    #[error("{operation} {}", path.display())]
    System {
        /// What was tried.
        operation: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl OperatorSocket {
    /// Makes the socket. One that a dead process has left behind is replaced.
    ///
    /// # Errors
    ///
    /// When a living process serves it, when something else is there, or when the system refuses.
    pub async fn bind(path: &Path) -> Result<Self, SocketError> {
        let directory = directory(path);
        // Of two that find the same dead socket, the second must not remove the first one's new one.
        let _turn = turn(directory).await?;
        make_room(path)?;
        let failed = |operation| {
            move |source| SocketError::System {
                operation,
                path: path.to_path_buf(),
                source,
            }
        };
        let socket = UnixSocket::new_stream().map_err(failed("make a socket for"))?;
        // The file gets the mode that the socket has when it is bound, so that there is no moment in
        // which somebody else could open it, and no umask of the whole process is touched.
        fchmod(&socket, OWNER_ONLY).map_err(|it| failed("restrict")(it.into()))?;
        socket.bind(path).map_err(failed("bind"))?;
        let made = fs::symlink_metadata(path).map_err(failed("look at"))?;
        let file = SocketFile::new(path, &made, false);
        if made.mode() & 0o777 != OWNER_ONLY.as_raw_mode() {
            let source = io::Error::other("the system gave it another mode than 0600");
            return Err(failed("restrict")(source));
        }
        let listener = socket.listen(BACKLOG).map_err(failed("listen on"))?;
        Ok(Self { listener, file })
    }

    /// Takes over a socket that another process has made at `path` and listens on. Its file is that
    /// process's until [`SharedSocket::own`].
    ///
    /// # Errors
    ///
    /// When there is nothing at the path, or the system refuses.
    pub fn adopt(path: &Path, listener: StdListener) -> Result<Self, SocketError> {
        let failed = |operation| {
            move |source| SocketError::System {
                operation,
                path: path.to_path_buf(),
                source,
            }
        };
        let made = fs::symlink_metadata(path).map_err(failed("look at"))?;
        listener
            .set_nonblocking(true)
            .map_err(failed("take over"))?;
        Ok(Self {
            listener: UnixListener::from_std(listener).map_err(failed("take over"))?,
            file: SocketFile::new(path, &made, true),
        })
    }

    /// Returns what it takes to hand the socket over to another process.
    ///
    /// # Errors
    ///
    /// When the system has no descriptor left.
    pub fn share(&self) -> io::Result<SharedSocket> {
        Ok(SharedSocket {
            listener: self.listener.as_fd().try_clone_to_owned()?.into(),
            left: Arc::clone(&self.file.left),
        })
    }

    /// Takes one connection.
    ///
    /// # Errors
    ///
    /// When the system refuses.
    pub async fn accept(&self) -> io::Result<tokio::net::UnixStream> {
        let (stream, _) = self.listener.accept().await?;
        Ok(stream)
    }
}

/// The operator's socket once more, to be handed to another process.
#[derive(Debug)]
pub struct SharedSocket {
    listener: StdListener,
    left: Arc<AtomicBool>,
}

impl SharedSocket {
    /// Returns the socket.
    #[must_use]
    pub const fn listener(&self) -> &StdListener {
        &self.listener
    }

    /// Leaves the file to the other process: it is not removed at the end.
    pub fn leave(&self) {
        self.left.store(true, Ordering::Relaxed);
    }

    /// Removes the file at the end: the process that made it has left it.
    pub fn own(&self) {
        self.left.store(false, Ordering::Relaxed);
    }
}

/// The file of a socket, removed when it is dropped, unless another has taken its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// The device and the inode.
    identity: (u64, u64),
    /// Whether another process has taken the socket over.
    left: Arc<AtomicBool>,
}

impl SocketFile {
    fn new(path: &Path, made: &Metadata, left: bool) -> Self {
        Self {
            path: path.to_path_buf(),
            identity: identity(made),
            left: Arc::new(AtomicBool::new(left)),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let found = fs::symlink_metadata(&self.path);
        if self.left.load(Ordering::Relaxed) {
            return;
        }
        let is_ours = found.is_ok_and(|found| identity(&found) == self.identity);
        if !is_ours {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the operator's socket stays behind");
        }
    }
}

/// Removes a socket that nobody serves.
fn make_room(path: &Path) -> Result<(), SocketError> {
    let failed = |operation, source| SocketError::System {
        operation,
        path: path.to_path_buf(),
        source,
    };
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed("look at", error)),
    };
    let path = path.to_path_buf();
    if !found.file_type().is_socket() {
        return Err(SocketError::NoSocket { path });
    }
    match UnixStream::connect(&path) {
        Ok(_served) => Err(SocketError::Served { path }),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(&path).map_err(|source| failed("remove the dead socket", source))
        }
        // A queue that is full has a process behind it too.
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(SocketError::Served { path }),
        Err(error) => Err(failed("try whether anybody serves", error)),
    }
}

/// Takes the turn to make a socket in a directory, which lasts until the value is dropped.
async fn turn(directory: &Path) -> Result<rustix::fd::OwnedFd, SocketError> {
    let failed = |errno: Errno| SocketError::System {
        operation: "open the directory",
        path: directory.to_path_buf(),
        source: errno.into(),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = open(directory, flags, Mode::empty()).map_err(failed)?;
    for _ in 0..TURN_ATTEMPTS {
        match flock(&opened, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(opened),
            Err(Errno::WOULDBLOCK | Errno::INTR) => tokio::time::sleep(TURN_INTERVAL).await,
            Err(errno) => return Err(failed(errno)),
        }
    }
    Err(SocketError::Locked {
        path: directory.to_path_buf(),
    })
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

const OWNER_ONLY: Mode = Mode::RUSR.union(Mode::WUSR);
const BACKLOG: u32 = 16;
const TURN_ATTEMPTS: u32 = 50;
const TURN_INTERVAL: Duration = Duration::from_millis(100);
