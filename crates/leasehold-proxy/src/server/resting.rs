//! Connections of HTTP/1.1 on which nothing happens: all that is kept of one is its socket, its session
//! of TLS, and where its framing stands.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::sleep;

use super::reader::ConsumerIo;
use super::spec::Limits;
use super::strict::Strict;
use super::worker::Phase;
use crate::service::Worker;
use crate::via::Link;

/// A connection between two requests, with nothing on the way in either direction.
pub(super) struct Resting {
    pub(super) io: Strict<ConsumerIo>,
    /// It is to be closed in order, and not to take another request.
    pub(super) ends: bool,
}

impl Resting {
    /// Returns one on which nothing was said yet.
    pub(super) fn new(io: ConsumerIo) -> Self {
        Self {
            io: Strict::new(io),
            ends: false,
        }
    }

    /// Returns one that requests were read from, and these bytes of the next. `None` where they are of
    /// no next request: it could only be read as something that it is not.
    pub(super) fn again(mut io: Strict<ConsumerIo>, begun: Bytes) -> Option<Self> {
        if io.put_back(begun).is_err() {
            tracing::error!("a connection that was to rest was in the middle of a request");
            return None;
        }
        Some(Self { io, ends: false })
    }

    /// Waits until there is something to do; `None` where the connection is cut.
    pub(super) async fn wait(
        mut self,
        worker: &Worker,
        link: &Link,
        phase: &mut watch::Receiver<Phase>,
    ) -> Option<Self> {
        let _counted = Counted::new(worker);
        let idle = link.via.limits.idle_timeout;
        let (_, left) = link.wait(worker.clock.boot(), idle, Duration::MAX);
        tokio::select! {
            biased;
            () = poll_fn(|cx| self.io.poll_readable(cx)) => {}
            // Before that, there is no way to say that it ends but by an answer.
            told = phase.wait_for(|phase| *phase >= Phase::Draining) => {
                if told.map_or(Phase::Cut, |phase| *phase) == Phase::Cut {
                    return None;
                }
                self.ends = true;
            }
            () = sleep(left) => self.ends = true,
        }
        Some(self)
    }
}

/// Returns how often to look whether a connection may rest. One that is asked more often than that
/// never does, and pays nothing for those that do.
pub(super) fn look(limits: &Limits) -> Duration {
    LOOK.min(limits.idle_timeout / 4)
}

/// Counts a connection for as long as it rests.
struct Counted<'a>(&'a Worker);

impl<'a> Counted<'a> {
    fn new(worker: &'a Worker) -> Self {
        worker.metrics.connections_resting.inc();
        Self(worker)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.metrics.connections_resting.dec();
    }
}

const LOOK: Duration = Duration::from_secs(2);
