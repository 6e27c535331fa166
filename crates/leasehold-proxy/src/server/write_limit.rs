use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use leasehold_model::Clock;

use super::spec::Limits;
use crate::credit::Credit;
use crate::patience::Patience;

/// How long a client may let what is written to it wait: nothing taken for too long is an error, and so is
/// less than must be.
#[derive(Debug)]
pub(super) struct WriteLimit {
    patience: Patience,
    credit: Credit,
    clock: Arc<dyn Clock>,
}

impl WriteLimit {
    pub(super) fn new(limits: &Limits, clock: &Arc<dyn Clock>) -> Self {
        Self {
            patience: Patience::new(limits.body_timeout),
            credit: Credit::new(limits.pace),
            clock: Arc::clone(clock),
        }
    }

    /// Returns what a write came to, and an error in its place where it has taken too long.
    pub(super) fn in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        let clock = &self.clock;
        if let Poll::Ready(result) = &written {
            self.patience.end();
            let bytes = result.as_ref().map_or(0, bytes) as u64;
            self.credit.earn(bytes, || clock.boot());
            return written;
        }
        let left = self.credit.wait(|| clock.boot());
        let over = self.patience.poll_over_within(cx, left);
        over.map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}
