mod accept;
mod connection;
mod linger;
mod reader;
mod socket;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use leasehold_audit::Recorder;
use leasehold_model::{Clock, ListenerName};
use tokio::sync::oneshot;

use crate::gateway::Gateway;
use crate::metrics::ProxyMetrics;
use crate::service::Worker;

/// Listening sockets that nobody accepts on yet: each address once a worker.
#[derive(Debug)]
pub struct Server {
    workers: Vec<Vec<Listener>>,
    addresses: Vec<(ListenerName, SocketAddr)>,
    connection_limit: usize,
    patience: Duration,
}

impl Server {
    /// Binds each listener once for each of `workers` workers, at least one. A port of 0 is chosen by
    /// the system, and is then the same for all workers.
    ///
    /// The kernel deals new connections out among the workers' sockets. Connections that arrive
    /// before [`Server::run`] wait.
    ///
    /// # Errors
    ///
    /// When an address can't be bound, or somebody listens there already.
    pub fn bind(
        listeners: &[(ListenerName, SocketAddr)],
        workers: usize,
    ) -> Result<Self, BindError> {
        let mut addresses = Vec::new();
        let mut first = Vec::new();
        for (name, address) in listeners {
            let (listener, bound) = Listener::first(name, *address)?;
            addresses.push((name.clone(), bound));
            first.push(listener);
        }
        let mut sockets = vec![first];
        for _ in 1..workers {
            let more = addresses
                .iter()
                .map(|(name, address)| Listener::bind(name, *address));
            sockets.push(more.collect::<Result<_, _>>()?);
        }
        Ok(Self {
            workers: sockets,
            addresses,
            connection_limit: DEFAULT_CONNECTION_LIMIT,
            patience: DEFAULT_PATIENCE,
        })
    }

    /// Sets how many connections from consumers one worker keeps; 10,000 where nothing is set. One
    /// more is answered with 503 and closed.
    #[must_use]
    pub const fn connection_limit(mut self, limit: usize) -> Self {
        self.connection_limit = limit;
        self
    }

    /// Sets how long a consumer may take no part of its answer, or owe the next part of its body; 60 s
    /// where nothing is set. Its connection is cut then.
    #[must_use]
    pub const fn consumer_patience(mut self, limit: Duration) -> Self {
        self.patience = limit;
        self
    }

    /// Returns the addresses bound, in the order of the listeners, with the ports that were chosen.
    #[must_use]
    pub fn addresses(&self) -> &[(ListenerName, SocketAddr)] {
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
        let mut running = RunningServer::default();
        for (number, listeners) in self.workers.into_iter().enumerate() {
            let worker = Arc::new(Worker::new(
                Arc::clone(gateway),
                recorder.clone(),
                metrics.clone(),
                Arc::clone(clock),
                self.patience,
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
#[derive(Debug, Default)]
#[must_use = "the server ends when this is dropped"]
pub struct RunningServer {
    workers: Vec<Running>,
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

    /// Stops accepting, lets the requests under way end for up to `limit`, and ends all threads.
    /// Returns how many connections had to be cut.
    ///
    /// Blocks for as long as that takes.
    pub fn drain(self, limit: Duration) -> usize {
        for worker in &self.workers {
            worker.begin_drain(limit);
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
    name: ListenerName,
    socket: TcpListener,
}

impl Listener {
    /// Binds an address that nobody else may have, and returns what it came to.
    fn first(name: &ListenerName, address: SocketAddr) -> Result<(Self, SocketAddr), BindError> {
        let failed = |source| BindError::new(name, address, source);
        socket::check_free(address).map_err(failed)?;
        let listener = Self::bind(name, address)?;
        let bound = listener.socket.local_addr().map_err(failed)?;
        Ok((listener, bound))
    }

    fn bind(name: &ListenerName, address: SocketAddr) -> Result<Self, BindError> {
        let socket = socket::listen(address);
        Ok(Self {
            name: name.clone(),
            socket: socket.map_err(|source| BindError::new(name, address, source))?,
        })
    }
}

/// A listener that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("bind listener {listener} to {address}")]
pub struct BindError {
    /// The listener.
    pub listener: ListenerName,
    /// Its address.
    pub address: SocketAddr,
    /// What the system said.
    pub source: io::Error,
}

impl BindError {
    fn new(listener: &ListenerName, address: SocketAddr, source: io::Error) -> Self {
        let listener = listener.clone();
        Self {
            listener,
            address,
            source,
        }
    }
}

#[derive(Debug)]
struct Running {
    worker: Arc<Worker>,
    drain: parking_lot::Mutex<Option<oneshot::Sender<Duration>>>,
    thread: JoinHandle<usize>,
}

impl Running {
    fn begin_drain(&self, limit: Duration) {
        let told = self.drain.lock().take().map(|drain| drain.send(limit));
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
const DEFAULT_PATIENCE: Duration = Duration::from_secs(60);
