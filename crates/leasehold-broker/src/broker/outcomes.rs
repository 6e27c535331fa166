//! What calls came to, told to the engine and to people.

mod fetched;
mod holders;

use leasehold_lease::{Event, ProviderId, SlotId};
use leasehold_model::{Failure, LeaseId};
use leasehold_provider::{LeaseGrant, ProviderError};

use super::Broker;
use crate::call::{Outcome, Timed, Which};
use crate::control::RevocationOutcome;
use crate::metrics::Operation;
use crate::report;

impl<P: Send + Sync + 'static> Broker<P> {
    pub(super) fn conclude(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Login(login, timed) => self.logged_in(login, timed),
            Outcome::RenewSession(login, timed) => self.session_renewed(login, timed),
            Outcome::RevokeSession(login, result) => self.session_ended(login, result),
            Outcome::MintAnchor(login, anchor, timed) => self.anchor_minted(login, anchor, timed),
            Outcome::RenewAnchor(login, anchor, timed) => self.anchor_renewed(login, anchor, timed),
            Outcome::RevokeAnchor(login, anchor, result) => {
                self.anchor_revoked(login, anchor, result);
            }
            Outcome::RevokeOrphan(login, lease_id, result) => {
                self.orphan_revoked(login, lease_id, result);
            }
            Outcome::RevokeFormer(login, accessor, result) => {
                self.former_revoked(login, accessor, result);
            }
            Outcome::Fetch(slot, number, holder, timed) => {
                self.fetched((slot, number), holder, timed);
            }
            Outcome::Renew(which, lease_id, timed) => self.renewed(which, &lease_id, timed),
            Outcome::Revoke(which, result) => self.revoked(which, result),
        }
    }

    fn renewed(
        &mut self,
        which: Which,
        lease_id: &LeaseId,
        Timed { t_send, result }: Timed<LeaseGrant>,
    ) {
        let Which { number, epoch, .. } = which;
        let slot = which.place.slot;
        let event = match self.judge_of(which, Operation::Renew, result) {
            Ok(LeaseGrant { ttl, capped }) => {
                if let Some(credential) = self.at(slot) {
                    report::renewed(credential.handle.subject(), number, ttl, capped);
                    if let Some(book) = &self.book {
                        let provider = credential.declared.provider;
                        book.renewed(provider, lease_id, t_send.after(ttl));
                    }
                }
                Event::Renewed {
                    slot,
                    number,
                    t_send,
                    ttl,
                    capped,
                }
            }
            Err(failure) => Event::RenewFailed {
                slot,
                number,
                epoch,
                failure,
            },
        };
        self.step(event, None);
    }

    fn revoked(&mut self, which: Which, result: Result<(), ProviderError>) {
        let Which { number, epoch, .. } = which;
        let slot = which.place.slot;
        let event = match self.judge_of(which, Operation::Revoke, result) {
            Ok(()) => {
                let provider = self.at(slot).map(|it| it.declared.provider);
                if let (Some(book), Some(provider)) = (&mut self.book, provider) {
                    book.revoked(provider, (slot, number));
                }
                Event::Revoked { slot, number }
            }
            Err(failure) => {
                self.tell_if_refused(which, failure);
                Event::RevokeFailed {
                    slot,
                    number,
                    epoch,
                    failure,
                }
            }
        };
        self.step(event, None);
    }

    /// A lease is told to be irrevocable once in its life; who asks again later is to know it too.
    fn tell_if_refused(&mut self, which: Which, failure: Failure) {
        if is_refusal(failure) {
            let (place, number) = (which.place, which.number);
            let outcome = RevocationOutcome::Irrevocable;
            self.waits.revoked(self.now(), place, number, outcome);
        }
    }

    /// Reports how a call about a lease ended. Where its slot has been given to another credential in
    /// the meantime, the answer says nothing about that one; the engine is told only that it came.
    fn judge_of<T>(
        &self,
        which: Which,
        operation: Operation,
        result: Result<T, ProviderError>,
    ) -> Result<T, Failure> {
        let Some(slot) = self.held_at(which.place) else {
            return Err(Failure::Transient);
        };
        self.judge(slot, operation, result)
    }

    /// Reports how a call about a credential ended.
    fn judge<T>(
        &self,
        slot: SlotId,
        operation: Operation,
        result: Result<T, ProviderError>,
    ) -> Result<T, Failure> {
        let credential = self.at(slot);
        let provider = credential.and_then(|it| self.provider_of(it));
        if let (Some(credential), Some((provider, _))) = (credential, provider) {
            let subject = credential.handle.subject();
            match &result {
                Ok(_) => report::succeeded(&self.metrics, provider, operation),
                Err(error) => {
                    report::failed(&self.metrics, provider, Some(subject), operation, error);
                }
            }
        }
        result.map_err(|error| error.failure)
    }

    /// Reports how a call about a session, an anchor or what an earlier process left ended.
    fn judge_at<T>(
        &self,
        provider: ProviderId,
        operation: Operation,
        result: Result<T, ProviderError>,
    ) -> Result<T, Failure> {
        if let Some((provider, _)) = self.caller(provider) {
            match &result {
                Ok(_) => report::succeeded(&self.metrics, provider, operation),
                Err(error) => report::failed(&self.metrics, provider, None, operation, error),
            }
        }
        result.map_err(|error| error.failure)
    }
}

/// Tells whether a person has to do something before the call can succeed.
const fn is_refusal(failure: Failure) -> bool {
    matches!(
        failure,
        Failure::Denied | Failure::Misconfigured | Failure::NotRenewable
    )
}
