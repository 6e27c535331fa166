use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::SendRequest;
use leasehold_model::{BootTime, Clock};
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use super::resolve::{self, LookUp};
use crate::body::RequestBody;

/// What makes two connections interchangeable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PoolKey {
    /// The number of the endpoint, which no other of the process has.
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
    pub(super) look_up: LookUp,
    /// What drives the connections, in use or not.
    pub(super) drivers: TaskTracker,
}

impl Pool {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            idle: Mutex::default(),
            clock,
            look_up: resolve::system,
            drivers: TaskTracker::new(),
        }
    }

    /// Lets a test say how names are looked up.
    #[cfg(test)]
    pub(crate) fn looking_up(mut self, look_up: LookUp) -> Self {
        self.look_up = look_up;
        self
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
                    heard: newest.heard,
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

    fn put(&self, key: PoolKey, sender: SendRequest<RequestBody>, heard: Arc<AtomicBool>) {
        let since = self.clock.boot();
        let mut idle = self.idle.lock();
        let connections = idle.entry(key).or_default();
        if connections.len() >= MAX_IDLE {
            connections.pop_front();
        }
        connections.push_back(Idle {
            sender,
            heard,
            since,
        });
    }
}

/// A connection to an endpoint, in the hands of one request.
///
/// Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    key: PoolKey,
    sender: SendRequest<RequestBody>,
    /// Whether the endpoint has said anything since the request was sent.
    heard: Arc<AtomicBool>,
    pool: Arc<Pool>,
}

impl Connection {
    pub(super) const fn new(
        key: PoolKey,
        sender: SendRequest<RequestBody>,
        heard: Arc<AtomicBool>,
        pool: Arc<Pool>,
    ) -> Self {
        Self {
            key,
            sender,
            heard,
            pool,
        }
    }

    /// Sends a request. Where nothing of it was sent, the error holds it.
    pub(crate) fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<>
    {
        self.heard.store(false, Ordering::Relaxed);
        self.sender.try_send_request(request)
    }

    /// Tells whether a byte of an answer has come.
    pub(crate) fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    /// Gives the connection back for the next request, unless it is closed or has yet to finish this
    /// one.
    pub(crate) fn give_back(self) {
        if self.sender.is_ready() {
            self.pool.put(self.key, self.sender, self.heard);
        }
    }
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<RequestBody>,
    heard: Arc<AtomicBool>,
    since: BootTime,
}

impl Idle {
    fn is_usable(&self, now: BootTime) -> bool {
        self.sender.is_ready() && now.since(self.since) < IDLE_LIMIT
    }
}

/// How often idle connections are looked through.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// Less than the 5 s after which Node, uvicorn and Apache close a connection that they hear nothing on.
const IDLE_LIMIT: Duration = Duration::from_secs(4);
const MAX_IDLE: usize = 256;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::AtomicU64;
    use std::task::Poll;
    use std::time::SystemTime;

    use hyper::client::conn::http1;
    use hyper_util::rt::TokioIo;

    use super::*;

    #[tokio::test]
    async fn a_connection_is_given_up_before_the_upstream_closes_it() {
        for (second, kept) in [(3, true), (5, false)] {
            let clock = Arc::new(ManualClock::default());
            let pool = Arc::new(Pool::new(Arc::clone(&clock) as Arc<dyn Clock>));
            let (near, _far) = tokio::io::duplex(64);
            let (sender, driver) = http1::handshake(TokioIo::new(near)).await.expect("HTTP");
            let mut driver = pin!(driver);
            // Ready for a request once it was polled.
            poll_fn(|cx| {
                assert!(driver.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            let key = PoolKey { endpoint: 0 };
            Connection::new(key, sender, Arc::default(), Arc::clone(&pool)).give_back();
            clock.0.store(second, Ordering::Relaxed);
            assert_eq!(pool.take(key).is_some(), kept, "after {second} s");
        }
    }

    #[derive(Debug, Default)]
    struct ManualClock(AtomicU64);

    impl Clock for ManualClock {
        fn boot(&self) -> BootTime {
            BootTime::default().after(Duration::from_secs(self.0.load(Ordering::Relaxed)))
        }

        fn wall(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }
    }
}
