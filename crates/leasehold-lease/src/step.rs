//! One step of the engine: an event is taken in, what is due is done, and calls take their turns.

mod access;
mod calls;
mod due;
mod holders;

use fastrand::Rng;
use leasehold_model::BootTime;

use crate::governor::Rank;
use crate::schedule::Grant;
use crate::slot::Slot;
use crate::{Action, Engine, Event, ProviderId, SlotId};

pub(crate) struct Step<'a> {
    pub(crate) engine: &'a mut Engine,
    pub(crate) now: BootTime,
    pub(crate) rng: &'a mut Rng,
    pub(crate) actions: &'a mut Vec<Action>,
}

impl Step<'_> {
    /// Runs the step, and returns the slot that the event was about.
    pub(crate) fn run(mut self, event: Event) -> Option<SlotId> {
        let touched = self.take(event);
        for index in 0..self.engine.sites.len() {
            self.fire_holders(ProviderId(index));
        }
        self.fire_due_slots();
        for index in 0..self.engine.sites.len() {
            let provider = ProviderId(index);
            self.end_idle(provider);
            self.fire_former(provider);
            self.release(provider);
            self.forget_provider(provider);
        }
        touched
    }

    /// Takes the event in, and returns the slot that it is about.
    fn take(&mut self, event: Event) -> Option<SlotId> {
        match event {
            Event::Tick => None,
            Event::Shutdown => self.shut_down(),
            Event::LoggedIn {
                provider,
                epoch,
                t_send,
                terms,
            } => self.logged_in(provider, epoch, t_send, terms),
            Event::LoginFailed {
                provider,
                epoch,
                failure,
            } => self.login_failed(provider, epoch, failure),
            Event::SessionRenewed {
                provider,
                epoch,
                t_send,
                terms,
            } => self.session_renewed(provider, epoch, t_send, terms),
            Event::SessionRenewFailed {
                provider,
                epoch,
                failure,
            } => self.session_renew_failed(provider, epoch, failure),
            Event::SessionEnded { provider, epoch } => self.session_ended(provider, epoch),
            Event::SessionEndFailed {
                provider,
                epoch,
                failure,
            } => self.session_end_failed(provider, epoch, failure),
            Event::AnchorMinted {
                provider,
                anchor,
                t_send,
                terms,
            } => self.anchor_minted(provider, anchor, t_send, terms),
            Event::AnchorMintFailed {
                provider,
                anchor,
                epoch,
                failure,
            } => self.anchor_mint_failed(provider, anchor, epoch, failure),
            Event::AnchorRenewed {
                provider,
                anchor,
                t_send,
                terms,
            } => self.anchor_renewed(provider, anchor, t_send, terms),
            Event::AnchorRenewFailed {
                provider,
                anchor,
                epoch,
                failure,
            } => self.anchor_renew_failed(provider, anchor, epoch, failure),
            Event::AnchorRevoked { provider, anchor } => self.anchor_revoked(provider, anchor),
            Event::AnchorRevokeFailed {
                provider,
                anchor,
                epoch,
                failure,
            } => self.anchor_revoke_failed(provider, anchor, epoch, failure),
            Event::AnchorRotationAsked { provider } => self.anchor_rotation_asked(provider),
            Event::OrphanRevoked { provider, lease_id } => self.orphan_revoked(provider, &lease_id),
            Event::OrphanRevokeFailed {
                provider,
                lease_id,
                epoch,
                failure,
            } => self.orphan_revoke_failed(provider, lease_id, epoch, failure),
            Event::FormerRevoked { provider, accessor } => self.former_revoked(provider, &accessor),
            Event::FormerRevokeFailed {
                provider,
                accessor,
                epoch,
                failure,
            } => self.former_revoke_failed(provider, &accessor, epoch, failure),
            Event::Fetched {
                slot,
                number,
                t_send,
                terms,
            } => self.answered(slot, None, |it, ctx| it.fetched(ctx, number, t_send, terms)),
            Event::Unusable {
                slot,
                number,
                t_send,
                terms,
            } => self.answered(slot, None, |it, ctx| {
                it.unusable(ctx, number, t_send, terms)
            }),
            Event::FetchFailed {
                slot,
                number,
                holder,
                failure,
            } => self.fetch_failed(slot, number, holder, failure),
            Event::Renewed {
                slot,
                number,
                t_send,
                ttl,
                capped,
            } => self.answered(slot, Some(Rank::Renewal), |it, ctx| {
                it.renewed(ctx, number, Grant { t_send, ttl }, capped);
            }),
            Event::RenewFailed {
                slot,
                number,
                epoch,
                failure,
            } => {
                self.refused(slot, epoch, failure);
                self.with_answered(slot, Rank::Renewal, |it, ctx| {
                    it.renew_failed(ctx, number, failure);
                })
            }
            Event::Revoked { slot, number } => {
                self.answered(slot, Some(Rank::Revocation), |it, ctx| {
                    it.revoked(ctx, number)
                })
            }
            Event::RevokeFailed {
                slot,
                number,
                epoch,
                failure,
            } => {
                self.refused(slot, epoch, failure);
                self.with_answered(slot, Rank::Revocation, |it, ctx| {
                    it.revoke_failed(ctx, number, failure);
                })
            }
            Event::Drained { slot, number } => {
                let now = self.now;
                self.told(slot, |it, _| it.drained(now, number))
            }
            Event::Suspected { slot, number } => {
                self.told(slot, |it, ctx| it.suspected(ctx, number))
            }
            Event::ParentSucceeded { slot } => self.told(slot, Slot::parent_succeeded),
            Event::ParentLost { slot } => self.told(slot, Slot::parent_lost),
            Event::RotationAsked { slot } => self.told(slot, |it, ctx| it.rotation_asked(ctx)),
            Event::RevocationAsked { slot, number } => {
                self.told(slot, |it, ctx| it.revocation_asked(ctx, number))
            }
            Event::Dismissed { slot } => self.told(slot, Slot::dismiss),
            Event::ProviderDismissed { provider } => self.dismiss_provider(provider),
        }
    }

    fn dismiss_provider(&mut self, provider: ProviderId) -> Option<SlotId> {
        self.with_site(provider, |it, _| it.leave());
        self.each_slot_of(provider, Slot::dismiss);
        None
    }

    fn shut_down(&mut self) -> Option<SlotId> {
        self.engine.stopping = true;
        for site in &mut self.engine.sites {
            site.former.stop();
            site.governor.hurry();
        }
        for index in 0..self.engine.slots.len() {
            self.with_slot(SlotId(index), Slot::stop);
        }
        None
    }
}
