//! What is known of an endpoint's health. No method looks at a clock of its own.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use leasehold_model::BootTime;
use parking_lot::Mutex;

use super::policy::{HealthCheck, Outlier};

/// How an endpoint stands. Times are on the boot clock, in nanoseconds, and zero where there is none.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    /// When it is to be tried again, since it could not be reached.
    avoided_until: AtomicU64,
    /// Faults in a row.
    faults: AtomicU32,
    ejected_until: AtomicU64,
    /// How often it was ejected without a long time between.
    ejections: AtomicU32,
    /// Whether checks have found it unwell.
    unwell: AtomicBool,
    /// Since when checks have found it well again.
    well_since: AtomicU64,
    next_check: AtomicU64,
    /// Checks in a row that went one way. Nobody but the checks takes the lock.
    tally: Mutex<Tally>,
}

impl Standing {
    /// Writes down that the endpoint was reached; returns whether it was not, before.
    pub(crate) fn reached(&self) -> bool {
        // Read first: writing would take the line from the other cores' caches each time.
        self.avoided_until.load(Ordering::Relaxed) != 0
            && self.avoided_until.swap(0, Ordering::Relaxed) != 0
    }

    /// Writes down that the endpoint could not be reached; returns whether it was well before.
    pub(crate) fn missed(&self, now: BootTime) -> bool {
        let until = now.after(AVOIDANCE).as_nanos();
        self.avoided_until.swap(until, Ordering::Relaxed) == 0
    }

    /// Writes down an answer without a fault.
    pub(crate) fn answered(&self) {
        if self.faults.load(Ordering::Relaxed) != 0 {
            self.faults.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a fault; where it is one too many, and `may_eject` says so, leaves the endpoint out for
    /// the time that is returned.
    pub(crate) fn faulted(
        &self,
        rules: &Outlier,
        now: BootTime,
        may_eject: impl FnOnce() -> bool,
    ) -> Option<Duration> {
        let faults = self
            .faults
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        let enough = rules.consecutive != 0 && faults >= rules.consecutive;
        if !enough || self.is_ejected(now) || !may_eject() {
            return None;
        }
        self.faults.store(0, Ordering::Relaxed);
        Some(self.eject(rules, now))
    }

    fn eject(&self, rules: &Outlier, now: BootTime) -> Duration {
        let last = BootTime::from_nanos(self.ejected_until.load(Ordering::Relaxed));
        if now.since(last) > rules.longest {
            self.ejections.store(0, Ordering::Relaxed);
        }
        let times = self.ejections.fetch_add(1, Ordering::Relaxed) + 1;
        let span = rules.ejection.saturating_mul(times).min(rules.longest);
        let until = now.after(span).as_nanos();
        self.ejected_until.store(until, Ordering::Relaxed);
        span
    }

    pub(crate) fn is_ejected(&self, now: BootTime) -> bool {
        now.as_nanos() < self.ejected_until.load(Ordering::Relaxed)
    }

    /// Tells whether checks have found the endpoint unwell.
    pub(crate) fn is_unwell(&self) -> bool {
        self.unwell.load(Ordering::Relaxed)
    }

    /// Tells whether requests should go there rather than elsewhere.
    pub(crate) fn is_well(&self, now: BootTime) -> bool {
        self.avoided_until.load(Ordering::Relaxed) == 0
            && !self.is_unwell()
            && !self.is_ejected(now)
    }

    /// Returns how much of its share it should have at `now`, in hundredths and never none: one that
    /// is well again gets more and more, over the time of `slow_start`.
    pub(crate) fn part(&self, slow_start: Duration, now: BootTime) -> u64 {
        if slow_start.is_zero() {
            return FULL;
        }
        let well_since = self.well_since.load(Ordering::Relaxed);
        let back = well_since.max(self.ejected_until.load(Ordering::Relaxed));
        if back == 0 {
            return FULL;
        }
        let passed = now.since(BootTime::from_nanos(back)).as_nanos();
        let part = passed * u128::from(FULL) / slow_start.as_nanos();
        u64::try_from(part).unwrap_or(FULL).clamp(LEAST, FULL)
    }

    /// Tells whether it is time to try the endpoint again, which it is for one request only: an
    /// endpoint that hangs would hold up all the others.
    pub(crate) fn probe(&self, now: BootTime) -> bool {
        let until = self.avoided_until.load(Ordering::Relaxed);
        until != 0 && claim(&self.avoided_until, until, now, AVOIDANCE)
    }

    /// Tells whether it is time to check the endpoint, which it is for one asker only.
    pub(crate) fn is_due(&self, interval: Duration, now: BootTime) -> bool {
        let next = self.next_check.load(Ordering::Relaxed);
        claim(&self.next_check, next, now, interval)
    }

    /// Writes down how a check went; returns whether the endpoint is well, where that has changed.
    pub(crate) fn checked(&self, good: bool, rules: &HealthCheck, now: BootTime) -> Option<bool> {
        let turned = self.tally.lock().turns(good, rules);
        if !turned || self.unwell.swap(!good, Ordering::Relaxed) != good {
            return None;
        }
        if good {
            self.well_since.store(now.as_nanos(), Ordering::Relaxed);
        }
        Some(good)
    }
}

/// Claims what is due at `at`: until `span` from now it is nobody else's.
fn claim(due: &AtomicU64, at: u64, now: BootTime, span: Duration) -> bool {
    let next = now.after(span).as_nanos();
    now.as_nanos() >= at
        && due
            .compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
}

#[derive(Debug, Default)]
struct Tally {
    good: u32,
    bad: u32,
}

impl Tally {
    /// Counts a check; tells whether there were enough like it in a row.
    fn turns(&mut self, good: bool, rules: &HealthCheck) -> bool {
        let (counted, other, enough) = if good {
            (&mut self.good, &mut self.bad, rules.healthy)
        } else {
            (&mut self.bad, &mut self.good, rules.unhealthy)
        };
        *other = 0;
        *counted = counted.saturating_add(1);
        *counted >= enough
    }
}

/// How long an endpoint that could not be reached comes last before it is tried again.
const AVOIDANCE: Duration = Duration::from_secs(5);
const FULL: u64 = 100;
const LEAST: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_could_not_be_reached_is_tried_by_one_request_in_five_seconds() {
        let standing = Standing::default();
        assert!(
            standing.missed(at(1)) && !standing.missed(at(1)),
            "news once"
        );
        assert!(!standing.is_well(at(9)) && !standing.probe(at(5)));
        assert!(standing.probe(at(6)) && !standing.probe(at(6)));
        assert!(standing.reached() && !standing.reached(), "news once");
        assert!(standing.is_well(at(9)));
    }

    #[test]
    fn faults_in_a_row_eject_for_longer_and_longer() {
        let standing = Standing::default();
        let fault = |now| {
            standing
                .faulted(&RULES, now, || true)
                .map(|it| it.as_secs())
        };
        assert_eq!((fault(at(1)), fault(at(1))), (None, None));
        standing.answered();
        assert_eq!([(); 3].map(|()| fault(at(1))), [None, None, Some(30)]);
        assert!(!standing.is_well(at(30)) && standing.is_well(at(31)));
        assert_eq!(
            [(); 3].map(|()| fault(at(20))),
            [None, None, None],
            "it is out"
        );
        standing.answered();
        assert_eq!([(); 3].map(|()| fault(at(40))), [None, None, Some(60)]);
        assert_eq!([(); 3].map(|()| fault(at(110)))[2], Some(70), "at most");
        assert_eq!([(); 3].map(|()| fault(at(900)))[2], Some(30), "long ago");
        let others = |now| standing.faulted(&RULES, now, || false);
        assert_eq!(
            [(); 4].map(|()| others(at(2000))),
            [None; 4],
            "too many are"
        );
        let never = Outlier {
            consecutive: 0,
            ..RULES
        };
        assert_eq!(standing.faulted(&never, at(3000), || true), None);
    }

    #[test]
    fn checks_must_agree_before_they_count() {
        let standing = Standing::default();
        let rules = HealthCheck {
            path: "/".to_owned(),
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(1),
            healthy: 2,
            unhealthy: 3,
            status: 200,
        };
        let mut told = Vec::new();
        for good in [
            true, false, false, true, false, false, false, false, true, true, true,
        ] {
            told.extend(standing.checked(good, &rules, at(7)));
        }
        assert_eq!(told, [false, true]);
        let due = |now| standing.is_due(rules.interval, now);
        assert!(due(at(1)) && !due(at(1)) && !due(at(5)) && due(at(6)));
    }

    #[test]
    fn one_that_comes_back_gets_its_share_step_by_step() {
        let standing = Standing::default();
        let span = Duration::from_secs(10);
        assert_eq!(standing.part(span, at(1)), 100, "it never was away");
        for _ in 0..3 {
            standing.faulted(&RULES, at(1), || true);
        }
        let parts = [31, 36, 41, 99].map(|second| standing.part(span, at(second)));
        assert_eq!(parts, [10, 50, 100, 100]);
        assert_eq!(standing.part(Duration::ZERO, at(31)), 100);
    }

    const RULES: Outlier = Outlier {
        consecutive: 3,
        ejection: Duration::from_secs(30),
        longest: Duration::from_secs(70),
    };

    fn at(second: u64) -> BootTime {
        BootTime::default().after(Duration::from_secs(second))
    }
}
