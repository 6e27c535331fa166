use std::time::{Duration, SystemTime};

use rustix::time::{ClockId, clock_gettime};

/// A point on the boot clock, in nanoseconds since the machine started.
///
/// The boot clock counts the time that the machine was suspended, which `std::time::Instant` does
/// not: a lease goes on ageing at the provider while a laptop sleeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootTime(u64);

impl BootTime {
    /// The end of time: what has no deadline has this one.
    pub const NEVER: Self = Self(u64::MAX);

    /// Makes a point from nanoseconds since boot.
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Returns the nanoseconds since boot.
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Returns the point `span` later; [`BootTime::NEVER`] where that does not fit.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(nanos(span)))
    }

    /// Returns the point `span` earlier; the start of the clock where that does not fit.
    #[must_use]
    pub fn before(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(span)))
    }

    /// Returns how long ago `earlier` was; zero where it is still to come.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Tells the time.
///
/// Deciders take the time as an argument; only what drives them holds a clock.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Returns the time on the boot clock, for deadlines and spans.
    fn boot(&self) -> BootTime;
    /// Returns the time of day, for records that people read.
    fn wall(&self) -> SystemTime;
}

/// The machine's own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn boot(&self) -> BootTime {
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
        BootTime(
            seconds
                .saturating_mul(NANOS_PER_SECOND)
                .saturating_add(nanos),
        )
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the time of day"
    )]
    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_too_long_to_add_reaches_the_end_of_time_and_not_its_start() {
        let late = BootTime::from_nanos(u64::MAX - 1);
        assert_eq!(late.after(Duration::from_secs(1)), BootTime::NEVER);
        assert_eq!(
            BootTime::from_nanos(1).before(Duration::MAX),
            BootTime::from_nanos(0)
        );
    }

    #[test]
    fn the_future_is_no_time_ago() {
        let now = BootTime::from_nanos(5);
        assert_eq!(now.since(now.after(Duration::from_secs(1))), Duration::ZERO);
    }

    #[test]
    fn the_boot_clock_goes_forward() {
        let first = SystemClock.boot();
        assert!(SystemClock.boot() >= first);
        assert!(first > BootTime::default());
    }
}
