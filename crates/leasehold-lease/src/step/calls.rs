//! What calls about credentials came to.

use leasehold_model::{Failure, GenerationNumber, Holder, SessionEpoch};

use super::Step;
use crate::governor::{Rank, Turn};
use crate::slot::{Context, Slot};
use crate::{Action, Notice, ProviderId, SlotId};

impl Step<'_> {
    /// Tells a slot what happened, whoever did it.
    pub(super) fn told(
        &mut self,
        slot: SlotId,
        act: impl FnOnce(&mut Slot, &mut Context<'_>),
    ) -> Option<SlotId> {
        self.with_slot(slot, act);
        Some(slot)
    }

    /// Tells a slot what it was answered. A fetch gives its place back by itself.
    pub(super) fn answered(
        &mut self,
        slot: SlotId,
        place: Option<Rank>,
        act: impl FnOnce(&mut Slot, &mut Context<'_>),
    ) -> Option<SlotId> {
        if let Some(provider) = self.provider_of(slot) {
            self.hear(provider, None);
        }
        match place {
            Some(rank) => self.with_answered(slot, rank, act),
            None => self.told(slot, |it, ctx| {
                it.was_answered();
                act(it, ctx);
            }),
        }
    }

    /// Tells a slot what came of a call that had a place of this rank.
    pub(super) fn with_answered(
        &mut self,
        slot: SlotId,
        rank: Rank,
        act: impl FnOnce(&mut Slot, &mut Context<'_>),
    ) -> Option<SlotId> {
        self.told(slot, |it, ctx| {
            ctx.site.governor.end(rank);
            it.was_answered();
            act(it, ctx);
        })
    }

    pub(super) fn fetch_failed(
        &mut self,
        slot: SlotId,
        number: GenerationNumber,
        holder: Holder,
        failure: Failure,
    ) -> Option<SlotId> {
        if let Some(provider) = self.provider_of(slot) {
            self.hear(provider, Some(failure));
            if failure == Failure::MaybeIssued {
                self.taint(provider, holder);
            }
            self.lose_if_dead(provider, holder, failure);
        }
        self.told(slot, |it, ctx| {
            it.was_answered();
            it.fetch_failed(ctx, number, failure);
        })
    }

    /// Takes in what a refusal tells about the provider and about the session that was asked in.
    pub(super) fn refused(&mut self, slot: SlotId, epoch: SessionEpoch, failure: Failure) {
        if let Some(provider) = self.provider_of(slot) {
            self.hear(provider, Some(failure));
            self.lose_if_dead(provider, Holder::Session(epoch), failure);
        }
    }

    /// Takes in what a call told about the provider itself.
    pub(super) fn hear(&mut self, provider: ProviderId, failure: Option<Failure>) {
        let now = self.now;
        let turn = self.with_site(provider, |it, rng| it.governor.heard(now, failure, rng));
        let notice = match turn.flatten() {
            Some(Turn::Opened) => Notice::CircuitOpened { provider },
            Some(Turn::Closed) => Notice::CircuitClosed { provider },
            None => return,
        };
        let closed = matches!(notice, Notice::CircuitClosed { .. });
        self.actions.push(Action::Notify(notice));
        if closed {
            self.each_slot_of(provider, Slot::provider_is_back);
        }
    }

    /// Something may hang on this that we do not know of.
    fn taint(&mut self, provider: ProviderId, holder: Holder) {
        let now = self.now;
        self.with_site(provider, |it, _| match (holder, &mut it.anchors) {
            (Holder::Session(epoch), _) => it.sessions.taint(now, epoch),
            (Holder::Anchor(epoch), Some(anchors)) => anchors.taint(now, epoch),
            (Holder::Anchor(_), None) => {}
        });
    }
}
