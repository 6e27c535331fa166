mod accept;
mod bound;
mod connection;
mod door;
mod files;
mod linger;
mod listeners;
mod posts;
mod proxy_header;
mod reader;
mod resting;
mod socket;
mod spec;
mod streams;
mod strict;
mod tls;
mod unix;
mod upgraded;
mod wire;
mod worker;
mod write_limit;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use leasehold_audit::Recorder;
use leasehold_model::{Clock, ListenerName};
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::oneshot;

use self::bound::{Bound, Socket};
use self::files::Files;
pub use self::listeners::{ListenerChanges, Listeners, NextListeners};
pub use self::spec::{Limits, ListenerAddress, ListenerSpec, Pace, Trusted};
pub use self::tls::{
    ClientAuthorities, Identity, ListenerTls, ServedCertificate, TlsError, TlsMaterial,
};
use self::worker::{Assignment, Drain};
use crate::gateway::Gateway;
use crate::metrics::ProxyMetrics;
use crate::service::Worker;

/// Listening sockets that nobody accepts on yet: each address once a worker.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Bound>,
    workers: usize,
    addresses: Vec<(ListenerName, ListenerAddress)>,
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
        let workers = workers.max(1);
        let mut bound = Vec::new();
        for spec in listeners {
            let mut own = Vec::new();
            for (_, socket) in opened.extract_if(.., |(name, _)| *name == spec.name) {
                own.extend(Socket::at(&spec.address, socket));
            }
            bound.push(if own.is_empty() {
                Bound::open(spec, workers)?
            } else {
                Bound::adopt(spec, workers, own)?
            });
        }
        let addresses = bound.iter().map(Bound::named_address).collect();
        Ok(Self {
            listeners: bound,
            workers,
            addresses,
            connection_limit: DEFAULT_CONNECTION_LIMIT,
        })
    }

    /// Returns the listening sockets once more, each with its listener's name, to be handed to another
    /// process. While anybody has them open, connections wait there.
    ///
    /// # Errors
    ///
    /// When the system has no descriptor left.
    pub fn sockets(&self) -> io::Result<Vec<(ListenerName, OwnedFd)>> {
        bound::sockets(&self.listeners)
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
    /// While the [`Listeners`] are kept, so are their sockets: connections wait there even when the
    /// server has ended.
    ///
    /// # Errors
    ///
    /// When the system has no thread, poller or descriptor left for one of them; none runs then.
    pub fn run(
        self,
        gateway: &Arc<Gateway>,
        recorder: &Recorder,
        metrics: &ProxyMetrics,
        clock: &Arc<dyn Clock>,
    ) -> io::Result<(RunningServer, Listeners)> {
        let (listeners, dealt) = Listeners::deal(self.listeners, self.workers)?;
        let mut running = RunningServer {
            workers: Vec::new(),
            files: listeners.files(),
        };
        let mut orders = Vec::new();
        for (number, listeners) in dealt.into_iter().enumerate() {
            let worker = Arc::new(Worker::new(
                Arc::clone(gateway),
                recorder.clone(),
                metrics.clone(),
                Arc::clone(clock),
            ));
            let (order, ordered) = unbounded_channel();
            let assignment = Assignment {
                listeners,
                connection_limit: self.connection_limit,
                orders: ordered,
            };
            match start(number, worker, assignment) {
                Ok(handle) => running.workers.push(handle),
                Err(error) => {
                    running.drain(Duration::ZERO);
                    return Err(error);
                }
            }
            orders.push(order);
        }
        Ok((running, listeners.served_by(orders)))
    }
}

/// Workers that accept requests.
///
/// Dropping this drains them with no time to do it in, and does not wait for that.
#[derive(Debug)]
#[must_use = "the server ends when this is dropped"]
pub struct RunningServer {
    workers: Vec<Running>,
    files: Files,
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
    pub fn leave_files(&self) {
        self.files.leave(true);
    }

    /// Removes the files of Unix sockets at the end, also of those that were adopted: whoever made them
    /// has left them.
    pub fn own_files(&self) {
        self.files.leave(false);
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
        self.files.remove();
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

impl BindError {
    fn of(spec: &ListenerSpec, source: io::Error) -> Self {
        Self {
            listener: spec.name.clone(),
            address: spec.address.clone(),
            source,
        }
    }
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

fn start(number: usize, worker: Arc<Worker>, assignment: Assignment) -> io::Result<Running> {
    let (drain, drained) = oneshot::channel();
    let (ready, started) = mpsc::sync_channel(1);
    let serving = Arc::clone(&worker);
    let thread = thread::Builder::new()
        .name(format!("proxy-{number}"))
        .spawn(move || worker::run(serving, assignment, drained, &ready))?;
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
