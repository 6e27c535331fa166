mod accept;
mod connection;
mod door;
mod linger;
mod proxy_header;
mod reader;
mod socket;
mod spec;
mod streams;
mod strict;
mod tls;
mod unix;
mod wire;
mod worker;

use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use leasehold_audit::Recorder;
use leasehold_model::{Clock, ListenerName};
use tokio::sync::oneshot;

use self::door::Door;
pub use self::spec::{Limits, ListenerAddress, ListenerSpec, Pace, Trusted};
pub use self::tls::{
    ClientAuthorities, Identity, ListenerTls, ServedCertificate, TlsError, TlsMaterial,
};
use self::unix::SocketFile;
use self::worker::Drain;
use crate::gateway::Gateway;
use crate::metrics::ProxyMetrics;
use crate::service::Worker;

/// Listening sockets that nobody accepts on yet: each address once a worker.
#[derive(Debug)]
pub struct Server {
    workers: Vec<Vec<Listener>>,
    addresses: Vec<(ListenerName, ListenerAddress)>,
    files: Vec<SocketFile>,
    connection_limit: usize,
}

impl Server {
    /// Binds each listener once for each of `workers` workers, at least one. A port of 0 is chosen by
    /// the system, and is then the same for all workers. A Unix socket is shared by them.
    ///
    /// The kernel deals new connections out among the workers' sockets. Connections that arrive
    /// before [`Server::run`] wait.
    ///
    /// # Errors
    ///
    /// When an address can't be bound, or somebody listens there already.
    pub fn bind(listeners: &[ListenerSpec], workers: usize) -> Result<Self, BindError> {
        Self::adopt(listeners, workers, Vec::new())
    }

    /// As [`Server::bind`], with listening sockets that somebody else has opened: those of a listener's
    /// name that listen where the listener is to. A listener that has none is bound.
    ///
    /// Where there are more of them than workers, a worker accepts on several: none may be closed, since
    /// connections wait in each. Where there are fewer, workers share them. Those that fit no listener
    /// are closed. The files of Unix sockets are left to whoever has made them.
    ///
    /// # Errors
    ///
    /// As [`Server::bind`], and when a socket can't be shared.
    pub fn adopt(
        listeners: &[ListenerSpec],
        workers: usize,
        mut opened: Vec<(ListenerName, OwnedFd)>,
    ) -> Result<Self, BindError> {
        let mut server = Self {
            workers: std::iter::repeat_with(Vec::new)
                .take(workers.max(1))
                .collect(),
            addresses: Vec::new(),
            files: Vec::new(),
            connection_limit: DEFAULT_CONNECTION_LIMIT,
        };
        for spec in listeners {
            let mut own = Vec::new();
            for (_, socket) in opened.extract_if(.., |(name, _)| *name == spec.name) {
                own.extend(Socket::at(&spec.address, socket));
            }
            let added = if own.is_empty() {
                server.add(spec)
            } else {
                server.share(spec, own)
            };
            added.map_err(|source| BindError {
                listener: spec.name.clone(),
                address: spec.address.clone(),
                source,
            })?;
        }
        Ok(server)
    }

    fn add(&mut self, spec: &ListenerSpec) -> io::Result<()> {
        let door = Arc::new(Door::new(spec));
        let first = match &spec.address {
            ListenerAddress::Tcp(address) => {
                socket::check_free(*address)?;
                Socket::Tcp(socket::listen(*address)?)
            }
            ListenerAddress::Unix { path, mode } => {
                let (socket, file) = unix::listen(path, *mode)?;
                self.files.push(file);
                Socket::Unix(socket)
            }
        };
        let bound = first.address(&spec.address)?;
        for worker in self.workers.iter_mut().skip(1) {
            worker.push(Listener {
                door: Arc::clone(&door),
                socket: first.again()?,
            });
        }
        if let Some(worker) = self.workers.first_mut() {
            let socket = first;
            worker.push(Listener { door, socket });
        }
        self.addresses.push((spec.name.clone(), bound));
        Ok(())
    }

    /// Deals out sockets that are open already, so that each worker has one at least.
    fn share(&mut self, spec: &ListenerSpec, mut opened: Vec<Socket>) -> io::Result<()> {
        let door = Arc::new(Door::new(spec));
        let (given, workers) = (opened.len(), self.workers.len());
        for number in given..workers {
            let shared = opened.get(number % given).ok_or(ErrorKind::NotFound)?;
            opened.push(shared.share()?);
        }
        let first = opened.first().ok_or(ErrorKind::NotFound)?;
        let bound = first.address(&spec.address)?;
        if let ListenerAddress::Unix { path, .. } = &spec.address {
            self.files.push(SocketFile::of(path)?);
        }
        for (place, socket) in opened.into_iter().enumerate() {
            socket.set_nonblocking()?;
            let door = Arc::clone(&door);
            if let Some(worker) = self.workers.get_mut(place % workers) {
                worker.push(Listener { door, socket });
            }
        }
        self.addresses.push((spec.name.clone(), bound));
        Ok(())
    }

    /// Returns the listening sockets once more, each with its listener's name, to be handed to another
    /// process. While anybody has them open, connections wait there.
    ///
    /// # Errors
    ///
    /// When the system has no descriptor left.
    pub fn sockets(&self) -> io::Result<Vec<(ListenerName, OwnedFd)>> {
        let all = self.workers.iter().flatten();
        all.map(|it| Ok((it.door.name.clone(), it.socket.share()?.into())))
            .collect()
    }

    /// Sets how many connections from consumers one worker keeps; 10,000 where nothing is set. One
    /// more is answered with 503 and closed.
    #[must_use]
    pub const fn connection_limit(mut self, limit: usize) -> Self {
        self.connection_limit = limit;
        self
    }

    /// Returns the addresses bound, in the order of the listeners, with the ports that were chosen.
    #[must_use]
    pub fn addresses(&self) -> &[(ListenerName, ListenerAddress)] {
        &self.addresses
    }

    /// Starts one thread a worker, with a runtime of its own, and begins to accept.
    ///
    /// # Errors
    ///
    /// When the system has no thread or no poller left for one of them; none runs then.
    pub fn run(
        self,
        gateway: &Arc<Gateway>,
        recorder: &Recorder,
        metrics: &ProxyMetrics,
        clock: &Arc<dyn Clock>,
    ) -> io::Result<RunningServer> {
        let mut running = RunningServer {
            workers: Vec::new(),
            files: self.files,
        };
        for (number, listeners) in self.workers.into_iter().enumerate() {
            let worker = Arc::new(Worker::new(
                Arc::clone(gateway),
                recorder.clone(),
                metrics.clone(),
                Arc::clone(clock),
            ));
            let started = start(number, worker, listeners, self.connection_limit);
            match started {
                Ok(handle) => running.workers.push(handle),
                Err(error) => {
                    running.drain(Duration::ZERO);
                    return Err(error);
                }
            }
        }
        Ok(running)
    }
}

/// Workers that accept requests.
///
/// Dropping this drains them with no time to do it in, and does not wait for that.
#[derive(Debug)]
#[must_use = "the server ends when this is dropped"]
pub struct RunningServer {
    workers: Vec<Running>,
    files: Vec<SocketFile>,
}

impl RunningServer {
    /// Returns the hold by which the gateway is replaced while the server runs.
    #[must_use]
    pub fn plans(&self) -> Plans {
        let workers = self.workers.iter();
        Plans {
            workers: workers.map(|it| Arc::clone(&it.worker)).collect(),
        }
    }

    /// Leaves the files of Unix sockets to another process, which has the sockets: they are not removed
    /// at the end.
    pub fn leave_files(&mut self) {
        self.files.iter_mut().for_each(|it| it.leave(true));
    }

    /// Removes the files of Unix sockets at the end, also of those that were adopted: whoever made them
    /// has left them.
    pub fn own_files(&mut self) {
        self.files.iter_mut().for_each(|it| it.leave(false));
    }

    /// Stops accepting, lets the requests under way end for up to `limit`, and ends all threads.
    /// Returns how many connections had to be cut.
    ///
    /// Blocks for as long as that takes.
    pub fn drain(self, limit: Duration) -> usize {
        let linger = Duration::ZERO;
        self.end(Drain { linger, limit })
    }

    /// As [`RunningServer::drain`], where another process has the sockets: connections that clients keep
    /// open end with their next answer, and only after up to five seconds more without one.
    ///
    /// Closing one that is idle may cross a request on its way. Clients that are told by an answer have no
    /// such request.
    pub fn leave(self, limit: Duration) -> usize {
        let linger = LINGER;
        self.end(Drain { linger, limit })
    }

    fn end(self, how: Drain) -> usize {
        // Nobody finds the way any longer to what does not accept.
        drop(self.files);
        for worker in &self.workers {
            worker.begin_drain(how);
        }
        self.workers.into_iter().map(Running::join).sum()
    }
}

/// What the workers of a server serve by.
#[derive(Clone, Debug)]
pub struct Plans {
    workers: Vec<Arc<Worker>>,
}

impl Plans {
    /// Serves all requests that begin from now on by another gateway. Those under way end as they began.
    pub fn replace(&self, gateway: &Arc<Gateway>) {
        for worker in &self.workers {
            worker.replace(Arc::clone(gateway));
        }
    }
}

#[derive(Debug)]
struct Listener {
    door: Arc<Door>,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Socket {
    /// Returns where it listens, which was to be there.
    fn address(&self, wanted: &ListenerAddress) -> io::Result<ListenerAddress> {
        Ok(match self {
            Self::Tcp(socket) => socket.local_addr()?.into(),
            Self::Unix(_) => wanted.clone(),
        })
    }

    /// Takes an open socket, where it listens where it is to. Port 0 means any.
    fn at(wanted: &ListenerAddress, socket: OwnedFd) -> Option<Self> {
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

    /// Returns the same socket, whose connections go to whoever is first to accept them.
    fn share(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(socket) => Self::Tcp(socket.try_clone()?),
            Self::Unix(socket) => Self::Unix(socket.try_clone()?),
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

/// A listener that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("bind listener {listener} to {address}")]
pub struct BindError {
    /// The listener.
    pub listener: ListenerName,
    /// Its address.
    pub address: ListenerAddress,
    /// What the system said.
    pub source: io::Error,
}

#[derive(Debug)]
struct Running {
    worker: Arc<Worker>,
    drain: parking_lot::Mutex<Option<oneshot::Sender<Drain>>>,
    thread: JoinHandle<usize>,
}

impl Running {
    fn begin_drain(&self, how: Drain) {
        let told = self.drain.lock().take().map(|drain| drain.send(how));
        if matches!(told, Some(Err(_))) {
            tracing::error!("a worker ended before it was drained");
        }
    }

    fn join(self) -> usize {
        self.thread.join().unwrap_or_else(|_panic| {
            tracing::error!("a worker panicked: its connections were cut");
            0
        })
    }
}

fn start(
    number: usize,
    worker: Arc<Worker>,
    listeners: Vec<Listener>,
    connection_limit: usize,
) -> io::Result<Running> {
    let (drain, drained) = oneshot::channel();
    let (ready, started) = mpsc::sync_channel(1);
    let serving = Arc::clone(&worker);
    let thread = thread::Builder::new()
        .name(format!("proxy-{number}"))
        .spawn(move || worker::run(serving, listeners, connection_limit, drained, &ready))?;
    // A thread that ends without a word has panicked.
    started
        .recv()
        .unwrap_or_else(|_gone| Err(io::Error::other("worker did not start")))?;
    Ok(Running {
        worker,
        drain: parking_lot::Mutex::new(Some(drain)),
        thread,
    })
}

const DEFAULT_CONNECTION_LIMIT: usize = 10_000;
/// How long a connection that is kept open may wait for its next request when another process takes over.
const LINGER: Duration = Duration::from_secs(5);
