use std::time::Duration;

use leasehold_model::BootTime;

/// How often new credentials may be asked for: three within the life of one.
///
/// Whatever goes wrong with them, with renewals, injection or upstreams, no more are made than that: a
/// loop that issues for every failure leaves hundreds of live credentials behind.
#[derive(Debug, Default)]
pub(super) struct Budget {
    /// When the last ones were, or may have been, made; the newest first.
    made: [Option<BootTime>; MOST],
}

impl Budget {
    pub(super) fn spend(&mut self, at: BootTime) {
        let [newest, middle, oldest] = &mut self.made;
        *oldest = middle.take();
        *middle = newest.replace(at);
    }

    /// Returns when the next may be asked for, with credentials of this life. From `outage` on, with
    /// nothing left to serve, one may be had every ten seconds all the same: that is worse than a few
    /// credentials too many.
    pub(super) fn free_at(&self, life: Option<Duration>, outage: BootTime) -> BootTime {
        match (self.made, life) {
            ([Some(newest), _, Some(oldest)], Some(life)) => {
                let free = oldest.after(life.min(LONGEST_WINDOW));
                free.min(newest.after(IN_AN_OUTAGE).max(outage))
            }
            // Until the first was granted nothing is known of their life, and failures space
            // themselves out.
            _ => BootTime::default(),
        }
    }

    /// Tells whether one may be asked for on a mere suspicion: most of the budget has to be left for
    /// rotations that service depends on.
    pub(super) fn allows_suspicion(&self, now: BootTime, life: Option<Duration>) -> bool {
        match (self.made, life) {
            ([_, Some(last_but_one), _], Some(life)) => {
                last_but_one.after(life.min(LONGEST_WINDOW)) <= now
            }
            _ => true,
        }
    }
}

const MOST: usize = 3;
/// However long credentials live, one more may be had after this time.
const LONGEST_WINDOW: Duration = Duration::from_secs(15 * 60);
const IN_AN_OUTAGE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> BootTime {
        BootTime::default().after(Duration::from_secs(seconds))
    }

    #[test]
    fn three_within_a_life_and_the_fourth_waits() {
        let mut budget = Budget::default();
        let life = Some(Duration::from_secs(60));
        for second in [100, 101, 102] {
            assert!(budget.free_at(life, BootTime::NEVER) <= at(second));
            budget.spend(at(second));
        }
        assert_eq!(budget.free_at(life, BootTime::NEVER), at(160));
        assert_eq!(budget.free_at(life, at(0)), at(112));
        assert_eq!(budget.free_at(life, at(150)), at(150));
        budget.spend(at(160));
        assert_eq!(budget.free_at(life, BootTime::NEVER), at(161));
    }

    #[test]
    fn long_lives_do_not_lock_a_credential_out_for_long() {
        let mut budget = Budget::default();
        (0..3).for_each(|second| budget.spend(at(second)));
        let day = Some(Duration::from_secs(86_400));
        assert_eq!(budget.free_at(day, BootTime::NEVER), at(900));
    }

    #[test]
    fn suspicion_leaves_two_of_three() {
        let mut budget = Budget::default();
        let life = Some(Duration::from_secs(60));
        assert!(budget.allows_suspicion(at(0), life));
        budget.spend(at(0));
        assert!(budget.allows_suspicion(at(1), life));
        budget.spend(at(1));
        assert!(!budget.allows_suspicion(at(2), life));
        assert!(budget.allows_suspicion(at(60), life));
    }
}
