use std::time::Duration;

use leasehold_model::BootTime;

use crate::server::Pace;

/// The time that a client may still keep the gateway waiting, by the pace that it must keep up.
///
/// It begins with the whole grace. Waiting uses it up, and each byte earns some of it back.
#[derive(Clone, Debug)]
pub(crate) struct Credit {
    pace: Pace,
    left: Duration,
    since: Option<BootTime>,
}

impl Credit {
    pub(crate) const fn new(pace: Pace) -> Self {
        Self {
            left: pace.grace,
            pace,
            since: None,
        }
    }

    /// Writes down that the client is waited for, and returns for how long that may go on.
    pub(crate) fn wait(&mut self, now: impl FnOnce() -> BootTime) -> Duration {
        if self.pace.rate == 0 {
            return Duration::MAX;
        }
        if self.since.is_none() {
            self.since = Some(now());
        }
        self.left
    }

    /// Writes down that as many bytes came or went.
    pub(crate) fn earn(&mut self, bytes: u64, now: impl FnOnce() -> BootTime) {
        if let Some(since) = self.since.take() {
            self.left = self.left.saturating_sub(now().since(since));
        }
        if self.left < self.pace.grace {
            let earned = Duration::from_secs(bytes).checked_div(self.rate());
            let left = self.left.saturating_add(earned.unwrap_or_default());
            self.left = left.min(self.pace.grace);
        }
    }

    fn rate(&self) -> u32 {
        u32::try_from(self.pace.rate).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_keeps_up_the_pace_loses_nothing() {
        let mut credit = credit();
        for second in 1..100 {
            assert_eq!(credit.wait(|| at(second - 1)), GRACE);
            credit.earn(10, || at(second));
        }
    }

    #[test]
    fn a_client_that_is_slower_uses_its_grace_up() {
        let mut credit = credit();
        credit.wait(|| at(0));
        credit.earn(9, || at(1));
        assert_eq!(credit.wait(|| at(1)), GRACE - Duration::from_millis(100));
        credit.earn(0, || at(31));
        assert_eq!(credit.wait(|| at(31)), Duration::ZERO);
    }

    #[test]
    fn what_was_fast_before_is_no_more_than_the_grace() {
        let mut credit = credit();
        credit.earn(1 << 40, || at(0));
        assert_eq!(credit.wait(|| at(0)), GRACE);
    }

    #[test]
    fn without_a_pace_there_is_no_end() {
        let pace = Pace {
            rate: 0,
            grace: Duration::ZERO,
        };
        let mut credit = Credit::new(pace);
        assert_eq!(credit.wait(|| at(0)), Duration::MAX);
    }

    fn credit() -> Credit {
        Credit::new(Pace {
            rate: 10,
            grace: GRACE,
        })
    }

    fn at(second: u64) -> BootTime {
        BootTime::default().after(Duration::from_secs(second))
    }

    const GRACE: Duration = Duration::from_secs(30);
}
