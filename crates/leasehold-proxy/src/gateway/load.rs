use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::policy::UpstreamLimits;

/// What goes on at an upstream, on all cores.
#[derive(Debug)]
pub(crate) struct Load {
    limits: UpstreamLimits,
    connections: AtomicUsize,
    pending: AtomicUsize,
    requests: AtomicUsize,
    /// Whether a handshake has agreed on HTTP/2.
    http2: AtomicBool,
}

/// One of the things that are counted; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Held {
    load: Arc<Load>,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Connection,
    Pending,
}

impl Load {
    pub(super) fn new(limits: UpstreamLimits) -> Self {
        Self {
            limits,
            connections: AtomicUsize::new(0),
            pending: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            http2: AtomicBool::new(false),
        }
    }

    /// Counts a request, unless there are too many.
    pub(super) fn begin_request(&self) -> bool {
        begin(&self.requests, self.limits.requests)
    }

    pub(super) fn end_request(&self) {
        self.requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a connection and the making of it, unless there are too many of either.
    pub(crate) fn connect(self: &Arc<Self>) -> Option<(Held, Held)> {
        let connection = self.hold(What::Connection)?;
        let pending = self.hold(What::Pending)?;
        Some((connection, pending))
    }

    /// Tells whether a handshake has agreed on HTTP/2.
    pub(super) fn has_http2(&self) -> bool {
        self.http2.load(Ordering::Relaxed)
    }

    pub(super) fn agreed_on_http2(&self) {
        self.http2.store(true, Ordering::Relaxed);
    }

    /// Returns how many connections are open or being made.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    fn hold(self: &Arc<Self>, what: What) -> Option<Held> {
        let (counter, limit) = self.counter(what);
        begin(counter, limit).then(|| Held {
            load: Arc::clone(self),
            what,
        })
    }

    const fn counter(&self, what: What) -> (&AtomicUsize, usize) {
        match what {
            What::Connection => (&self.connections, self.limits.connections),
            What::Pending => (&self.pending, self.limits.pending),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.load
            .counter(self.what)
            .0
            .fetch_sub(1, Ordering::Relaxed);
    }
}

fn begin(counter: &AtomicUsize, limit: usize) -> bool {
    let free = counter.fetch_add(1, Ordering::Relaxed) < limit;
    if !free {
        counter.fetch_sub(1, Ordering::Relaxed);
    }
    free
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_makes_room() {
        let load = Arc::new(Load::new(UpstreamLimits {
            connections: 2,
            pending: 1,
            requests: 1,
        }));
        assert!(load.begin_request() && !load.begin_request());
        load.end_request();
        assert!(load.begin_request());
        let (first, pending) = load.connect().expect("room");
        assert!(load.connect().is_none(), "one at a time");
        assert_eq!(load.connections(), 1, "what was refused is not counted");
        drop(pending);
        let second = load.connect().expect("room");
        drop(second.1);
        assert!(load.connect().is_none());
        drop(first);
        assert!(load.connect().is_some());
    }
}
