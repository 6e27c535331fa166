use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// Measures how long one side keeps the other waiting. It costs nothing while nobody waits.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    /// Kept for the next wait.
    timer: Option<Pin<Box<Sleep>>>,
    runs: bool,
}

impl Patience {
    pub(crate) const fn new(limit: Duration) -> Self {
        Self {
            limit,
            timer: None,
            runs: false,
        }
    }

    pub(crate) const fn limit(&self) -> Duration {
        self.limit
    }

    /// Waits, from the first call after an [`Patience::end`], until the limit is over.
    pub(crate) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_over_within(cx, self.limit)
    }

    /// Does the same, with another limit for this wait where that is less.
    pub(crate) fn poll_over_within(&mut self, cx: &mut Context<'_>, limit: Duration) -> Poll<()> {
        if !self.runs {
            self.begin(self.limit.min(limit));
        }
        let timer = self.timer.as_mut();
        timer.map_or(Poll::Pending, |timer| timer.as_mut().poll(cx))
    }

    /// Begins to wait anew, for as long as that.
    pub(crate) fn begin(&mut self, limit: Duration) {
        self.runs = true;
        match &mut self.timer {
            Some(timer) => timer.as_mut().set(sleep(limit)),
            None => self.timer = Some(Box::pin(sleep(limit))),
        }
    }

    /// Writes down that the wait has ended.
    pub(crate) const fn end(&mut self) {
        self.runs = false;
    }
}
