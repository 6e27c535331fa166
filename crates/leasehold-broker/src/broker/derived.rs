//! Credentials that are asked for with another one, their parent.

use leasehold_lease::{Event, SlotId};

use super::Broker;
use crate::link::Place;

impl<P: Send + Sync + 'static> Broker<P> {
    /// A generation of the credential at `parent` came into service.
    pub(super) fn parent_succeeded(&mut self, parent: Place) {
        let slots: Vec<SlotId> = self.derived_from(parent).collect();
        let events = slots
            .into_iter()
            .map(|slot| Event::ParentSucceeded { slot });
        self.consequences.extend(events);
    }

    /// The credential at `parent` is served no more.
    pub(super) fn parent_lost(&mut self, parent: Place) {
        let slots: Vec<SlotId> = self.derived_from(parent).collect();
        let events = slots.into_iter().map(|slot| Event::ParentLost { slot });
        self.consequences.extend(events);
    }

    fn derived_from(&self, parent: Place) -> impl Iterator<Item = SlotId> {
        let derived = self.credentials.iter().flatten().filter(move |it| {
            let parent_of = it.declared.parent.as_ref();
            let place = parent_of.and_then(|it| it.place());
            !it.dismissed && place == Some(parent)
        });
        derived.map(|it| it.place.slot)
    }
}
