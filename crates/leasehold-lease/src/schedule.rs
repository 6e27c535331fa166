//! When to do what, from the terms of a grant.

use std::time::Duration;

use fastrand::Rng;
use leasehold_model::{BootTime, Failure};

/// Time granted by a provider, counted from when it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) t_send: BootTime,
    pub(crate) ttl: Duration,
}

impl Grant {
    /// Returns when what was granted must no longer be used.
    ///
    /// The margin covers the provider's rounding to whole seconds and the way of a request to its
    /// upstream. A grant of a few seconds keeps three quarters of itself: the last grant before a
    /// maximum life can be one second long, and a margin of one second would leave nothing of it.
    pub(crate) fn deadline(self) -> BootTime {
        let margin = self
            .ttl
            .mul_f64(0.01)
            .max(Duration::from_secs(1))
            .min(self.ttl.mul_f64(0.25));
        self.t_send.after(self.ttl.saturating_sub(margin))
    }

    /// Draws when to renew. The wide window, drawn anew each time, keeps leases that were issued
    /// together from being renewed together.
    pub(crate) fn renew_at(self, rng: &mut Rng) -> BootTime {
        self.t_send
            .after(self.ttl.mul_f64(between(rng, RENEW_FROM, RENEW_TO)))
    }

    /// Draws when to replace what can't be renewed.
    pub(crate) fn replace_at(self, rng: &mut Rng) -> BootTime {
        let usable = self.deadline().since(self.t_send);
        self.t_send.after(usable.mul_f64(between(rng, 0.60, 0.75)))
    }

    /// Returns when to stop hoping for a renewal: with a third of the expected time left, and not
    /// before the last moment at which a renewal may have been planned has passed and it has had
    /// time to be answered.
    pub(crate) fn urgent_at(self, expected: Duration) -> BootTime {
        let deadline = self.deadline();
        let renewed_by = self.t_send.after(self.ttl.mul_f64(RENEWED_BY));
        deadline
            .before(expected.mul_f64(0.33))
            .max(renewed_by)
            .min(deadline)
    }

    /// Tells whether a renewal gave less than was expected, which means that the maximum life is
    /// near. The provider's `renewable` flag does not tell: it stays true to the last second.
    pub(crate) fn is_short_of(self, expected: Duration) -> bool {
        self.ttl < expected.mul_f64(0.9).saturating_sub(Duration::from_secs(1))
    }

    /// Draws when to rotate after a grant that was cut short: soon, and not all slots at once.
    pub(crate) fn rotate_soon_at(self, now: BootTime, rng: &mut Rng) -> BootTime {
        now.after(self.ttl.mul_f64(between(rng, 0.0, 0.3)))
    }
}

/// Draws when to look for a new version: the interval, give or take a fifth.
pub(crate) fn poll_at(now: BootTime, interval: Duration, rng: &mut Rng) -> BootTime {
    now.after(interval.mul_f64(between(rng, 0.8, 1.2)))
}

/// Returns how long a retired generation may stay in use by the requests that hold it: short of its
/// deadline by enough time to revoke it, and never longer than [`LONGEST_DRAIN`].
pub(crate) fn drain_until(now: BootTime, deadline: BootTime) -> BootTime {
    let left = deadline.since(now);
    let reserve = left
        .mul_f64(0.1)
        .max(Duration::from_secs(2))
        .min(left.mul_f64(0.5));
    now.after(left.saturating_sub(reserve).min(LONGEST_DRAIN))
}

/// Draws when to try again after the `attempt`th failure in a row, counted from zero.
pub(crate) fn retry_at(now: BootTime, failure: Failure, attempt: u32, rng: &mut Rng) -> BootTime {
    let wait = match failure {
        // Full jitter, and a low ceiling: the provider will be back and the outage is what hurts.
        Failure::Transient | Failure::Unreachable | Failure::SessionDead | Failure::LeaseGone => {
            doubled(Duration::from_millis(250), attempt, Duration::from_secs(5))
                .mul_f64(between(rng, 0.1, 1.0))
        }
        Failure::SlowDown { retry_after } => retry_after
            .unwrap_or_default()
            .clamp(Duration::from_secs(1), LONGEST_SLOW_DOWN)
            .mul_f64(between(rng, 1.0, 2.0)),
        // Each attempt may leave a live credential behind.
        Failure::MaybeIssued => doubled(Duration::from_secs(2), attempt, LONGEST_FRUITLESS)
            .mul_f64(between(rng, 0.5, 1.0)),
        // Only a person can mend these; asking often does not help.
        Failure::Denied | Failure::Misconfigured | Failure::NotRenewable => {
            doubled(Duration::from_secs(1), attempt, Duration::from_secs(30))
                .mul_f64(between(rng, 0.5, 1.0))
        }
    };
    now.after(wait)
}

/// Draws a number between two bounds.
pub(crate) fn between(rng: &mut Rng, low: f64, high: f64) -> f64 {
    rng.f64().mul_add(high - low, low)
}

fn doubled(base: Duration, times: u32, ceiling: Duration) -> Duration {
    base.saturating_mul(2_u32.saturating_pow(times.min(16)))
        .min(ceiling)
}

/// Draws when to read a password again after it was due to change: the provider takes a moment.
pub(crate) fn after_change(due: BootTime, rng: &mut Rng) -> BootTime {
    due.after(Duration::from_millis(300).mul_f64(between(rng, 1.0, 1.66)))
}

/// Returns when to look again for a password that was due to change and has not, the `attempt`th time.
pub(crate) fn look_again_at(now: BootTime, attempt: u32) -> BootTime {
    now.after(doubled(
        Duration::from_millis(250),
        attempt,
        Duration::from_secs(2),
    ))
}

/// Draws when a lease moves to the successor of what it hangs on: `slots` of them spread, ten a second,
/// and well before what they hang on ends.
pub(crate) fn move_at(now: BootTime, ends: BootTime, slots: usize, rng: &mut Rng) -> BootTime {
    let slots = u32::try_from(slots).unwrap_or(u32::MAX);
    let spread = LEAST_SPREAD.max(Duration::from_millis(100).saturating_mul(slots));
    let window = spread.min(ends.since(now).mul_f64(0.5));
    now.after(window.mul_f64(between(rng, 0.0, 1.0)))
}

/// Tells whether a failure stays until a person mends it.
pub(crate) const fn needs_a_person(failure: Failure) -> bool {
    matches!(
        failure,
        Failure::Denied | Failure::Misconfigured | Failure::NotRenewable
    )
}

pub(crate) const RENEW_FROM: f64 = 0.33;
pub(crate) const RENEW_TO: f64 = 0.60;
const RENEWED_BY: f64 = 0.65;
/// What a provider asks for beyond this is not believed: a lease would run out meanwhile.
const LONGEST_SLOW_DOWN: Duration = Duration::from_secs(300);
const LONGEST_DRAIN: Duration = Duration::from_secs(60);
const LONGEST_FRUITLESS: Duration = Duration::from_secs(300);
const LEAST_SPREAD: Duration = Duration::from_secs(30);
/// How long after a lease has run out its revocation is still tried: the provider needs time to see it.
pub(crate) const CLAIM_AFTER: Duration = Duration::from_secs(10);
/// How long leases of an earlier process wait for the new ones to serve.
pub(crate) const ORPHANS_WAIT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(seconds: u64) -> Grant {
        Grant {
            t_send: BootTime::default(),
            ttl: Duration::from_secs(seconds),
        }
    }

    fn at(millis: u64) -> BootTime {
        BootTime::default().after(Duration::from_millis(millis))
    }

    #[test]
    fn the_deadline_keeps_a_margin() {
        assert_eq!(grant(60).deadline(), at(59_000));
        assert_eq!(grant(3600).deadline(), at(3_564_000));
        assert_eq!(grant(1).deadline(), at(750));
    }

    #[test]
    fn urgency_begins_after_every_planned_renewal_and_before_the_deadline() {
        let mut rng = Rng::with_seed(1);
        for seconds in [1, 2, 3, 5, 10, 30, 60, 300, 3600, 86_400] {
            let grant = grant(seconds);
            let urgent = grant.urgent_at(grant.ttl);
            for _ in 0..200 {
                let renew = grant.renew_at(&mut rng);
                assert!(
                    renew <= urgent && urgent <= grant.deadline(),
                    "ttl {seconds} s"
                );
                assert!(
                    grant.replace_at(&mut rng) < grant.deadline(),
                    "ttl {seconds} s"
                );
                let soon = grant.rotate_soon_at(BootTime::default(), &mut rng);
                assert!(soon < grant.deadline(), "ttl {seconds} s");
            }
        }
    }

    #[test]
    fn a_grant_is_short_when_it_lacks_a_tenth_and_a_second() {
        assert!(!grant(59).is_short_of(Duration::from_secs(60)));
        assert!(grant(52).is_short_of(Duration::from_secs(60)));
        assert!(!grant(2).is_short_of(Duration::from_secs(3)));
        assert!(grant(1).is_short_of(Duration::from_secs(3)));
    }

    #[test]
    fn a_drain_ends_before_the_deadline() {
        for left in [0, 1, 2, 5, 100, 100_000] {
            let deadline = at(left * 1000);
            let until = drain_until(BootTime::default(), deadline);
            assert!(until <= deadline);
            assert!(until <= at(60_000));
        }
    }

    #[test]
    fn asking_to_slow_down_is_obeyed_even_when_it_says_zero() {
        let mut rng = Rng::with_seed(1);
        for retry_after in [None, Some(Duration::ZERO), Some(Duration::from_secs(7))] {
            let failure = Failure::SlowDown { retry_after };
            let least = retry_after.unwrap_or_default().max(Duration::from_secs(1));
            for _ in 0..50 {
                assert!(retry_at(BootTime::default(), failure, 0, &mut rng).since(at(0)) >= least);
            }
        }
    }
}
