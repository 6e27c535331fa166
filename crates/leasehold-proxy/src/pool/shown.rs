use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Weak};

use leasehold_broker::Generation;
use leasehold_inject::Prepared;
use parking_lot::Mutex;

/// What went over a connection of HTTP/1.1.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// Whether the endpoint has said anything since the last request was sent.
    pub(super) heard: AtomicBool,
    pub(super) shown: Mutex<Shown>,
}

/// The generations of credentials that were sent over a connection.
///
/// The buffers of a connection hold what was sent last, or the end of something longer from before that:
/// nothing wipes them as long as the connection lives. So it ends with the first of these.
#[derive(Debug, Default)]
pub(super) struct Shown(Vec<Weak<Generation<Prepared>>>);

impl Shown {
    pub(super) fn add(&mut self, generation: &Arc<Generation<Prepared>>) {
        // What is weakly held keeps its address, so that no other can have the same.
        let is_known = |it: &Weak<_>| Weak::as_ptr(it) == Arc::as_ptr(generation);
        if !self.0.iter().any(is_known) {
            self.0.push(Arc::downgrade(generation));
        }
    }

    /// Tells whether one of them is no more.
    pub(super) fn is_stale(&self) -> bool {
        self.0.iter().any(|it| it.strong_count() == 0)
    }
}
