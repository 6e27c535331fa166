//! What calls came to, told to the engine and to people.

mod fetched;

use leasehold_lease::{Event, ProviderId, SessionTerms, SlotId};
use leasehold_ledger::AnchorEnd;
use leasehold_model::{Accessor, AnchorEpoch, Failure, Holder, LeaseId};
use leasehold_provider::{LeaseGrant, ProviderError, SessionGrant};

use super::Broker;
use crate::call::{Login, Outcome, Timed, Which};
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

    fn logged_in(&mut self, login: Login, Timed { t_send, result }: Timed<SessionGrant>) {
        let Login { provider, epoch } = login;
        let event = match self.judge_at(provider, Operation::Login, result) {
            Ok(grant) => {
                self.note_login(provider, None);
                if let Some(book) = &mut self.book {
                    book.session(provider, epoch, t_send, &grant);
                }
                Event::LoggedIn {
                    provider,
                    epoch,
                    t_send,
                    terms: terms(&grant),
                }
            }
            Err(failure) => {
                self.note_login(provider, Some(failure));
                Event::LoginFailed {
                    provider,
                    epoch,
                    failure,
                }
            }
        };
        self.step(event, None);
    }

    fn session_renewed(&mut self, login: Login, Timed { t_send, result }: Timed<SessionGrant>) {
        let Login { provider, epoch } = login;
        let event = match self.judge_at(provider, Operation::RenewSession, result) {
            Ok(grant) => {
                if let Some(book) = &mut self.book {
                    book.session(provider, epoch, t_send, &grant);
                }
                Event::SessionRenewed {
                    provider,
                    epoch,
                    t_send,
                    terms: terms(&grant),
                }
            }
            Err(failure) => Event::SessionRenewFailed {
                provider,
                epoch,
                failure,
            },
        };
        self.step(event, None);
    }

    fn session_ended(&mut self, login: Login, result: Result<(), ProviderError>) {
        let Login { provider, epoch } = login;
        let event = match self.judge_at(provider, Operation::RevokeSession, result) {
            Ok(()) => {
                self.note_end(provider, Holder::Session(epoch), None);
                Event::SessionEnded { provider, epoch }
            }
            Err(failure) => {
                self.note_end(provider, Holder::Session(epoch), Some(failure));
                Event::SessionEndFailed {
                    provider,
                    epoch,
                    failure,
                }
            }
        };
        self.step(event, None);
    }

    fn anchor_minted(
        &mut self,
        login: Login,
        anchor: AnchorEpoch,
        Timed { t_send, result }: Timed<SessionGrant>,
    ) {
        let Login { provider, epoch } = login;
        let event = match self.judge_at(provider, Operation::MintAnchor, result) {
            Ok(grant) => {
                if let Some(book) = &mut self.book {
                    book.anchor_minted((provider, epoch), anchor, t_send, &grant);
                }
                Event::AnchorMinted {
                    provider,
                    anchor,
                    t_send,
                    terms: terms(&grant),
                }
            }
            Err(failure) => Event::AnchorMintFailed {
                provider,
                anchor,
                epoch,
                failure,
            },
        };
        self.step(event, None);
    }

    fn anchor_renewed(
        &mut self,
        login: Login,
        anchor: AnchorEpoch,
        Timed { t_send, result }: Timed<SessionGrant>,
    ) {
        let Login { provider, epoch } = login;
        let event = match self.judge_at(provider, Operation::RenewAnchor, result) {
            Ok(grant) => {
                if let Some(book) = &mut self.book {
                    book.anchor_renewed(provider, anchor, t_send, &grant);
                }
                Event::AnchorRenewed {
                    provider,
                    anchor,
                    t_send,
                    terms: terms(&grant),
                }
            }
            Err(failure) => Event::AnchorRenewFailed {
                provider,
                anchor,
                epoch,
                failure,
            },
        };
        self.step(event, None);
    }

    fn anchor_revoked(
        &mut self,
        login: Login,
        anchor: AnchorEpoch,
        result: Result<(), ProviderError>,
    ) {
        let Login { provider, epoch } = login;
        let event = match self.judge_at(provider, Operation::RevokeAnchor, result) {
            Ok(()) => {
                self.note_end(provider, Holder::Anchor(anchor), None);
                Event::AnchorRevoked { provider, anchor }
            }
            Err(failure) => {
                self.note_end(provider, Holder::Anchor(anchor), Some(failure));
                Event::AnchorRevokeFailed {
                    provider,
                    anchor,
                    epoch,
                    failure,
                }
            }
        };
        self.step(event, None);
    }

    fn orphan_revoked(
        &mut self,
        login: Login,
        lease_id: LeaseId,
        result: Result<(), ProviderError>,
    ) {
        let Login { provider, epoch } = login;
        let event = match self.judge_at(provider, Operation::RevokeOrphan, result) {
            Ok(()) => {
                if let Some((name, _)) = self.providers.get(provider.index()) {
                    report::orphan_revoked(&self.metrics, name, &lease_id);
                }
                if let Some(book) = &self.book {
                    book.orphan_revoked(provider, &lease_id);
                }
                Event::OrphanRevoked { provider, lease_id }
            }
            Err(failure) => Event::OrphanRevokeFailed {
                provider,
                lease_id,
                epoch,
                failure,
            },
        };
        self.step(event, None);
    }

    fn former_revoked(
        &mut self,
        login: Login,
        accessor: Accessor,
        result: Result<(), ProviderError>,
    ) {
        let Login { provider, epoch } = login;
        let event = match self.judge_at(provider, Operation::RevokeFormer, result) {
            Ok(()) => {
                if let Some(book) = &mut self.book {
                    book.former_ended(provider, &accessor);
                }
                Event::FormerRevoked { provider, accessor }
            }
            Err(failure) => {
                if let Some(book) = self.book.as_mut().filter(|_| is_refusal(failure)) {
                    book.former_refused(provider, &accessor);
                }
                Event::FormerRevokeFailed {
                    provider,
                    accessor,
                    epoch,
                    failure,
                }
            }
        };
        self.step(event, None);
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

    /// Notes how the end of a session or an anchor went.
    fn note_end(&mut self, provider: ProviderId, holder: Holder, failure: Option<Failure>) {
        let Some(book) = &mut self.book else {
            return;
        };
        match failure {
            None => book.ended(provider, holder, AnchorEnd::Revoked),
            Some(failure) if is_refusal(failure) => book.refused(provider, holder),
            Some(_) => {}
        }
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
        if let Some((provider, _)) = self.providers.get(provider.index()) {
            match &result {
                Ok(_) => report::succeeded(&self.metrics, provider, operation),
                Err(error) => report::failed(&self.metrics, provider, None, operation, error),
            }
        }
        result.map_err(|error| error.failure)
    }

    /// A credential that waits for a login stands as the login does, until its own fetch tells more.
    fn note_login(&self, provider: ProviderId, failure: Option<Failure>) {
        for (family, declared) in &self.families {
            if declared.provider == provider {
                family.note(failure);
            }
        }
        let Some(failure) = failure else {
            return;
        };
        let of_provider = |it: &&super::Credential<P>| it.declared.provider == provider;
        for credential in self.credentials.iter().flatten().filter(of_provider) {
            credential.handle.note_failure(failure);
        }
    }
}

/// Tells whether a person has to do something before the call can succeed.
const fn is_refusal(failure: Failure) -> bool {
    matches!(
        failure,
        Failure::Denied | Failure::Misconfigured | Failure::NotRenewable
    )
}

fn terms(grant: &SessionGrant) -> SessionTerms {
    SessionTerms {
        ttl: grant.ttl,
        renewable: grant.renewable,
        capped: grant.capped,
    }
}
