//! What calls came to, told to the engine and to people.

use leasehold_lease::{Event, ProviderId, SessionTerms, SlotId, Terms};
use leasehold_model::{Failure, GenerationNumber, Holder, Provenance, ProviderName};
use leasehold_provider::{
    Fetched, FingerprintKey, Holding, LeaseGrant, ProviderError, SessionGrant,
};

use super::{Broker, Candidate};
use crate::call::{Outcome, Target, Timed};
use crate::metrics::Operation;
use crate::report;

impl<P: Send + Sync + 'static> Broker<P> {
    pub(super) fn conclude(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Login {
                provider,
                epoch,
                result: Timed { t_send, result },
            } => {
                let result = self.judge_session(provider, Operation::Login, result);
                if let Err(failure) = &result {
                    self.note_login(provider, *failure);
                }
                self.step(
                    match result.map(terms) {
                        Ok(terms) => Event::LoggedIn {
                            provider,
                            epoch,
                            t_send,
                            terms,
                        },
                        Err(failure) => Event::LoginFailed {
                            provider,
                            epoch,
                            failure,
                        },
                    },
                    None,
                );
            }
            Outcome::RenewSession {
                provider,
                epoch,
                result: Timed { t_send, result },
            } => {
                let result = self.judge_session(provider, Operation::RenewSession, result);
                self.step(
                    match result.map(terms) {
                        Ok(terms) => Event::SessionRenewed {
                            provider,
                            epoch,
                            t_send,
                            terms,
                        },
                        Err(failure) => Event::SessionRenewFailed {
                            provider,
                            epoch,
                            failure,
                        },
                    },
                    None,
                );
            }
            Outcome::RevokeSession {
                provider,
                epoch,
                result,
            } => {
                let event = match self.judge_session(provider, Operation::RevokeSession, result) {
                    Ok(()) => Event::SessionEnded { provider, epoch },
                    Err(failure) => Event::SessionEndFailed {
                        provider,
                        epoch,
                        failure,
                    },
                };
                self.step(event, None);
            }
            Outcome::Fetch(slot, number, holder, timed) => {
                self.fetched(slot, number, holder, timed);
            }
            Outcome::Renew(
                Target {
                    slot,
                    number,
                    epoch,
                },
                Timed { t_send, result },
            ) => {
                let event = match self.judge(slot, Operation::Renew, result) {
                    Ok(LeaseGrant { ttl, capped }) => {
                        if let Some(credential) = self.credentials.get(slot.index()) {
                            report::renewed(credential.handle.credential(), number, ttl, capped);
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
            Outcome::Revoke(
                Target {
                    slot,
                    number,
                    epoch,
                },
                result,
            ) => {
                let event = match self.judge(slot, Operation::Revoke, result) {
                    Ok(()) => Event::Revoked { slot, number },
                    Err(failure) => Event::RevokeFailed {
                        slot,
                        number,
                        epoch,
                        failure,
                    },
                };
                self.step(event, None);
            }
        }
    }

    fn fetched(
        &mut self,
        slot: SlotId,
        number: GenerationNumber,
        holder: Holder,
        timed: Timed<Fetched>,
    ) {
        let t_send = timed.t_send;
        let result = self.judge(slot, Operation::Fetch, timed.result);
        let Some(credential) = self.credentials.get(slot.index()) else {
            return;
        };
        let fetched = match result {
            Ok(fetched) => fetched,
            Err(failure) => {
                credential.handle.note_failure(Some(failure));
                return self.step(
                    Event::FetchFailed {
                        slot,
                        number,
                        holder,
                        failure,
                    },
                    None,
                );
            }
        };
        let Some((provider, _)) = self.providers.get(credential.provider.index()) else {
            return;
        };
        report::warned(provider, credential.handle.credential(), &fetched.warnings);
        let terms = holding_terms(&fetched.holding);
        match (credential.prepare)(&fetched.material) {
            Ok(prepared) => {
                credential.handle.note_failure(None);
                let provenance = provenance(provider.clone(), &fetched, &self.fingerprints);
                let candidate = Candidate {
                    prepared,
                    provenance,
                };
                self.step(
                    Event::Fetched {
                        slot,
                        number,
                        t_send,
                        terms,
                    },
                    Some(candidate),
                );
            }
            Err(error) => {
                credential.handle.note_failure(Some(Failure::Misconfigured));
                report::unusable(provider, credential.handle.credential(), error.as_ref());
                self.step(
                    Event::Unusable {
                        slot,
                        number,
                        t_send,
                        terms,
                    },
                    None,
                );
            }
        }
    }

    /// Reports how a call about a credential ended.
    fn judge<T>(
        &self,
        slot: SlotId,
        operation: Operation,
        result: Result<T, ProviderError>,
    ) -> Result<T, Failure> {
        let credential = self.credentials.get(slot.index());
        let provider = credential.and_then(|it| self.providers.get(it.provider.index()));
        if let (Some(credential), Some((provider, _))) = (credential, provider) {
            let name = credential.handle.credential();
            match &result {
                Ok(_) => report::succeeded(&self.metrics, provider, operation),
                Err(error) => report::failed(&self.metrics, provider, Some(name), operation, error),
            }
        }
        result.map_err(|error| error.failure)
    }

    /// Reports how a call about a session ended.
    fn judge_session<T>(
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
    fn note_login(&self, provider: ProviderId, failure: Failure) {
        for credential in self.credentials.iter().filter(|it| it.provider == provider) {
            credential.handle.note_failure(Some(failure));
        }
    }
}

fn terms(grant: SessionGrant) -> SessionTerms {
    SessionTerms {
        ttl: grant.ttl,
        renewable: grant.renewable,
        capped: grant.capped,
    }
}

fn holding_terms(holding: &Holding) -> Terms {
    match holding {
        Holding::Leased {
            lease_id,
            ttl,
            renewable,
        } => Terms::Leased {
            lease_id: lease_id.clone(),
            ttl: *ttl,
            renewable: *renewable,
        },
        Holding::Versioned { version } => Terms::Versioned { version: *version },
        Holding::Rotating { rotation, next } => Terms::Rotating {
            rotation: *rotation,
            next: *next,
        },
        Holding::Certificate { ttl, .. } => Terms::Certificate { ttl: *ttl },
        Holding::Hinted { refresh } => Terms::Hinted {
            refresh: *refresh,
            changed: true,
        },
    }
}

fn provenance(provider: ProviderName, fetched: &Fetched, key: &FingerprintKey) -> Provenance {
    let (lease_id, version) = match &fetched.holding {
        Holding::Leased { lease_id, .. } => (Some(lease_id.clone()), None),
        Holding::Versioned { version } => (None, Some(*version)),
        Holding::Rotating { .. } | Holding::Certificate { .. } | Holding::Hinted { .. } => {
            (None, None)
        }
    };
    let request_id = fetched.request_id.clone();
    let fingerprint = fetched.material.fingerprint(key);
    Provenance {
        provider,
        request_id,
        lease_id,
        version,
        fingerprint,
    }
}
