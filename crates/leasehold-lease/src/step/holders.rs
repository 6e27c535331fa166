//! What happens to sessions, to anchors, and to what earlier processes left.

use leasehold_model::{Accessor, AnchorEpoch, BootTime, Failure, Holder, LeaseId, SessionEpoch};

use super::Step;
use crate::governor::Rank;
use crate::slot::Slot;
use crate::{Action, Notice, ProviderId, SessionTerms, SlotId};

/// Events that are about no slot.
type NoSlot = Option<SlotId>;

impl Step<'_> {
    pub(super) fn logged_in(
        &mut self,
        provider: ProviderId,
        epoch: SessionEpoch,
        t_send: BootTime,
        terms: SessionTerms,
    ) -> NoSlot {
        let now = self.now;
        self.hear(provider, None);
        self.with_site(provider, |it, rng| {
            it.sessions.opened(now, epoch, t_send, terms, rng)
        });
        self.each_slot_of(provider, Slot::holder_succeeded);
        None
    }

    pub(super) fn login_failed(
        &mut self,
        provider: ProviderId,
        epoch: SessionEpoch,
        failure: Failure,
    ) -> NoSlot {
        let now = self.now;
        self.hear(provider, Some(failure));
        self.with_site(provider, |it, rng| {
            it.sessions.open_failed(now, epoch, failure, rng)
        });
        None
    }

    pub(super) fn session_renewed(
        &mut self,
        provider: ProviderId,
        epoch: SessionEpoch,
        t_send: BootTime,
        terms: SessionTerms,
    ) -> NoSlot {
        let now = self.now;
        self.hear(provider, None);
        self.with_site(provider, |it, rng| {
            it.sessions.renewed(now, epoch, t_send, terms, rng);
        });
        // The leases that hang on the session live longer with it.
        self.each_slot_of(provider, |_, _| {});
        None
    }

    pub(super) fn session_renew_failed(
        &mut self,
        provider: ProviderId,
        epoch: SessionEpoch,
        failure: Failure,
    ) -> NoSlot {
        let now = self.now;
        self.hear(provider, Some(failure));
        self.with_site(provider, |it, rng| {
            it.sessions.renew_failed(now, epoch, failure, rng);
        });
        self.lose_if_dead(provider, Holder::Session(epoch), failure);
        None
    }

    pub(super) fn session_ended(&mut self, provider: ProviderId, epoch: SessionEpoch) -> NoSlot {
        self.hear(provider, None);
        self.with_site(provider, |it, _| it.sessions.ended(epoch));
        self.bury(provider, Holder::Session(epoch));
        None
    }

    pub(super) fn session_end_failed(
        &mut self,
        provider: ProviderId,
        epoch: SessionEpoch,
        failure: Failure,
    ) -> NoSlot {
        let now = self.now;
        self.hear(provider, Some(failure));
        self.with_site(provider, |it, rng| {
            it.sessions.end_failed(now, epoch, failure, rng)
        });
        None
    }

    pub(super) fn anchor_minted(
        &mut self,
        provider: ProviderId,
        anchor: AnchorEpoch,
        t_send: BootTime,
        terms: SessionTerms,
    ) -> NoSlot {
        let now = self.now;
        self.hear(provider, None);
        let succeeded = self.with_anchors(provider, |it, rng| {
            it.opened(now, anchor, t_send, terms, rng)
        });
        if let Some(anchor) = succeeded.flatten() {
            self.tell(Notice::AnchorSucceeded { provider, anchor });
        }
        self.each_slot_of(provider, Slot::holder_succeeded);
        None
    }

    pub(super) fn anchor_mint_failed(
        &mut self,
        provider: ProviderId,
        anchor: AnchorEpoch,
        epoch: SessionEpoch,
        failure: Failure,
    ) -> NoSlot {
        let now = self.now;
        self.hear(provider, Some(failure));
        let news = self.with_anchors(provider, |it, rng| {
            it.open_failed(now, anchor, failure, rng)
        });
        if news == Some(true) {
            self.tell(Notice::AnchorUnavailable { provider, failure });
        }
        self.lose_if_dead(provider, Holder::Session(epoch), failure);
        None
    }

    pub(super) fn anchor_renewed(
        &mut self,
        provider: ProviderId,
        anchor: AnchorEpoch,
        t_send: BootTime,
        terms: SessionTerms,
    ) -> NoSlot {
        let now = self.now;
        self.hear(provider, None);
        self.with_anchors(provider, |it, rng| {
            it.renewed(now, anchor, t_send, terms, rng);
        });
        self.each_slot_of(provider, |_, _| {});
        None
    }

    pub(super) fn anchor_renew_failed(
        &mut self,
        provider: ProviderId,
        anchor: AnchorEpoch,
        epoch: SessionEpoch,
        failure: Failure,
    ) -> NoSlot {
        let now = self.now;
        self.hear(provider, Some(failure));
        self.with_anchors(provider, |it, rng| {
            it.renew_failed(now, anchor, failure, rng);
        });
        if failure == Failure::LeaseGone {
            self.lose(provider, Holder::Anchor(anchor));
        }
        self.lose_if_dead(provider, Holder::Session(epoch), failure);
        None
    }

    pub(super) fn anchor_revoked(&mut self, provider: ProviderId, anchor: AnchorEpoch) -> NoSlot {
        self.hear(provider, None);
        self.with_anchors(provider, |it, _| it.ended(anchor));
        self.tell(Notice::AnchorEnded { provider, anchor });
        self.bury(provider, Holder::Anchor(anchor));
        None
    }

    pub(super) fn anchor_revoke_failed(
        &mut self,
        provider: ProviderId,
        anchor: AnchorEpoch,
        epoch: SessionEpoch,
        failure: Failure,
    ) -> NoSlot {
        let now = self.now;
        self.hear(provider, Some(failure));
        // With the session dead, the anchor is as it was: it is ended in the next.
        let retried = if failure == Failure::SessionDead {
            Failure::Transient
        } else {
            failure
        };
        self.with_anchors(provider, |it, rng| it.end_failed(now, anchor, retried, rng));
        self.lose_if_dead(provider, Holder::Session(epoch), failure);
        None
    }

    pub(super) fn anchor_rotation_asked(&mut self, provider: ProviderId) -> NoSlot {
        let now = self.now;
        self.with_anchors(provider, |it, _| it.succeed(now));
        None
    }

    pub(super) fn orphan_revoked(&mut self, provider: ProviderId, lease_id: &LeaseId) -> NoSlot {
        self.hear(provider, None);
        self.with_site(provider, |it, _| {
            it.governor.end(Rank::Revocation);
            it.former.orphan_revoked(lease_id);
        });
        None
    }

    pub(super) fn orphan_revoke_failed(
        &mut self,
        provider: ProviderId,
        lease_id: LeaseId,
        epoch: SessionEpoch,
        failure: Failure,
    ) -> NoSlot {
        let now = self.now;
        self.hear(provider, Some(failure));
        let news = self.with_site(provider, |it, rng| {
            it.governor.end(Rank::Revocation);
            it.former.orphan_failed(now, &lease_id, failure, rng)
        });
        if failure == Failure::LeaseGone {
            self.tell(Notice::OrphanClaimed { provider, lease_id });
        } else if news == Some(true) {
            self.tell(Notice::OrphanIrrevocable {
                provider,
                lease_id,
                failure,
            });
        }
        self.lose_if_dead(provider, Holder::Session(epoch), failure);
        None
    }

    pub(super) fn former_revoked(&mut self, provider: ProviderId, accessor: &Accessor) -> NoSlot {
        self.hear(provider, None);
        self.with_site(provider, |it, _| {
            it.governor.end(Rank::Revocation);
            it.former.holder_ended(accessor);
        });
        None
    }

    pub(super) fn former_revoke_failed(
        &mut self,
        provider: ProviderId,
        accessor: &Accessor,
        epoch: SessionEpoch,
        failure: Failure,
    ) -> NoSlot {
        let now = self.now;
        self.hear(provider, Some(failure));
        self.with_site(provider, |it, rng| {
            it.governor.end(Rank::Revocation);
            it.former.holder_failed(now, accessor, failure, rng);
        });
        self.lose_if_dead(provider, Holder::Session(epoch), failure);
        None
    }

    pub(super) fn lose_if_dead(&mut self, provider: ProviderId, holder: Holder, failure: Failure) {
        if failure == Failure::SessionDead {
            self.lose(provider, holder);
        }
    }

    /// Loses a session or an anchor that is dead, and every lease that hung on it.
    pub(super) fn lose(&mut self, provider: ProviderId, holder: Holder) {
        let now = self.now;
        let known = match holder {
            Holder::Session(epoch) => {
                self.with_site(provider, |it, rng| it.sessions.lost(now, epoch, rng))
            }
            Holder::Anchor(epoch) => {
                self.with_anchors(provider, |it, rng| it.lost(now, epoch, rng))
            }
        };
        if known != Some(true) {
            return;
        }
        if let Holder::Anchor(anchor) = holder {
            self.tell(Notice::AnchorLost { provider, anchor });
        }
        self.bury(provider, holder);
    }

    /// Lets nothing hang any more on a session or an anchor that has run out.
    pub(super) fn run_out(&mut self, provider: ProviderId, holder: Holder) {
        let now = self.now;
        match holder {
            Holder::Session(epoch) => {
                self.with_site(provider, |it, rng| it.sessions.run_out(now, epoch, rng));
            }
            Holder::Anchor(anchor) => {
                self.with_anchors(provider, |it, rng| it.run_out(now, anchor, rng));
                self.tell(Notice::AnchorLost { provider, anchor });
            }
        }
        self.bury(provider, holder);
    }

    /// Buries the leases that hung on what has ended.
    fn bury(&mut self, provider: ProviderId, holder: Holder) {
        self.each_slot_of(provider, |slot, ctx| slot.holder_lost(ctx, holder));
    }

    fn tell(&mut self, notice: Notice) {
        self.actions.push(Action::Notify(notice));
    }
}
