use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use leasehold_model::ListenerName;

use super::door::Door;
use super::spec::{ListenerAddress, ListenerSpec};
use super::unix::{self, SocketFile};
use super::{BindError, socket};

/// A listener whose sockets are open: one at least for each worker.
#[derive(Debug)]
pub(super) struct Bound {
    pub(super) spec: ListenerSpec,
    /// Where it listens, with the port that was chosen.
    pub(super) address: ListenerAddress,
    pub(super) door: Arc<Door>,
    /// Dealt out among the workers, one after the other.
    pub(super) sockets: Vec<Socket>,
    /// The file of a Unix socket.
    pub(super) file: Option<SocketFile>,
}

impl Bound {
    /// Listens where nobody does yet.
    pub(super) fn open(spec: &ListenerSpec, workers: usize) -> Result<Self, BindError> {
        Self::try_open(spec, workers).map_err(|source| BindError::of(spec, source))
    }

    /// Takes sockets that are open already; `opened` has one at least.
    pub(super) fn adopt(
        spec: &ListenerSpec,
        workers: usize,
        opened: Vec<Socket>,
    ) -> Result<Self, BindError> {
        Self::try_adopt(spec, workers, opened).map_err(|source| BindError::of(spec, source))
    }

    fn try_open(spec: &ListenerSpec, workers: usize) -> io::Result<Self> {
        let (first, file) = match &spec.address {
            ListenerAddress::Tcp(address) => {
                socket::check_free(*address)?;
                (Socket::Tcp(socket::listen(*address)?), None)
            }
            ListenerAddress::Unix { path, mode } => {
                let (socket, file) = unix::listen(path, *mode)?;
                (Socket::Unix(socket), Some(file))
            }
        };
        let address = first.address(&spec.address)?;
        let others = (1..workers).map(|_| first.again());
        let mut sockets = others.collect::<io::Result<Vec<_>>>()?;
        sockets.push(first);
        Ok(Self::new(spec, address, sockets, file))
    }

    fn try_adopt(spec: &ListenerSpec, workers: usize, opened: Vec<Socket>) -> io::Result<Self> {
        let first = opened.first().ok_or(ErrorKind::NotFound)?;
        let address = first.address(&spec.address)?;
        // Where there are fewer than workers, these share them.
        let lacking = workers.saturating_sub(opened.len());
        let shared = opened.iter().cycle().take(lacking).map(Socket::share);
        let shared = shared.collect::<io::Result<Vec<_>>>()?;
        let sockets: Vec<_> = opened.into_iter().chain(shared).collect();
        for socket in &sockets {
            socket.set_nonblocking()?;
        }
        let file = match &spec.address {
            ListenerAddress::Tcp(_) => None,
            ListenerAddress::Unix { path, .. } => Some(SocketFile::of(path)?),
        };
        Ok(Self::new(spec, address, sockets, file))
    }

    fn new(
        spec: &ListenerSpec,
        address: ListenerAddress,
        sockets: Vec<Socket>,
        file: Option<SocketFile>,
    ) -> Self {
        Self {
            spec: spec.clone(),
            address,
            door: Arc::new(Door::new(spec)),
            sockets,
            file,
        }
    }

    /// Returns its name, and where it listens.
    pub(super) fn named_address(&self) -> (ListenerName, ListenerAddress) {
        (self.spec.name.clone(), self.address.clone())
    }

    /// Returns its sockets once more.
    pub(super) fn share(&self) -> io::Result<Vec<Socket>> {
        self.sockets.iter().map(Socket::share).collect()
    }
}

/// Returns the sockets of listeners once more, each with its listener's name.
pub(super) fn sockets<'a>(
    listeners: impl IntoIterator<Item = &'a Bound>,
) -> io::Result<Vec<(ListenerName, OwnedFd)>> {
    let all = listeners.into_iter();
    let all = all.flat_map(|it| it.sockets.iter().map(|socket| (&it.spec.name, socket)));
    all.map(|(name, socket)| Ok((name.clone(), socket.share()?.into())))
        .collect()
}

/// A listening socket.
#[derive(Debug)]
pub(super) enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    /// Takes an open socket, where it listens where it is to. Port 0 means any.
    pub(super) fn at(wanted: &ListenerAddress, socket: OwnedFd) -> Option<Self> {
        match wanted {
            ListenerAddress::Tcp(address) => {
                let socket = TcpListener::from(socket);
                let at = socket.local_addr().ok()?;
                let fits =
                    at.ip() == address.ip() && (at.port() == address.port() || address.port() == 0);
                fits.then_some(Self::Tcp(socket))
            }
            ListenerAddress::Unix { path, .. } => {
                let socket = UnixListener::from(socket);
                let at = socket.local_addr().ok()?;
                let fits = at.as_pathname() == Some(path);
                fits.then_some(Self::Unix(socket))
            }
        }
    }

    /// Returns the very socket once more.
    pub(super) fn share(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(socket.try_clone()?),
            Self::Unix(socket) => Self::Unix(socket.try_clone()?),
        })
    }

    /// Returns where it listens, which was to be there.
    fn address(&self, wanted: &ListenerAddress) -> io::Result<ListenerAddress> {
        Ok(match self {
            Self::Tcp(socket) => socket.local_addr()?.into(),
            Self::Unix(_) => wanted.clone(),
        })
    }

    fn set_nonblocking(&self) -> io::Result<()> {
        match self {
            Self::Tcp(socket) => socket.set_nonblocking(true),
            Self::Unix(socket) => socket.set_nonblocking(true),
        }
    }

    /// Returns a socket for another worker.
    fn again(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(socket::listen(socket.local_addr()?)?),
            Self::Unix(socket) => Self::Unix(socket.try_clone()?),
        })
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        match socket {
            Socket::Tcp(socket) => socket.into(),
            Socket::Unix(socket) => socket.into(),
        }
    }
}
