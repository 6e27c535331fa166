//! What fetches came to.

use leasehold_lease::{Event, SlotId, Terms};
use leasehold_model::{
    BootTime, Failure, Fingerprint, GenerationNumber, Holder, Provenance, ProviderName,
};
use leasehold_provider::{Fetched, Holding, ProviderError};

use super::super::{Broker, Candidate, Credential};
use crate::call::Timed;
use crate::metrics::Operation;
use crate::report;

impl<P: Send + Sync + 'static> Broker<P> {
    pub(super) fn fetched(
        &mut self,
        (slot, number): (SlotId, GenerationNumber),
        holder: Holder,
        Timed { t_send, result }: Timed<Fetched>,
    ) {
        self.note_outcome((slot, number), t_send, &result);
        let (event, candidate) = match self.judge(slot, Operation::Fetch, result) {
            Ok(fetched) => self.weigh((slot, number), t_send, &fetched),
            Err(failure) => {
                self.note_attempt(slot, Some(failure));
                let event = Event::FetchFailed {
                    slot,
                    number,
                    holder,
                    failure,
                };
                (event, None)
            }
        };
        self.step(event, candidate);
    }

    /// Notes in the ledger what became of the intent.
    fn note_outcome(
        &mut self,
        (slot, number): (SlotId, GenerationNumber),
        t_send: BootTime,
        result: &Result<Fetched, ProviderError>,
    ) {
        let provider = self.at(slot).map(|it| it.declared.provider);
        let (Some(book), Some(provider)) = (&mut self.book, provider) else {
            return;
        };
        match result.as_ref().map(|it| &it.holding) {
            Ok(Holding::Leased { lease_id, ttl, .. }) => {
                book.issued(provider, (slot, number), lease_id, t_send.after(*ttl));
            }
            // An answer without a lease has made nothing that would have to be given back.
            Ok(_) => book.failed(provider, (slot, number), Failure::Misconfigured),
            Err(error) => book.failed(provider, (slot, number), error.failure),
        }
    }

    /// Prepares what was fetched for injection, and finds out on what terms it is held.
    fn weigh(
        &mut self,
        (slot, number): (SlotId, GenerationNumber),
        t_send: BootTime,
        fetched: &Fetched,
    ) -> (Event, Option<Candidate<P>>) {
        let fingerprint = fetched.material.fingerprint(&self.fingerprints);
        let terms = self.holding_terms(slot, &fetched.holding, fingerprint);
        if let Some(candidate) = self.prepared(slot, fetched, fingerprint) {
            self.note_attempt(slot, None);
            let event = Event::Fetched {
                slot,
                number,
                t_send,
                terms,
            };
            return (event, Some(candidate));
        }
        self.note_attempt(slot, Some(Failure::Misconfigured));
        let event = Event::Unusable {
            slot,
            number,
            t_send,
            terms,
        };
        (event, None)
    }

    fn prepared(
        &self,
        slot: SlotId,
        fetched: &Fetched,
        fingerprint: Fingerprint,
    ) -> Option<Candidate<P>> {
        let credential = self.at(slot)?;
        let (provider, _) = self.provider_of(credential)?;
        let subject = credential.handle.subject();
        report::warned(provider, subject, &fetched.warnings);
        match (credential.declared.prepare)(&fetched.material) {
            Ok(prepared) => Some(Candidate {
                prepared,
                provenance: provenance(provider.clone(), fetched, fingerprint),
            }),
            Err(error) => {
                report::unusable(provider, subject, error.as_ref());
                None
            }
        }
    }

    /// Tells readers and operators how an attempt to get a generation went. That it succeeded is told
    /// once the generation serves.
    fn note_attempt(&mut self, slot: SlotId, failure: Option<Failure>) {
        let Some(credential) = self.at(slot) else {
            return;
        };
        match failure {
            Some(failure) => credential.handle.note_failure(failure),
            None => credential.handle.note_success(),
        }
        if let Some((family, _)) = credential.family.and_then(|it| self.families.get(&it)) {
            family.note(failure);
        }
        let place = credential.place;
        if let Some(failure) = failure {
            self.waits.failed(self.now(), place, failure);
        }
    }

    fn holding_terms(&self, slot: SlotId, holding: &Holding, fingerprint: Fingerprint) -> Terms {
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
            Holding::Certificate { ttl, .. } | Holding::Token { ttl } => {
                Terms::Certificate { ttl: *ttl }
            }
            Holding::Hinted { refresh } => Terms::Hinted {
                refresh: *refresh,
                changed: self.at(slot).is_none_or(|it| differs(it, fingerprint)),
            },
        }
    }
}

/// Tells whether material is another than that of the generation in service.
fn differs<P>(credential: &Credential<P>, fingerprint: Fingerprint) -> bool {
    let active = credential.handle.active();
    active.is_none_or(|it| it.provenance().fingerprint != fingerprint)
}

fn provenance(provider: ProviderName, fetched: &Fetched, fingerprint: Fingerprint) -> Provenance {
    let (lease_id, version) = match &fetched.holding {
        Holding::Leased { lease_id, .. } => (Some(lease_id.clone()), None),
        Holding::Versioned { version } => (None, Some(*version)),
        Holding::Rotating { .. }
        | Holding::Certificate { .. }
        | Holding::Token { .. }
        | Holding::Hinted { .. } => (None, None),
    };
    Provenance {
        provider,
        request_id: fetched.request_id.clone(),
        lease_id,
        version,
        fingerprint,
    }
}
