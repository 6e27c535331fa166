//! The one way to a slot or a provider within a step.

use fastrand::Rng;
use leasehold_model::{AnchorEpoch, BootTime};

use super::Step;
use crate::site::Site;
use crate::slot::{Context, Slot};
use crate::succession::Succession;
use crate::{Action, Engine, ProviderId, SlotId};

impl Step<'_> {
    pub(super) fn provider_of(&self, slot: SlotId) -> Option<ProviderId> {
        self.engine.slots.get(slot.0).map(|it| it.provider)
    }

    pub(super) fn with_site<T>(
        &mut self,
        provider: ProviderId,
        act: impl FnOnce(&mut Site, &mut Rng) -> T,
    ) -> Option<T> {
        let site = self.engine.sites.get_mut(provider.0)?;
        Some(act(site, self.rng))
    }

    pub(super) fn with_anchors<T>(
        &mut self,
        provider: ProviderId,
        act: impl FnOnce(&mut Succession<AnchorEpoch>, &mut Rng) -> T,
    ) -> Option<T> {
        let site = self.engine.sites.get_mut(provider.0)?;
        Some(act(site.anchors.as_mut()?, self.rng))
    }

    pub(super) fn each_slot_of(
        &mut self,
        provider: ProviderId,
        act: impl Fn(&mut Slot, &mut Context<'_>),
    ) {
        for index in 0..self.engine.slots.len() {
            let slot = SlotId(index);
            if self.provider_of(slot) == Some(provider) {
                self.with_slot(slot, &act);
            }
        }
    }

    /// Applies a transition to a slot, then does what is due for it and sets its timer anew.
    pub(super) fn with_slot<T>(
        &mut self,
        id: SlotId,
        act: impl FnOnce(&mut Slot, &mut Context<'_>) -> T,
    ) -> Option<T> {
        let Engine {
            sites,
            slots,
            timers,
            planned,
            free,
            ..
        } = &mut *self.engine;
        let slot = slots.get_mut(id.0)?;
        let site = sites.get_mut(slot.provider.0)?;
        let planned = planned.get_mut(id.0)?;
        let before = Standing::of(slot);
        slot.holders().for_each(|holder| site.unhang(holder));
        let mut ctx = Context {
            now: self.now,
            site,
            rng: self.rng,
            actions: self.actions,
        };
        let result = act(slot, &mut ctx);
        slot.fire(&mut ctx);
        slot.holders().for_each(|holder| site.hang(holder));
        let forgotten = slot.forget();
        before.settle(site, &Standing::of(slot), forgotten);
        timers.remove(&(*planned, id));
        *planned = slot.wake();
        if forgotten {
            *planned = BootTime::NEVER;
            site.governor.forget(id);
            free.push(id);
            self.actions.push(Action::Forget { slot: id });
        }
        // What is due has just been done: a wake in the past could only be met by spinning.
        if *planned != BootTime::NEVER {
            debug_assert!(*planned > self.now, "fired and still due: {slot:?}");
            timers.insert((*planned, id));
        }
        Some(result)
    }
}

/// What a site counts of a slot.
struct Standing {
    busy: bool,
    awaited: bool,
}

impl Standing {
    fn of(slot: &Slot) -> Self {
        Self {
            busy: !slot.is_clear(),
            awaited: slot.is_awaited(),
        }
    }

    /// Brings the site's counts up to what has become of the slot.
    fn settle(&self, site: &mut Site, after: &Self, forgotten: bool) {
        let count = |count: &mut usize, was: bool, is: bool| {
            *count = match (was, is) {
                (false, true) => count.saturating_add(1),
                (true, false) => count.saturating_sub(1),
                (true, true) | (false, false) => *count,
            };
        };
        count(&mut site.busy, self.busy, after.busy);
        count(&mut site.awaited, self.awaited, after.awaited);
        count(&mut site.slots, forgotten, false);
    }
}
