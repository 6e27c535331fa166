//! Carries out what the engine decides.

use std::sync::Arc;

use leasehold_lease::{Action, Notice, ProviderId, SlotId};
use leasehold_model::{BootTime, GenerationNumber, SessionEpoch};

use super::{Broker, Candidate, Credential};
use crate::call::{Call, Caller, Which};
use crate::generation::{Drained, Generation};
use crate::report;

impl<P: Send + Sync + 'static> Broker<P> {
    pub(super) fn act(
        &mut self,
        now: BootTime,
        action: Action,
        candidate: &mut Option<Candidate<P>>,
    ) {
        // Every kind is named here, so that none that is new can be forgotten.
        match action {
            Action::Activate {
                slot,
                number,
                deadline,
            } => self.activate(now, (slot, number), deadline, candidate.take()),
            Action::Discard { slot, .. } => {
                *candidate = None;
                self.discarded(slot);
            }
            Action::Extend {
                slot,
                number,
                deadline,
            } => self.extend(slot, number, deadline),
            Action::Withdraw { slot } => self.withdraw(slot),
            Action::Forget { slot } => self.forget(slot),
            Action::ForgetProvider { provider } => self.forget_provider(provider),
            Action::Notify(notice) => self.notify(&notice),
            Action::Login { .. }
            | Action::RenewSession { .. }
            | Action::RevokeSession { .. }
            | Action::Fetch { .. }
            | Action::Renew { .. }
            | Action::Revoke { .. } => self.call_about_leases(action),
            Action::MintAnchor { .. }
            | Action::RenewAnchor { .. }
            | Action::RevokeAnchor { .. }
            | Action::RevokeOrphan { .. }
            | Action::RevokeFormer { .. } => self.call_about_anchors(action),
        }
    }

    fn call_about_leases(&mut self, action: Action) {
        match action {
            Action::Login { provider, epoch } => {
                self.call_provider(provider, |it| it.login(epoch));
            }
            Action::RenewSession { provider, epoch } => {
                self.call_provider(provider, |it| it.renew_session(epoch));
            }
            Action::RevokeSession { provider, epoch } => {
                self.call_provider(provider, |it| it.revoke_session(epoch));
            }
            Action::Fetch {
                slot,
                number,
                holder,
            } => {
                let intent = self.intend(slot, number, holder);
                self.call(slot, |it, of| {
                    let source = of.declared.source.clone();
                    let source = source.issued_for(of.handle.consumer());
                    it.fetch((slot, number), holder, source, intent)
                });
            }
            Action::Renew {
                slot,
                number,
                epoch,
                lease_id,
            } => self.call(slot, |it, of| it.renew(which(of, number, epoch), lease_id)),
            Action::Revoke {
                slot,
                number,
                epoch,
                lease_id,
            } => self.call(slot, |it, of| it.revoke(which(of, number, epoch), lease_id)),
            _ => {}
        }
    }

    fn call_about_anchors(&self, action: Action) {
        match action {
            Action::MintAnchor {
                provider,
                epoch,
                anchor,
            } => self.call_provider(provider, |it| it.mint_anchor(epoch, anchor)),
            Action::RenewAnchor {
                provider,
                epoch,
                anchor,
            } => self.call_provider(provider, |it| it.renew_anchor(epoch, anchor)),
            Action::RevokeAnchor {
                provider,
                epoch,
                anchor,
            } => self.call_provider(provider, |it| it.revoke_anchor(epoch, anchor)),
            Action::RevokeOrphan {
                provider,
                epoch,
                lease_id,
            } => self.call_provider(provider, |it| it.revoke_orphan(epoch, lease_id)),
            Action::RevokeFormer {
                provider,
                epoch,
                accessor,
            } => self.call_provider(provider, |it| it.revoke_former(epoch, accessor)),
            _ => {}
        }
    }

    fn activate(
        &mut self,
        now: BootTime,
        (slot, number): (SlotId, GenerationNumber),
        deadline: BootTime,
        candidate: Option<Candidate<P>>,
    ) {
        let (Some(credential), Some(candidate)) = (self.at(slot), candidate) else {
            return;
        };
        let Candidate {
            prepared,
            provenance,
        } = candidate;
        let (handle, place) = (credential.handle.clone(), credential.place);
        self.note_retired(credential);
        if credential.family.is_none() && !credential.dismissed {
            self.metrics.ready(handle.credential(), true);
        }
        let usable_for = report::left(now, deadline);
        let subject = handle.subject();
        report::activated(&self.metrics, subject, number, &provenance, usable_for);
        let link = self.link.clone();
        let drained = Drained {
            place,
            number,
            link,
        };
        let consumer = handle.consumer().cloned();
        let generation = Generation::new(consumer, provenance, deadline, prepared, drained);
        let generation = Arc::new(generation);
        handle.activate(Arc::clone(&generation));
        self.waits.activated(now, place, &generation);
        self.parent_succeeded(place);
    }

    fn extend(&self, slot: SlotId, number: GenerationNumber, deadline: BootTime) {
        if let Some(credential) = self.at(slot) {
            credential.handle.extend(number, deadline);
        }
    }

    /// The attempt that a suspicion or an operator asked for found nothing newer.
    fn discarded(&mut self, slot: SlotId) {
        let Some(credential) = self.at(slot) else {
            return;
        };
        credential.handle.settle();
        let place = credential.place;
        self.waits.unchanged(self.now(), place);
    }

    fn withdraw(&mut self, slot: SlotId) {
        let Some(credential) = self.at(slot) else {
            return;
        };
        self.note_retired(credential);
        credential.handle.withdraw();
        // Where another has taken its name over, the gauge is that one's.
        if credential.family.is_none() && !credential.dismissed {
            self.metrics.ready(credential.handle.credential(), false);
        }
        self.parent_lost(credential.place);
    }

    fn notify(&mut self, notice: &Notice) {
        self.note_in_ledger(notice);
        match about(notice) {
            About::Slot(slot) => self.notify_of(slot, notice),
            About::Provider(provider) => {
                if let Some((name, _)) = self.caller(provider) {
                    report::provider_notice(&self.metrics, name, notice);
                }
            }
        }
    }

    fn notify_of(&mut self, slot: SlotId, notice: &Notice) {
        let Some(credential) = self.at(slot) else {
            return;
        };
        report::notice(&self.metrics, credential.handle.subject(), notice);
        if matches!(notice, Notice::SuspicionDismissed { .. }) {
            credential.handle.settle();
        }
        let place = credential.place;
        self.waits.noticed(self.now(), place, notice);
    }

    fn call(&self, slot: SlotId, make: impl FnOnce(&Caller, &Credential<P>) -> Call) {
        let Some(credential) = self.at(slot) else {
            return;
        };
        if let Some((_, caller)) = self.provider_of(credential) {
            self.calls.push(make(caller, credential));
        }
    }

    fn call_provider(&self, provider: ProviderId, make: impl FnOnce(&Caller) -> Call) {
        if let Some((_, caller)) = self.caller(provider) {
            self.calls.push(make(caller));
        }
    }
}

const fn which<P>(of: &Credential<P>, number: GenerationNumber, epoch: SessionEpoch) -> Which {
    Which {
        place: of.place,
        number,
        epoch,
    }
}

/// What a notice is about.
enum About {
    Slot(SlotId),
    Provider(ProviderId),
}

const fn about(notice: &Notice) -> About {
    match notice {
        Notice::Rotating { slot, .. }
        | Notice::Expired { slot, .. }
        | Notice::Revoked { slot, .. }
        | Notice::ExpiryClaimed { slot, .. }
        | Notice::Irrevocable { slot, .. }
        | Notice::Suspect { slot, .. }
        | Notice::SuspicionDismissed { slot, .. } => About::Slot(*slot),
        Notice::AnchorUnavailable { provider, .. }
        | Notice::AnchorSucceeded { provider, .. }
        | Notice::AnchorLost { provider, .. }
        | Notice::AnchorEnded { provider, .. }
        | Notice::OrphanClaimed { provider, .. }
        | Notice::OrphanIrrevocable { provider, .. }
        | Notice::CircuitOpened { provider }
        | Notice::CircuitClosed { provider } => About::Provider(*provider),
    }
}
