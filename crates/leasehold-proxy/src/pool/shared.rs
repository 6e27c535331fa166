use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use leasehold_broker::Generation;
use leasehold_inject::Prepared;
use leasehold_model::{BootTime, Chain};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::bound::End;
use super::idle::Pool;
use super::io::UpstreamIo;
use super::shown::Shown;
use crate::body::RequestBody;
use crate::gateway::{Endpoint, KeepAlive, LoadHeld};

/// What there is to one endpoint: connections that each carry several requests.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: Vec<Arc<Session>>,
    pub(super) opening: Arc<Opening>,
}

/// Whoever opens one. The others wait and share it, or share that it could not be opened.
#[derive(Debug, Default)]
pub(super) struct Opening {
    pub(super) turn: tokio::sync::Mutex<()>,
    failures: AtomicU64,
}

impl Opening {
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }
}

impl Sessions {
    /// Takes a stream of the first that has one left.
    pub(super) fn take(&mut self, now: BootTime) -> Option<Stream> {
        self.open.retain(|it| it.is_open(now));
        self.open.iter().find_map(|it| it.begin(now))
    }

    pub(super) fn add(&mut self, session: Arc<Session>) {
        self.open.push(session);
    }

    /// Tells whether somebody is about to open one.
    pub(super) fn is_opening(&self) -> bool {
        Arc::strong_count(&self.opening) > 1
    }

    /// Lets go of those that are not of use any longer; returns whether any is left.
    pub(super) fn sweep(&mut self, now: BootTime) -> bool {
        // Streams that are under way end in order on one that is let go of.
        self.open
            .retain(|it| it.is_open(now) && !it.is_idle(now) && !it.shown.lock().is_stale());
        !self.open.is_empty()
    }
}

/// One HTTP/2 connection. It is closed when nobody has it any longer and its last stream has ended.
#[derive(Debug)]
pub(super) struct Session {
    sender: SendRequest<RequestBody>,
    streams: AtomicUsize,
    /// How many streams the other side takes. The driver writes it, and does not keep the rest alive.
    limit: Arc<AtomicUsize>,
    /// Whether it takes no more of them.
    retired: AtomicBool,
    /// Tells the driver to look at the limit again.
    heard: Arc<Notify>,
    shown: Mutex<Shown>,
    born: BootTime,
    used: AtomicU64,
    keep_alive: KeepAlive,
}

impl Session {
    fn is_open(&self, now: BootTime) -> bool {
        !self.sender.is_closed()
            && !self.retired.load(Ordering::Relaxed)
            && now.since(self.born) < self.keep_alive.age
    }

    fn is_idle(&self, now: BootTime) -> bool {
        let used = BootTime::from_nanos(self.used.load(Ordering::Relaxed));
        self.streams.load(Ordering::Relaxed) == 0
            && now.since(used) >= self.keep_alive.idle.max(LEAST_IDLE)
    }

    fn begin(self: &Arc<Self>, now: BootTime) -> Option<Stream> {
        if self.streams.load(Ordering::Relaxed) >= self.limit.load(Ordering::Relaxed) {
            return None;
        }
        self.streams.fetch_add(1, Ordering::Relaxed);
        self.used.store(now.as_nanos(), Ordering::Relaxed);
        Some(Stream(Arc::clone(self)))
    }
}

/// One request's part of a connection.
#[derive(Debug)]
pub(crate) struct Stream(Arc<Session>);

impl Stream {
    pub(super) async fn send(
        &self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        let mut sender = self.0.sender.clone();
        let answered = sender.try_send_request(request).await;
        // By now the other side has said how many streams it takes.
        self.0.heard.notify_one();
        answered
    }

    pub(super) fn show(&self, generation: &Arc<Generation<Prepared>>) {
        self.0.shown.lock().add(generation);
    }

    /// Takes no more streams than there are beside this one, which was one too many: more than the
    /// other side takes may have begun before it had said how many that is. Where there is no other
    /// it takes none, and the connection is of no use.
    pub(super) fn retire(&self) {
        match self.0.streams.load(Ordering::Relaxed).saturating_sub(1) {
            0 => self.0.retired.store(true, Ordering::Relaxed),
            others => self.0.limit.store(others, Ordering::Relaxed),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Begins HTTP/2 on a connection and takes a first stream of it. `held` is dropped when it is closed.
pub(super) async fn start(
    pool: &Pool,
    endpoint: &Endpoint,
    io: UpstreamIo,
    held: LoadHeld,
    end: Option<End>,
) -> Result<(Arc<Session>, Stream), hyper::Error> {
    let (sender, driver) = builder(&pool.drivers).handshake(TokioIo::new(io)).await?;
    let now = pool.now();
    let limit = Arc::new(AtomicUsize::new(driver.current_max_send_streams().max(1)));
    let heard = Arc::new(Notify::new());
    let session = Arc::new(Session {
        sender,
        streams: AtomicUsize::new(1),
        limit: Arc::clone(&limit),
        retired: AtomicBool::new(false),
        heard: Arc::clone(&heard),
        shown: Mutex::default(),
        born: now,
        used: AtomicU64::new(now.as_nanos()),
        keep_alive: endpoint.origin.keep_alive,
    });
    let name = Arc::clone(&endpoint.origin.name);
    let clock = Arc::clone(&pool.clock);
    pool.drivers.spawn(async move {
        let mut driver = driver;
        let mut over = pin!(async {
            match &end {
                Some(end) => end.reached(&*clock).await,
                None => std::future::pending().await,
            }
        });
        let mut driver = pin!(poll_fn(|cx| {
            let polled = Pin::new(&mut driver).poll(cx);
            limit.store(driver.current_max_send_streams(), Ordering::Relaxed);
            polled
        }));
        let ended = loop {
            tokio::select! {
                ended = &mut driver => break ended,
                () = heard.notified() => {}
                () = &mut over => break Ok(()),
            }
        };
        drop(held);
        if let Err(error) = ended {
            let error = Chain(&error);
            tracing::debug!(endpoint = &*name, %error, "upstream connection failed");
        }
    });
    Ok((Arc::clone(&session), Stream(session)))
}

fn builder(drivers: &TaskTracker) -> Builder<Drivers> {
    let mut builder = Builder::new(Drivers(drivers.clone()));
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(LARGEST_HEAD)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true);
    builder
}

/// Runs what hyper wants to have run beside a connection.
#[derive(Clone, Debug)]
struct Drivers(TaskTracker);

impl<F> Executor<F> for Drivers
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
const LARGEST_HEAD: u32 = 64 * 1024;
const SEND_BUFFER: usize = 256 * 1024;
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that is pinged is not closed behind the gateway's back; opening one costs more.
const LEAST_IDLE: Duration = Duration::from_secs(60);
