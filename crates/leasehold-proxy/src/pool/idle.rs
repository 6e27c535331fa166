use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::SendRequest;
use leasehold_broker::Generation;
use leasehold_inject::Prepared;
use leasehold_model::{BootTime, Clock};
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use super::connection::Connection;
use super::resolve::{self, LookUp};
use super::shared::{Opening, Session, Sessions, Stream};
use super::shown::Past;
use crate::body::RequestBody;
use crate::gateway::{Endpoint, KeepAlive, Origin};

/// What makes two connections interchangeable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PoolKey {
    /// The number of the endpoint, which no other of the process has.
    pub(crate) endpoint: usize,
    /// The number of what the gateway has proved to be at the handshake, zero where it is nobody.
    pub(crate) identity: u64,
}

/// The connections of one core to upstreams that are not in use, and those that several requests
/// share.
///
/// The locks are never contended, since only one thread comes here; they are there because the types
/// that hold a pool must be able to move between threads.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: Mutex<HashMap<PoolKey, VecDeque<Idle>>>,
    sessions: Mutex<HashMap<PoolKey, Sessions>>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) look_up: LookUp,
    /// What drives the connections, in use or not.
    pub(super) drivers: TaskTracker,
}

impl Pool {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            idle: Mutex::default(),
            sessions: Mutex::default(),
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

    pub(crate) fn now(&self) -> BootTime {
        self.clock.boot()
    }

    /// Looks up the name of an endpoint.
    pub(crate) async fn look_up(&self, origin: &Origin) -> io::Result<Vec<SocketAddr>> {
        let (host, port) = (&origin.host, origin.port);
        origin.resolver.resolve(host, port, self.look_up).await
    }

    /// Takes what there is to an endpoint: a stream of a connection that has one left, or the
    /// connection that was used last, as it is the least likely to be closed by the time that the
    /// request gets there.
    pub(crate) fn take(self: &Arc<Self>, endpoint: &Endpoint, key: PoolKey) -> Option<Connection> {
        if endpoint.may_share() {
            return self.take_stream(key).map(Connection::Shared);
        }
        self.take_idle(key).map(Connection::Exclusive)
    }

    /// Closes what has been idle for too long, or has carried what is no more.
    pub(crate) fn sweep(&self) {
        let now = self.clock.boot();
        self.idle.lock().retain(|_key, connections| {
            connections.retain(|it| it.is_usable(now) && !it.past.shown.lock().is_stale());
            !connections.is_empty()
        });
        let mut sessions = self.sessions.lock();
        sessions.retain(|_key, it| it.sweep(now) || it.is_opening());
    }

    pub(super) fn take_stream(&self, key: PoolKey) -> Option<Stream> {
        let now = self.clock.boot();
        self.sessions.lock().get_mut(&key)?.take(now)
    }

    /// Returns what those who open a shared connection take turns by.
    pub(super) fn opening(&self, key: PoolKey) -> Arc<Opening> {
        Arc::clone(&self.sessions.lock().entry(key).or_default().opening)
    }

    pub(super) fn add(&self, key: PoolKey, session: Arc<Session>) {
        self.sessions.lock().entry(key).or_default().add(session);
    }

    fn take_idle(self: &Arc<Self>, key: PoolKey) -> Option<Exclusive> {
        let now = self.clock.boot();
        let mut idle = self.idle.lock();
        let connections = idle.get_mut(&key)?;
        while let Some(newest) = connections.pop_back() {
            if newest.is_usable(now) {
                return Some(newest.exclusive(key, self));
            }
        }
        None
    }

    fn put(&self, key: PoolKey, connection: Idle) {
        let mut idle = self.idle.lock();
        let connections = idle.entry(key).or_default();
        while connections.len() >= connection.keep_alive.connections {
            if connections.pop_front().is_none() {
                return;
            }
        }
        connections.push_back(connection);
    }
}

/// An HTTP/1.1 connection, in the hands of one request.
///
/// Dropping it closes it.
#[derive(Debug)]
pub(crate) struct Exclusive {
    key: PoolKey,
    sender: SendRequest<RequestBody>,
    past: Arc<Past>,
    born: BootTime,
    keep_alive: KeepAlive,
    pool: Arc<Pool>,
}

impl Exclusive {
    pub(super) fn new(
        key: PoolKey,
        sender: SendRequest<RequestBody>,
        past: Arc<Past>,
        keep_alive: KeepAlive,
        pool: Arc<Pool>,
    ) -> Self {
        Self {
            key,
            sender,
            past,
            born: pool.now(),
            keep_alive,
            pool,
        }
    }

    pub(super) fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<>
    {
        self.past.heard.store(false, Ordering::Relaxed);
        self.sender.try_send_request(request)
    }

    pub(super) fn show(&self, generation: &Arc<Generation<Prepared>>) {
        self.past.shown.lock().add(generation);
    }

    pub(super) fn has_heard(&self) -> bool {
        self.past.heard.load(Ordering::Relaxed)
    }

    pub(super) fn give_back(self) {
        let since = self.pool.now();
        let old = since.since(self.born) >= self.keep_alive.age;
        if !self.sender.is_ready() || old || self.past.shown.lock().is_stale() {
            return;
        }
        let idle = Idle {
            sender: self.sender,
            past: self.past,
            born: self.born,
            keep_alive: self.keep_alive,
            since,
        };
        self.pool.put(self.key, idle);
    }
}

#[derive(Debug)]
struct Idle {
    sender: SendRequest<RequestBody>,
    past: Arc<Past>,
    born: BootTime,
    keep_alive: KeepAlive,
    since: BootTime,
}

impl Idle {
    fn is_usable(&self, now: BootTime) -> bool {
        self.sender.is_ready() && now.since(self.since) < self.keep_alive.idle
    }

    fn exclusive(self, key: PoolKey, pool: &Arc<Pool>) -> Exclusive {
        Exclusive {
            key,
            sender: self.sender,
            past: self.past,
            born: self.born,
            keep_alive: self.keep_alive,
            pool: Arc::clone(pool),
        }
    }
}

/// How often idle connections are looked through.
pub(crate) const SWEEP_INTERVAL: Duration = Duration::from_secs(2);

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
        for (second, age, kept) in [(3, 60, true), (5, 60, false), (0, 0, false)] {
            let age = Duration::from_secs(age);
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
            let key = PoolKey {
                endpoint: 0,
                identity: 0,
            };
            let keep_alive = KeepAlive {
                age,
                ..KeepAlive::default()
            };
            let past = Arc::default();
            Exclusive::new(key, sender, past, keep_alive, Arc::clone(&pool)).give_back();
            clock.0.store(second, Ordering::Relaxed);
            assert_eq!(pool.take_idle(key).is_some(), kept, "after {second} s");
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
