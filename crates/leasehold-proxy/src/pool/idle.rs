use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::SendRequest;
use leasehold_model::{BootTime, Clock};
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use crate::body::RequestBody;

/// What makes two connections interchangeable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PoolKey {
    /// The number of the endpoint in its gateway.
    pub(crate) endpoint: usize,
}

/// The connections of one core to upstreams that are not in use.
///
/// The lock is never contended, since only one thread comes here; it is there because the types that
/// hold a pool must be able to move between threads.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: Mutex<HashMap<PoolKey, VecDeque<Idle>>>,
    clock: Arc<dyn Clock>,
    /// What drives the connections, in use or not.
    pub(super) drivers: TaskTracker,
}

impl Pool {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            idle: Mutex::default(),
            clock,
            drivers: TaskTracker::new(),
        }
    }

    /// Takes the connection that was used last, as it is the least likely to be closed by the time
    /// that the request gets there.
    pub(crate) fn take(self: &Arc<Self>, key: PoolKey) -> Option<Connection> {
        let now = self.clock.boot();
        let mut idle = self.idle.lock();
        let connections = idle.get_mut(&key)?;
        while let Some(newest) = connections.pop_back() {
            if newest.is_usable(now) {
                return Some(Connection {
                    key,
                    sender: newest.sender,
                    pool: Arc::clone(self),
                });
            }
        }
        None
    }

    /// Closes what has been idle for too long.
    pub(crate) fn sweep(&self) {
        let now = self.clock.boot();
        self.idle.lock().retain(|_key, connections| {
            connections.retain(|it| it.is_usable(now));
            !connections.is_empty()
        });
    }

    fn put(&self, key: PoolKey, sender: SendRequest<RequestBody>) {
        let since = self.clock.boot();
        let mut idle = self.idle.lock();
        let connections = idle.entry(key).or_default();
        if connections.len() >= MAX_IDLE {
            connections.pop_front();
        }
        connections.push_back(Idle { sender, since });
    }
}

/// A connection to an endpoint, in the hands of one request.
///
/// Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    key: PoolKey,
    sender: SendRequest<RequestBody>,
    pool: Arc<Pool>,
}

impl Connection {
    pub(super) const fn new(
        key: PoolKey,
        sender: SendRequest<RequestBody>,
        pool: Arc<Pool>,
    ) -> Self {
        Self { key, sender, pool }
    }

    /// Sends a request. Where nothing of it was sent, the error holds it.
    pub(crate) fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<>
    {
        self.sender.try_send_request(request)
    }

    /// Gives the connection back for the next request, unless it is closed or has yet to finish this
    /// one.
    pub(crate) fn give_back(self) {
        if self.sender.is_ready() {
            self.pool.put(self.key, self.sender);
        }
    }
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<RequestBody>,
    since: BootTime,
}

impl Idle {
    fn is_usable(&self, now: BootTime) -> bool {
        self.sender.is_ready() && now.since(self.since) < IDLE_LIMIT
    }
}

/// How often idle connections are looked through.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// Less than the time after which common servers close a connection that they hear nothing on.
const IDLE_LIMIT: Duration = Duration::from_secs(50);
const MAX_IDLE: usize = 256;
