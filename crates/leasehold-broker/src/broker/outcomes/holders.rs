//! What became of sessions and anchors, and of what earlier processes left.

use leasehold_lease::{Event, ProviderId, SessionTerms};
use leasehold_ledger::AnchorEnd;
use leasehold_model::{Accessor, AnchorEpoch, Failure, Holder, LeaseId};
use leasehold_provider::{ProviderError, SessionGrant};

use super::super::{Broker, Credential};
use super::is_refusal;
use crate::call::{Login, Timed};
use crate::metrics::Operation;
use crate::report;

impl<P: Send + Sync + 'static> Broker<P> {
    pub(super) fn logged_in(
        &mut self,
        login: Login,
        Timed { t_send, result }: Timed<SessionGrant>,
    ) {
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

    pub(super) fn session_renewed(
        &mut self,
        login: Login,
        Timed { t_send, result }: Timed<SessionGrant>,
    ) {
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

    pub(super) fn session_ended(&mut self, login: Login, result: Result<(), ProviderError>) {
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

    pub(super) fn anchor_minted(
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

    pub(super) fn anchor_renewed(
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

    pub(super) fn anchor_revoked(
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

    pub(super) fn orphan_revoked(
        &mut self,
        login: Login,
        lease_id: LeaseId,
        result: Result<(), ProviderError>,
    ) {
        let Login { provider, epoch } = login;
        let event = match self.judge_at(provider, Operation::RevokeOrphan, result) {
            Ok(()) => {
                self.note_orphan(provider, &lease_id);
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

    /// Notes that the provider says that a lease of an earlier process is no more.
    fn note_orphan(&mut self, provider: ProviderId, lease_id: &LeaseId) {
        let known = self.providers.get(provider.index());
        let (Some(book), Some(Some((name, _)))) = (&mut self.book, known) else {
            return;
        };
        if book.has_run_out(provider, lease_id) {
            book.orphan_claimed(provider, lease_id);
            report::orphan_claimed(&self.metrics, name, lease_id);
        } else {
            book.orphan_revoked(provider, lease_id);
            report::orphan_revoked(&self.metrics, name, lease_id);
        }
    }

    pub(super) fn former_revoked(
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

    /// A credential that waits for a login stands as the login does, until its own fetch tells more.
    fn note_login(&self, provider: ProviderId, failure: Option<Failure>) {
        for (family, declared) in self.families.values() {
            if declared.provider == provider {
                family.note(failure);
            }
        }
        let Some(failure) = failure else {
            return;
        };
        let of_provider = |it: &&Credential<P>| it.declared.provider == provider;
        for credential in self.credentials.iter().flatten().filter(of_provider) {
            credential.handle.note_failure(failure);
        }
    }
}

fn terms(grant: &SessionGrant) -> SessionTerms {
    SessionTerms {
        ttl: grant.ttl,
        renewable: grant.renewable,
        capped: grant.capped,
    }
}
