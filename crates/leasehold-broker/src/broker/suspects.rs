//! Generations that upstreams refused.

use leasehold_lease::Event;
use leasehold_model::GenerationNumber;

use super::Broker;
use crate::link::Place;

impl<P: Send + Sync + 'static> Broker<P> {
    /// Has the engine look into a suspicion, unless it is about what does not serve any more.
    pub(super) fn suspect(&mut self, place: Place, number: GenerationNumber) {
        let Some(credential) = self.held_at(place).and_then(|slot| self.at(slot)) else {
            return;
        };
        let active = credential.handle.active().map(|it| it.number());
        if active == Some(number) {
            let slot = place.slot;
            self.step(Event::Suspected { slot, number }, None);
        } else {
            // A newer one serves, or the attempt to get one is under way: that ends the wait.
            let is_replaced = active.is_some();
            if is_replaced {
                credential.handle.settle();
            }
        }
    }
}
