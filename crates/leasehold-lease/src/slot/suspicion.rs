use std::time::Duration;

use leasehold_model::{BootTime, GenerationNumber};

/// What upstreams said of the active generation.
///
/// A refusal may be the caller's own doing, so it must not let a caller drive us: the gap between two
/// suspicions that are followed up doubles, and shrinks again only after a time of quiet.
#[derive(Debug, Default)]
pub(super) struct Suspicion {
    /// The generation that is being looked into.
    of: Option<GenerationNumber>,
    last: Option<BootTime>,
    gap: Duration,
}

impl Suspicion {
    /// Tells whether a suspicion may be followed up now.
    pub(super) fn may_follow(&self, now: BootTime) -> bool {
        self.last.is_none_or(|last| last.after(self.gap) <= now)
    }

    /// Begins to look into a generation.
    pub(super) fn follow(&mut self, now: BootTime, number: GenerationNumber) {
        let quiet = self.last.is_none_or(|last| last.after(QUIET) <= now);
        self.gap = if quiet {
            SHORTEST_GAP
        } else {
            self.gap.saturating_mul(2).min(LONGEST_GAP)
        };
        self.last = Some(now);
        self.of = Some(number);
    }

    pub(super) fn is_of(&self, number: GenerationNumber) -> bool {
        self.of == Some(number)
    }

    /// Ends what was being looked into, and returns it.
    pub(super) const fn settle(&mut self) -> Option<GenerationNumber> {
        self.of.take()
    }

    /// Ends what was being looked into where the provider did have something newer: no caller can
    /// bring that about, so the next suspicion is followed up at once.
    pub(super) fn prove(&mut self) {
        if self.settle().is_some() {
            *self = Self::default();
        }
    }
}

const SHORTEST_GAP: Duration = Duration::from_secs(1);
const LONGEST_GAP: Duration = Duration::from_secs(300);
const QUIET: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_that_goes_on_is_answered_less_and_less_often() {
        let mut suspicion = Suspicion::default();
        let mut now = BootTime::from_nanos(1);
        let mut followed = 0;
        for _ in 0..36_000 {
            if suspicion.may_follow(now) {
                suspicion.follow(now, GenerationNumber::FIRST);
                followed += 1;
            }
            now = now.after(Duration::from_millis(100));
        }
        assert!((15..=25).contains(&followed), "{followed} in an hour");
        assert!(suspicion.is_of(GenerationNumber::FIRST));
        assert_eq!(suspicion.settle(), Some(GenerationNumber::FIRST));
        assert_eq!(suspicion.settle(), None);
    }

    #[test]
    fn after_a_time_of_quiet_the_first_is_answered_at_once_again() {
        let mut suspicion = Suspicion::default();
        let start = BootTime::from_nanos(1);
        (0..9).for_each(|_| suspicion.follow(start, GenerationNumber::FIRST));
        let later = start.after(QUIET);
        suspicion.follow(later, GenerationNumber::FIRST);
        assert!(suspicion.may_follow(later.after(SHORTEST_GAP)));
    }

    #[test]
    fn one_that_was_right_is_not_held_against_the_next() {
        let mut suspicion = Suspicion::default();
        let now = BootTime::from_nanos(1);
        suspicion.follow(now, GenerationNumber::FIRST);
        assert!(!suspicion.may_follow(now));
        suspicion.prove();
        assert!(suspicion.may_follow(now));
        suspicion.follow(now, GenerationNumber::FIRST);
        suspicion.settle();
        suspicion.prove();
        assert!(!suspicion.may_follow(now), "that one was settled before");
    }
}
