//! Credentials that each consumer has for itself.

use std::sync::Arc;
use std::time::Duration;

use leasehold_lease::{Event, SlotId};
use leasehold_model::{BootTime, ConsumerName};

use super::Broker;

impl<P: Send + Sync + 'static> Broker<P> {
    /// Gives a consumer's handle its slot.
    pub(super) fn admit(&mut self, family: usize, consumer: &ConsumerName) {
        let Some((of, declared)) = self.families.get(&family).filter(|_| !self.stopping) else {
            return;
        };
        let Some(handle) = of.member(consumer).filter(|it| it.place().is_none()) else {
            return;
        };
        self.metrics.members(of.credential(), of.size());
        let declared = Arc::clone(declared);
        self.occupy(handle, Some(family), declared);
        self.step(Event::Tick, None);
    }

    /// Dismisses the consumers that have been idle, and returns when to look again.
    pub(super) fn sweep(&mut self, now: BootTime) -> BootTime {
        let idle = self.families.iter();
        let idle: Vec<_> = idle
            .flat_map(|(_, (family, _))| family.take_idle(now))
            .filter_map(|it| self.held_at(it.place()?))
            .collect();
        for slot in idle {
            self.step(Event::Dismissed { slot }, None);
        }
        let spans = self.families.values().map(|(it, _)| it.limits().idle / 2);
        let next = spans.fold(LONGEST_SWEEP, Duration::min);
        now.after(next.max(SHORTEST_SWEEP))
    }

    /// Frees the place of a slot that everything of has been given back.
    pub(super) fn forget(&mut self, slot: SlotId) {
        let Some(credential) = self
            .credentials
            .get_mut(slot.index())
            .and_then(Option::take)
        else {
            return;
        };
        credential.handle.close();
        let family = credential.family.and_then(|it| self.families.get(&it));
        if let Some((family, _)) = family {
            family.left();
            self.metrics.members(family.credential(), family.size());
        }
    }
}

const LONGEST_SWEEP: Duration = Duration::from_secs(60);
const SHORTEST_SWEEP: Duration = Duration::from_secs(1);
