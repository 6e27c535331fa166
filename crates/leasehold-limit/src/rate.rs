use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::StateInformationMiddleware;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};
use leasehold_model::{BootTime, LimitName};

use crate::store::Store;
use crate::{Key, Per};

/// A rate that requests of one key may come at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateSpec {
    /// Its name.
    pub name: LimitName,
    /// What requests are counted by.
    pub per: Per,
    /// So many requests …
    pub requests: NonZeroU32,
    /// … in so much time, evenly.
    pub every: Duration,
    /// How many may come at once after a time of quiet.
    pub burst: NonZeroU32,
    /// How many keys there is room for.
    pub keys: usize,
    /// Whether answers tell how much is left.
    pub headers: bool,
}

impl RateSpec {
    /// Returns the time that one request is worth. What can't be divided is rounded up, so that no more
    /// than the stated requests are let in.
    fn period(&self) -> Duration {
        let (every, requests) = (self.every.as_nanos(), u128::from(self.requests.get()));
        let nanos = every.div_ceil(requests).max(1);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

/// Decides by GCRA: in no span `t` does it let in more requests of one key than
/// `burst + t · requests / every`.
#[derive(Debug)]
pub struct RateLimit {
    spec: RateSpec,
    time: Time,
    /// When the keys were last looked through.
    tidied: AtomicU64,
    limiter: Limiter,
}

type Limiter = RateLimiter<Key, Store, Time, StateInformationMiddleware>;

impl RateLimit {
    /// Makes a limit that has seen no request.
    #[must_use]
    pub fn new(spec: RateSpec) -> Self {
        let time = Time::default();
        let quota = Quota::with_period(spec.period()).map(|it| it.allow_burst(spec.burst));
        // A period is not zero, so that there is a quota.
        let quota = quota.unwrap_or_else(|| Quota::per_second(spec.requests));
        Self {
            limiter: RateLimiter::new(quota, Store::new(spec.keys), time.clone()),
            tidied: AtomicU64::new(0),
            time,
            spec,
        }
    }

    /// Returns what it was made from.
    #[must_use]
    pub const fn spec(&self) -> &RateSpec {
        &self.spec
    }

    /// Lets a request in, which counts then, or not.
    ///
    /// # Errors
    ///
    /// When there were too many of its key; it does not count then.
    pub fn check(&self, key: &Key, now: BootTime) -> Result<Admitted, Refused> {
        self.time.forward(now);
        let period = self.spec.period();
        match self.limiter.check_key(key) {
            Ok(state) => {
                let left = state.remaining_burst_capacity();
                let missing = self.spec.burst.get().saturating_sub(left);
                let full = period.saturating_mul(missing);
                Ok(Admitted { left, full })
            }
            Err(until) => {
                let wait = until.wait_time_from(self.time.now());
                Err(Refused { wait })
            }
        }
    }

    /// Forgets the keys that are as good as new, once a second at most: any core may ask.
    pub fn tidy(&self, now: BootTime) {
        self.time.forward(now);
        let last = self.tidied.load(Ordering::Relaxed);
        if now.since(BootTime::from_nanos(last)) < TIDY_INTERVAL {
            return;
        }
        let (now, order) = (now.as_nanos(), Ordering::Relaxed);
        // Another core that was quicker does it.
        if self
            .tidied
            .compare_exchange(last, now, order, order)
            .is_err()
        {
            return;
        }
        self.limiter.retain_recent();
    }

    /// Returns how many keys it knows.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.limiter.len()
    }
}

/// A request that was let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// How many more there may be at once.
    pub left: u32,
    /// After how much time without a request there may be as many as ever.
    pub full: Duration,
}

/// A request that was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    /// After how much time there may be one.
    pub wait: Duration,
}

/// The latest time that anybody has told. One core's is a little ahead of another's; it never goes back.
#[derive(Clone, Debug, Default)]
struct Time(Arc<AtomicU64>);

impl Time {
    fn forward(&self, now: BootTime) {
        self.0.fetch_max(now.as_nanos(), Ordering::Relaxed);
    }
}

impl Clock for Time {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::from(self.0.load(Ordering::Relaxed))
    }
}

const TIDY_INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
