use std::collections::BTreeSet;

use fastrand::Rng;
use leasehold_model::{BootTime, Failure, GenerationNumber, Holder, LeaseId, SessionEpoch};

use crate::schedule::Grant;
use crate::session::Sessions;
use crate::slot::{Context, Slot};
use crate::{Action, Event, Kind, ProviderId, SlotId};

/// Decides for all declared credentials of one gateway.
///
/// ```text
///            Fetch            Fetched: Activate                deadline, lease or session lost
///  (none) ----------> candidate ----------> active ------------------------------> (none)
///    ^                   | failed             |  ^ renewed                    Withdraw, then
///    |<--- backoff ------+             Renew  +--+                            Fetch again
///    |
///    +-- capped, not renewable, urgent: Fetch beside the active one; then
///        active --replaced--> draining --last request ended--> revoking --> revoked
///                                                                 | refused: retried until the
///                                                                 | lease runs out, then claimed
/// ```
#[derive(Debug, Default)]
pub struct Engine {
    providers: Vec<Sessions>,
    slots: Vec<Slot>,
    timers: BTreeSet<(BootTime, SlotId)>,
    planned: Vec<BootTime>,
    stopping: bool,
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
    /// Declares a provider. The first step logs in to it.
    pub fn declare_provider(&mut self, now: BootTime) -> ProviderId {
        let id = ProviderId(self.providers.len());
        self.providers.push(Sessions::new(id, now));
        id
    }

    /// Declares a credential of a provider that this engine declared. It is fetched once there is a
    /// session.
    pub fn declare(&mut self, provider: ProviderId, kind: Kind, now: BootTime) -> SlotId {
        let id = SlotId(self.slots.len());
        self.slots.push(Slot::new(id, provider, kind, now));
        self.timers.insert((now, id));
        self.planned.push(now);
        id
    }

    /// Takes in one event and adds what is to be done to `actions`.
    pub fn step(&mut self, now: BootTime, event: Event, rng: &mut Rng, actions: &mut Vec<Action>) {
        let mut step = Step {
            engine: self,
            now,
            rng,
            actions,
        };
        step.take(event);
        step.fire_sessions();
        step.fire_due_slots();
        step.end_idle_sessions();
        if cfg!(debug_assertions) {
            self.check_invariants();
        }
    }

    /// Returns when the engine wants an [`Event::Tick`], if nothing happens before.
    #[must_use]
    pub fn wake(&self) -> BootTime {
        let slots = self.timers.first().map_or(BootTime::NEVER, |(at, _)| *at);
        self.providers
            .iter()
            .map(Sessions::wake)
            .fold(slots, BootTime::min)
    }

    /// Tells whether everything has been given back after [`Event::Shutdown`].
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.stopping
            && self.slots.iter().all(Slot::is_clear)
            && self.providers.iter().all(Sessions::is_empty)
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

    /// Returns how many sessions have not been ended.
    #[must_use]
    pub fn open_sessions(&self) -> usize {
        let of_provider = |it: &Sessions| it.epochs().count();
        self.providers.iter().map(of_provider).sum()
    }

    fn check_invariants(&self) {
        for slot in &self.slots {
            if let Some(sessions) = self.providers.get(slot.provider.0) {
                slot.check_invariants(sessions);
            }
        }
        self.providers.iter().for_each(Sessions::check_invariants);
        assert_eq!(self.planned.len(), self.slots.len());
        assert!(
            self.timers.len() <= self.slots.len(),
            "one timer a slot at most"
        );
    }
}

/// One step under way.
struct Step<'a> {
    engine: &'a mut Engine,
    now: BootTime,
    rng: &'a mut Rng,
    actions: &'a mut Vec<Action>,
}

impl Step<'_> {
    fn take(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Tick => {}
            Event::LoggedIn {
                provider,
                epoch,
                t_send,
                terms,
            } => {
                self.with_sessions(provider, |it, rng| {
                    it.logged_in(now, epoch, t_send, terms, rng)
                });
                self.each_slot_of(provider, Slot::session_succeeded);
            }
            Event::LoginFailed {
                provider,
                epoch,
                failure,
            } => {
                self.with_sessions(provider, |it, rng| {
                    it.login_failed(now, epoch, failure, rng)
                });
            }
            Event::SessionRenewed {
                provider,
                epoch,
                t_send,
                terms,
            } => {
                self.with_sessions(provider, |it, rng| {
                    it.renewed(now, epoch, t_send, terms, rng)
                });
                // The leases that hang on the session live longer with it.
                self.each_slot_of(provider, |_, _| {});
            }
            Event::SessionRenewFailed {
                provider,
                epoch,
                failure,
            } => {
                self.with_sessions(provider, |it, rng| {
                    it.renew_failed(now, epoch, failure, rng)
                });
                self.lose_if_dead(provider, epoch, failure);
            }
            Event::SessionEndFailed {
                provider,
                epoch,
                failure,
            } => {
                self.with_sessions(provider, |it, rng| it.end_failed(now, epoch, failure, rng));
            }
            Event::SessionEnded { provider, epoch } => {
                self.with_sessions(provider, |it, _| it.ended(epoch));
                self.each_slot_of(provider, |_, _| {});
            }
            Event::AnchorMinted { .. }
            | Event::AnchorMintFailed { .. }
            | Event::AnchorRenewed { .. }
            | Event::AnchorRenewFailed { .. }
            | Event::AnchorRevoked { .. }
            | Event::AnchorRevokeFailed { .. }
            | Event::OrphanRevoked { .. }
            | Event::OrphanRevokeFailed { .. }
            | Event::FormerRevoked { .. }
            | Event::FormerRevokeFailed { .. }
            | Event::Suspected { .. }
            | Event::RotationAsked { .. }
            | Event::RevocationAsked { .. }
            | Event::AnchorRotationAsked { .. }
            | Event::Dismissed { .. } => {}
            Event::Shutdown => self.shut_down(),
            Event::Fetched {
                slot,
                number,
                t_send,
                terms,
            } => {
                self.with_slot(slot, |it, ctx| it.fetched(ctx, number, t_send, terms));
            }
            Event::Unusable {
                slot,
                number,
                t_send,
                terms,
            } => {
                self.with_slot(slot, |it, ctx| it.unusable(ctx, number, t_send, terms));
            }
            Event::FetchFailed {
                slot,
                number,
                holder,
                failure,
            } => {
                if let Holder::Session(epoch) = holder {
                    self.lose_session_of(slot, epoch, failure);
                }
                self.with_slot(slot, |it, ctx| it.fetch_failed(ctx, number, failure));
            }
            Event::Renewed {
                slot,
                number,
                t_send,
                ttl,
                capped,
            } => {
                let grant = Grant { t_send, ttl };
                self.with_slot(slot, |it, ctx| it.renewed(ctx, number, grant, capped));
            }
            Event::RenewFailed {
                slot,
                number,
                epoch,
                failure,
            } => {
                self.lose_session_of(slot, epoch, failure);
                self.with_slot(slot, |it, ctx| it.renew_failed(ctx, number, failure));
            }
            Event::Drained { slot, number } => {
                self.with_slot(slot, |it, _| it.drained(now, number));
            }
            Event::Revoked { slot, number } => {
                self.with_slot(slot, |it, ctx| it.revoked(ctx, number));
            }
            Event::RevokeFailed {
                slot,
                number,
                epoch,
                failure,
            } => {
                self.lose_session_of(slot, epoch, failure);
                self.with_slot(slot, |it, ctx| it.revoke_failed(ctx, number, failure));
            }
        }
    }

    fn shut_down(&mut self) {
        self.engine.stopping = true;
        for index in 0..self.engine.slots.len() {
            self.with_slot(SlotId(index), Slot::stop);
        }
    }

    /// Does what has fallen due for sessions, and buries those that have run out.
    fn fire_sessions(&mut self) {
        for index in 0..self.engine.providers.len() {
            let provider = ProviderId(index);
            // A new login is worth while only where there is something left to revoke in it.
            let done = |it: &Slot| it.provider != provider || it.is_clear();
            loop {
                if self.engine.stopping && self.engine.slots.iter().all(done) {
                    self.with_sessions(provider, |it, _| it.stop());
                }
                let Some(sessions) = self.engine.providers.get_mut(index) else {
                    break;
                };
                let Some(dead) = sessions.fire(self.now, self.actions) else {
                    break;
                };
                self.lose_if_dead(provider, dead, Failure::SessionDead);
            }
        }
    }

    fn fire_due_slots(&mut self) {
        while let Some((at, slot)) = self.engine.timers.first().copied()
            && at <= self.now
        {
            self.with_slot(slot, |_, _| {});
        }
    }

    /// Ends sessions that nothing hangs on: former ones, and all of them once we are stopping.
    fn end_idle_sessions(&mut self) {
        let Engine {
            providers,
            slots,
            stopping,
            ..
        } = &mut *self.engine;
        for (index, sessions) in providers.iter_mut().enumerate() {
            let epochs: Vec<SessionEpoch> = sessions.epochs().collect();
            for epoch in epochs {
                // The current session is needed to revoke what was issued in any other.
                let idle = if sessions.is_former(epoch) {
                    !slots
                        .iter()
                        .any(|it| it.provider.0 == index && it.uses(epoch))
                } else {
                    *stopping
                        && slots
                            .iter()
                            .all(|it| it.provider.0 != index || it.is_clear())
                };
                if idle {
                    sessions.end(epoch, self.actions);
                }
            }
        }
    }

    fn lose_session_of(&mut self, slot: SlotId, epoch: SessionEpoch, failure: Failure) {
        if let Some(provider) = self.engine.slots.get(slot.0).map(|it| it.provider) {
            self.lose_if_dead(provider, epoch, failure);
        }
    }

    fn lose_if_dead(&mut self, provider: ProviderId, epoch: SessionEpoch, failure: Failure) {
        if failure != Failure::SessionDead {
            return;
        }
        let now = self.now;
        let mut known = false;
        self.with_sessions(provider, |it, rng| known = it.lost(now, epoch, rng));
        if known {
            self.each_slot_of(provider, |slot, ctx| slot.session_lost(ctx, epoch));
        }
    }

    fn with_sessions(&mut self, provider: ProviderId, act: impl FnOnce(&mut Sessions, &mut Rng)) {
        if let Some(sessions) = self.engine.providers.get_mut(provider.0) {
            act(sessions, self.rng);
        }
    }

    fn each_slot_of(&mut self, provider: ProviderId, act: impl Fn(&mut Slot, &mut Context<'_>)) {
        for index in 0..self.engine.slots.len() {
            if self
                .engine
                .slots
                .get(index)
                .is_some_and(|slot| slot.provider == provider)
            {
                self.with_slot(SlotId(index), &act);
            }
        }
    }

    /// Applies a transition to a slot, then does what is due for it and sets its timer anew.
    fn with_slot(&mut self, id: SlotId, act: impl FnOnce(&mut Slot, &mut Context<'_>)) {
        let Engine {
            providers,
            slots,
            timers,
            planned,
            ..
        } = &mut *self.engine;
        let Some(slot) = slots.get_mut(id.0) else {
            return;
        };
        let Some(sessions) = providers.get(slot.provider.0) else {
            return;
        };
        let Some(planned) = planned.get_mut(id.0) else {
            return;
        };
        let mut ctx = Context {
            now: self.now,
            sessions,
            rng: self.rng,
            actions: self.actions,
        };
        act(slot, &mut ctx);
        slot.fire(&mut ctx);
        timers.remove(&(*planned, id));
        // What is due has just been done: a wake in the past could only be met by spinning.
        *planned = slot.wake(sessions);
        if *planned != BootTime::NEVER {
            debug_assert!(*planned > self.now, "fired and still due: {slot:?}");
            timers.insert((*planned, id));
        }
    }
}
