use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// By how much an upstream's clock is ahead of ours, as far as that was learned from its answers.
///
/// It holds for signatures alone, and for no other upstream, so that whoever answers can move the time of
/// what is sent to them, within bounds, and nothing else.
#[derive(Debug, Default)]
pub(crate) struct Correction(AtomicI64);

impl Correction {
    /// Returns the time as the upstream has it.
    pub(crate) fn apply(&self, now: SystemTime) -> SystemTime {
        let seconds = self.seconds();
        let span = Duration::from_secs(seconds.unsigned_abs());
        let corrected = if seconds < 0 {
            now.checked_sub(span)
        } else {
            now.checked_add(span)
        };
        corrected.unwrap_or(now)
    }

    /// Takes note of what the upstream's clock said at `now`. Returns by how many seconds it is ahead,
    /// where that makes another signature worth a try: it differs from what was known by more than
    /// answers take, and not by more than clocks do.
    pub(crate) fn learn(&self, told: SystemTime, now: SystemTime) -> Option<i64> {
        let ahead = seconds_of(told)?.checked_sub(seconds_of(now)?)?;
        let differs = ahead.abs_diff(self.seconds()) > LEAST;
        if !differs || ahead.unsigned_abs() > MOST {
            return None;
        }
        self.0.store(ahead, Ordering::Relaxed);
        Some(ahead)
    }

    fn seconds(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

fn seconds_of(time: SystemTime) -> Option<i64> {
    let since = time.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

/// AWS lets clocks differ by five minutes, many others by one.
const LEAST: u64 = 30;
const MOST: u64 = 15 * 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_is_followed_both_ways_within_bounds() {
        let correction = Correction::default();
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(correction.apply(at(10_000)), at(10_000));
        assert_eq!(
            correction.learn(at(10_020), at(10_000)),
            None,
            "an answer takes as long"
        );
        assert_eq!(correction.learn(at(10_400), at(10_000)), Some(400));
        assert_eq!(correction.apply(at(10_000)), at(10_400));
        assert_eq!(
            correction.learn(at(10_410), at(10_000)),
            None,
            "it is known"
        );
        assert_eq!(correction.learn(at(9_400), at(10_000)), Some(-600));
        assert_eq!(correction.apply(at(10_000)), at(9_400));
        assert_eq!(
            correction.learn(at(10_901), at(10_000)),
            None,
            "no clock is that wrong"
        );
        assert_eq!(correction.learn(at(10_000), at(10_000)), Some(0));
        assert_eq!(correction.apply(at(10_000)), at(10_000));
    }
}
