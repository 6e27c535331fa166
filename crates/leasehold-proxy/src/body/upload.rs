//! How a request's body has to fare, and how it does.

use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::Frame;
use leasehold_model::{BootTime, Clock, ReasonCode};

use crate::server::{Limits, Pace};

/// What is demanded of a request's body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Demands {
    /// How long the consumer may owe a part.
    pub(super) patience: Duration,
    pub(super) pace: Pace,
    /// How many bytes it may have.
    largest: u64,
}

impl Demands {
    /// Returns what a listener demands of this request.
    pub(crate) fn of(limits: &Limits, headers: &HeaderMap) -> Self {
        // Who streams messages both ways may have little to say for long.
        let kind = headers.get(CONTENT_TYPE).map(|it| it.as_bytes());
        let streams = kind.is_some_and(|kind| kind.starts_with(b"application/grpc"));
        let pace = if streams {
            Pace {
                rate: 0,
                ..limits.pace
            }
        } else {
            limits.pace
        };
        Self {
            patience: limits.body_timeout,
            pace,
            largest: limits.body_size,
        }
    }

    /// Nothing is demanded of what was read already.
    pub(super) const NOTHING: Self = Self {
        patience: Duration::ZERO,
        pace: Pace {
            rate: 0,
            grace: Duration::ZERO,
        },
        largest: u64::MAX,
    };
}

/// How a request's body fares, to be told by those who wait for the answer.
#[derive(Debug)]
pub(crate) struct Upload {
    pub(super) clock: Arc<dyn Clock>,
    bytes: AtomicU64,
    /// How many there may be.
    pub(super) limit: AtomicU64,
    stage: AtomicU8,
    /// When the stage began, or the last frame went on.
    since: AtomicU64,
    /// How long the consumer was waited for, in nanoseconds.
    waited: AtomicU64,
    /// How long the consumer may owe a part.
    patience: Duration,
    /// The same of the part that is owed now, by the pace, in nanoseconds.
    left: AtomicU64,
}

impl Upload {
    /// Returns how many bytes were read.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Returns how long the consumer was waited for.
    pub(crate) fn waited(&self) -> Duration {
        Duration::from_nanos(self.waited.load(Ordering::Relaxed))
    }

    /// Tells whether the whole body was read.
    pub(crate) fn is_complete(&self) -> bool {
        self.stage() == Stage::Ended
    }

    /// Tells whether nobody has asked for any of the body yet.
    pub(super) fn is_untouched(&self) -> bool {
        self.stage() == Stage::Flowing && self.bytes() == 0
    }

    /// Returns why the body broke off, where it did.
    pub(crate) fn broken(&self) -> Option<ReasonCode> {
        match self.stage() {
            Stage::Left => Some(ReasonCode::ClientAborted),
            Stage::Malformed => Some(ReasonCode::BadRequest),
            Stage::TooLarge => Some(ReasonCode::BodyTooLarge),
            Stage::Flowing | Stage::Waiting | Stage::Ended => None,
        }
    }

    /// Tells who is to blame that the answer is not there at `now`, and how much longer to wait for
    /// it: zero where it is enough.
    ///
    /// The upstream has `limit` from the last time that it took or could have taken a part of the
    /// body, and the consumer its own time for each part that it owes.
    pub(crate) fn stall(&self, now: BootTime, limit: Duration) -> (Stall, Duration) {
        let idle = now.since(BootTime::from_nanos(self.since.load(Ordering::Relaxed)));
        match self.stage() {
            Stage::Waiting => {
                let left = Duration::from_nanos(self.left.load(Ordering::Relaxed));
                let limit = self.patience.min(left);
                (Stall::Consumer, limit.saturating_sub(idle))
            }
            _ => (Stall::Upstream, limit.saturating_sub(idle)),
        }
    }

    pub(super) fn new(clock: Arc<dyn Clock>, demands: Demands) -> Self {
        let now = clock.boot();
        Self {
            clock,
            bytes: AtomicU64::new(0),
            limit: AtomicU64::new(demands.largest),
            stage: AtomicU8::new(Stage::Flowing as u8),
            since: AtomicU64::new(now.as_nanos()),
            waited: AtomicU64::new(0),
            left: AtomicU64::new(u64::MAX),
            patience: demands.patience,
        }
    }

    pub(super) fn wait(&self, left: Duration) {
        if self.stage() != Stage::Waiting {
            let left = u64::try_from(left.as_nanos()).unwrap_or(u64::MAX);
            self.left.store(left, Ordering::Relaxed);
            self.enter(Stage::Waiting);
        }
    }

    pub(super) fn advance(&self, frame: &Frame<Bytes>, last: bool) {
        let length = frame.data_ref().map_or(0, Bytes::len);
        self.bytes.fetch_add(length as u64, Ordering::Relaxed);
        self.enter(if last { Stage::Ended } else { Stage::Flowing });
    }

    pub(super) fn fail(&self, error: &hyper::Error) {
        let cause = error.source().and_then(|it| it.downcast_ref::<io::Error>());
        // Bytes that are no body are hyper's own errors; any other is of a connection that was lost.
        let malformed = cause.is_some_and(|it| {
            matches!(
                it.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
            )
        });
        self.enter(if malformed {
            Stage::Malformed
        } else {
            Stage::Left
        });
    }

    pub(super) fn enter(&self, stage: Stage) {
        let now = self.clock.boot();
        let since = self.since.swap(now.as_nanos(), Ordering::Relaxed);
        if self.stage() == Stage::Waiting {
            let waited = now.as_nanos().saturating_sub(since);
            self.waited.fetch_add(waited, Ordering::Relaxed);
        }
        self.stage.store(stage as u8, Ordering::Relaxed);
    }

    fn stage(&self) -> Stage {
        let stage = self.stage.load(Ordering::Relaxed);
        let known = STAGES.into_iter().find(|it| *it as u8 == stage);
        known.unwrap_or(Stage::Flowing)
    }
}

/// Who keeps the answer waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stall {
    /// The upstream, which has what it needs or does not take it.
    Upstream,
    /// The consumer, who owes a part of the body.
    Consumer,
}

impl From<Stall> for ReasonCode {
    fn from(stall: Stall) -> Self {
        match stall {
            Stall::Upstream => Self::UpstreamTimeout,
            Stall::Consumer => Self::ClientAborted,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The upstream has taken what there was.
    Flowing,
    /// The upstream could take more than the consumer has sent.
    Waiting,
    /// All of it was read.
    Ended,
    /// The consumer went away in the middle of it.
    Left,
    /// The consumer sent what is no body.
    Malformed,
    /// The consumer sent more than there may be.
    TooLarge,
}

const STAGES: [Stage; 6] = [
    Stage::Flowing,
    Stage::Waiting,
    Stage::Ended,
    Stage::Left,
    Stage::Malformed,
    Stage::TooLarge,
];

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn the_upstream_has_its_time_from_the_last_part_that_it_took() {
        let (clock, upload) = upload();
        clock.set(3);
        upload.advance(&Frame::data(Bytes::from_static(b"abc")), false);
        clock.set(5);
        assert_eq!(stall(&upload, 5), (Stall::Upstream, 8));
        assert_eq!(stall(&upload, 13), (Stall::Upstream, 0));
        assert_eq!((upload.bytes(), upload.is_complete()), (3, false));
    }

    #[test]
    fn a_consumer_who_owes_a_part_has_a_minute_for_it() {
        let (clock, upload) = upload();
        upload.wait(Duration::MAX);
        clock.set(20);
        upload.wait(Duration::MAX);
        assert_eq!(stall(&upload, 20), (Stall::Consumer, 40));
        assert_eq!(stall(&upload, 61), (Stall::Consumer, 0));
        upload.advance(&Frame::data(Bytes::from_static(b"a")), true);
        assert_eq!(stall(&upload, 22), (Stall::Upstream, 8));
        assert_eq!(upload.waited(), Duration::from_secs(20));
        assert!(upload.is_complete() && upload.broken().is_none());
    }

    /// Tells who is waited for at a second, and how many more seconds of 10 there are.
    fn stall(upload: &Upload, second: u64) -> (Stall, u64) {
        let now = BootTime::default().after(Duration::from_secs(second));
        let (stall, left) = upload.stall(now, Duration::from_secs(10));
        (stall, left.as_secs())
    }

    fn upload() -> (Arc<ManualClock>, Upload) {
        let clock = Arc::new(ManualClock::default());
        let upload = Upload::new(
            Arc::clone(&clock) as Arc<dyn Clock>,
            Demands {
                patience: Duration::from_secs(60),
                ..Demands::NOTHING
            },
        );
        (clock, upload)
    }

    #[derive(Debug, Default)]
    struct ManualClock(AtomicU64);

    impl ManualClock {
        fn set(&self, second: u64) {
            self.0.store(second, Ordering::Relaxed);
        }
    }

    impl Clock for ManualClock {
        fn boot(&self) -> BootTime {
            BootTime::default().after(Duration::from_secs(self.0.load(Ordering::Relaxed)))
        }

        fn wall(&self) -> SystemTime {
            SystemTime::UNIX_EPOCH
        }
    }
}
