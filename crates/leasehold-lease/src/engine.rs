use std::collections::BTreeSet;

use fastrand::Rng;
use leasehold_model::{Accessor, BootTime, GenerationNumber, LeaseId};

use crate::site::Site;
use crate::slot::Slot;
use crate::step::Step;
use crate::view::{HolderView, View};
use crate::{Action, Event, Kind, ProviderId, SlotId};

/// Decides for all declared credentials of one gateway.
///
/// ```text
///            Fetch            Fetched: Activate              deadline, lease or holder lost
///  (none) ----------> candidate ----------> active ------------------------------> (none)
///    ^                   | failed             |  ^ renewed                    Withdraw, then
///    |<--- backoff ------+             Renew  +--+                            Fetch again
///    |
///    +-- capped, not renewable, urgent, suspected, asked for, holder succeeded:
///        Fetch beside the active one, as often as the budget allows; then
///        active --replaced--> draining --last request ended--> revoking --> revoked
///                                                                 | refused: retried until the
///                                                                 | lease runs out, then claimed
/// ```
///
/// Calls that are due wait for their turn in the provider's governor; an action that comes out of a
/// step is to be carried out at once.
#[derive(Debug, Default)]
pub struct Engine {
    pub(crate) sites: Vec<Site>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) timers: BTreeSet<(BootTime, SlotId)>,
    pub(crate) planned: Vec<BootTime>,
    /// Slots that were forgotten, to be used again.
    pub(crate) free: Vec<SlotId>,
    pub(crate) stopping: bool,
}

/// A lease that was still held when the engine was asked what is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The credential.
    pub slot: SlotId,
    /// The generation.
    pub number: GenerationNumber,
    /// The lease.
    pub lease_id: LeaseId,
}

impl Engine {
    /// Declares a provider. The first step logs in to it. Where it is `anchored`, leases hang on
    /// anchors, otherwise on sessions.
    pub fn declare_provider(&mut self, now: BootTime, anchored: bool) -> ProviderId {
        let id = ProviderId(self.sites.len());
        self.sites.push(Site::new(anchored, now));
        id
    }

    /// Declares a credential of a provider that this engine declared. It is fetched once there is a
    /// session. The id may be one that was forgotten before.
    pub fn declare(&mut self, provider: ProviderId, kind: Kind, now: BootTime) -> SlotId {
        let id = self.free.pop().unwrap_or(SlotId(self.slots.len()));
        let slot = Slot::new(id, provider, kind, now);
        if let Some(free) = self.slots.get_mut(id.0) {
            *free = slot;
        } else {
            self.slots.push(slot);
            self.planned.push(BootTime::NEVER);
        }
        if let Some(site) = self.sites.get_mut(provider.0) {
            site.slots = site.slots.saturating_add(1);
            site.awaited = site.awaited.saturating_add(1);
        }
        if let Some(planned) = self.planned.get_mut(id.0) {
            *planned = now;
            self.timers.insert((now, id));
        }
        id
    }

    /// Takes over a lease that an earlier process of this instance left. It is revoked once the new
    /// leases of the provider serve.
    pub fn adopt_orphan(
        &mut self,
        provider: ProviderId,
        lease_id: LeaseId,
        runs_out: BootTime,
        now: BootTime,
    ) {
        if let Some(site) = self.sites.get_mut(provider.0) {
            site.former.adopt_orphan(lease_id, runs_out, now);
        }
    }

    /// Takes over a session or an anchor that an earlier process of this instance left. It is ended
    /// once the leases that were taken over have been revoked.
    pub fn adopt_former(&mut self, provider: ProviderId, accessor: Accessor, now: BootTime) {
        if let Some(site) = self.sites.get_mut(provider.0) {
            site.former.adopt_holder(accessor, now);
        }
    }

    /// Takes in one event and adds what is to be done to `actions`.
    pub fn step(&mut self, now: BootTime, event: Event, rng: &mut Rng, actions: &mut Vec<Action>) {
        let touched = Step {
            engine: self,
            now,
            rng,
            actions,
        }
        .run(event);
        if cfg!(debug_assertions) {
            self.check_invariants(touched);
        }
    }

    /// Returns when the engine wants an [`Event::Tick`], if nothing happens before.
    #[must_use]
    pub fn wake(&self) -> BootTime {
        let slots = self.timers.first().map_or(BootTime::NEVER, |(at, _)| *at);
        self.sites.iter().map(Site::wake).fold(slots, BootTime::min)
    }

    /// Tells whether everything has been given back after [`Event::Shutdown`].
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.stopping && self.sites.iter().all(|it| it.busy == 0 && it.is_empty())
    }

    /// Returns the leases that have been replaced and not given back yet.
    #[must_use]
    pub fn leftovers(&self) -> Vec<Leftover> {
        let of_slot = |(index, slot): (usize, &Slot)| -> Vec<Leftover> {
            slot.leftovers()
                .map(|(number, lease_id)| Leftover {
                    slot: SlotId(index),
                    number,
                    lease_id: lease_id.clone(),
                })
                .collect()
        };
        self.slots.iter().enumerate().flat_map(of_slot).collect()
    }

    /// Returns how many sessions and anchors have not been ended.
    #[must_use]
    pub fn open_sessions(&self) -> usize {
        self.holders().len()
    }

    /// Returns how many leases of earlier processes are still to be given back.
    #[must_use]
    pub fn orphans(&self) -> usize {
        self.sites.iter().map(|site| site.former.orphans()).sum()
    }

    /// Returns every generation that is served or whose lease is still to be given back.
    #[must_use]
    pub fn view(&self) -> Vec<View> {
        let mut views = Vec::new();
        for slot in &self.slots {
            if let Some(site) = self.sites.get(slot.provider.0) {
                slot.view(site, &mut views);
            }
        }
        views
    }

    /// Returns every session and anchor.
    #[must_use]
    pub fn holders(&self) -> Vec<HolderView> {
        let mut views = Vec::new();
        for (index, site) in self.sites.iter().enumerate() {
            site.view(ProviderId(index), &mut views);
        }
        views
    }

    /// Checks what must hold after each step: of every slot where there are few, and of those that
    /// the step touched in any case.
    fn check_invariants(&self, touched: Option<SlotId>) {
        let few = self.slots.len() <= FEW;
        let all = self.slots.iter().filter(|_| few);
        let one = touched.and_then(|id| self.slots.get(id.0));
        for slot in all.chain(one) {
            if let Some(site) = self.sites.get(slot.provider.0) {
                slot.check_invariants(site);
            }
        }
        self.sites.iter().for_each(Site::check_invariants);
        assert_eq!(self.planned.len(), self.slots.len());
        assert!(
            self.timers.len() <= self.slots.len(),
            "one timer a slot at most"
        );
    }
}

const FEW: usize = 64;
