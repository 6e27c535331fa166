//! What operators asked for, and who waits for its outcome.

mod waits;

use leasehold_lease::{Event, SlotId};
use leasehold_model::{BootTime, ConsumerName, CredentialName, GenerationNumber, LeaseId};

pub(super) use self::waits::Waits;
use super::{Broker, Credential};
use crate::control::{
    Answer, ControlError, LeaseState, LeaseView, Request, Revocation, RevocationOutcome, Rotation,
    RotationOutcome, Target,
};

impl<P: Send + Sync + 'static> Broker<P> {
    pub(super) fn attend(&mut self, request: Request) {
        match request {
            Request::List { answer } => {
                if answer.send(self.list()).is_err() {
                    tracing::debug!("nobody waits for the list any more");
                }
            }
            Request::Rotate {
                credential,
                consumer,
                answer,
            } => self.rotate(&credential, consumer.as_ref(), answer),
            Request::Revoke { target, answer } => self.revoke(&target, answer),
        }
    }

    fn rotate(
        &mut self,
        credential: &CredentialName,
        consumer: Option<&ConsumerName>,
        answer: Answer<Rotation>,
    ) {
        let slots = match self.slots_of(credential, consumer) {
            Ok(slots) => slots,
            Err(refusal) => return refuse(answer, refusal),
        };
        let expected = slots.iter().filter_map(|slot| self.at(*slot));
        let expected = expected.map(|it| (it.place, rotation_of(it))).collect();
        self.waits.await_rotations(self.now(), expected, answer);
        for slot in slots {
            self.step(Event::RotationAsked { slot }, None);
        }
    }

    fn revoke(&mut self, target: &Target, answer: Answer<Revocation>) {
        let (slots, number) = match self.targeted(target) {
            Ok(targeted) => targeted,
            Err(refusal) => return refuse(answer, refusal),
        };
        let expected = self.revocations(&slots, number);
        self.waits.await_revocations(self.now(), expected, answer);
        for slot in slots {
            self.step(Event::RevocationAsked { slot, number }, None);
        }
    }

    /// Finds the slots that are meant, and the generation where it is one.
    fn targeted(
        &self,
        target: &Target,
    ) -> Result<(Vec<SlotId>, Option<GenerationNumber>), ControlError> {
        match target {
            Target::Lease(lease_id) => {
                let mut held = self.held().into_iter();
                let found = held.find(|it| it.lease_id.as_ref() == Some(lease_id));
                let found = found.ok_or_else(|| ControlError::UnknownLease {
                    lease_id: lease_id.clone(),
                })?;
                Ok((vec![found.slot], Some(found.number)))
            }
            Target::Credential(name) => Ok((self.slots_of(name, None)?, None)),
            Target::Instance => Ok((self.each().map(|it| it.place.slot).collect(), None)),
        }
    }

    fn slots_of(
        &self,
        name: &CredentialName,
        consumer: Option<&ConsumerName>,
    ) -> Result<Vec<SlotId>, ControlError> {
        let named = self.each().filter(|it| it.handle.credential() == name);
        let meant = named.filter(|it| consumer.is_none() || it.handle.consumer() == consumer);
        let slots: Vec<_> = meant.map(|it| it.place.slot).collect();
        let is_declared = !slots.is_empty()
            || self.families.iter().any(|(it, _)| it.credential() == name)
            || self.each().any(|it| it.handle.credential() == name);
        match consumer {
            _ if !is_declared => Err(ControlError::UnknownCredential {
                credential: name.clone(),
            }),
            Some(consumer) if slots.is_empty() => Err(ControlError::UnknownConsumer {
                credential: name.clone(),
                consumer: consumer.clone(),
            }),
            _ => Ok(slots),
        }
    }

    fn revocations(
        &self,
        slots: &[SlotId],
        number: Option<GenerationNumber>,
    ) -> Vec<(crate::link::Place, Revocation)> {
        let meant =
            |it: &Held| slots.contains(&it.slot) && number.is_none_or(|number| it.number == number);
        let expected = |it: Held| {
            let credential = self.at(it.slot)?;
            let revocation = Revocation {
                credential: credential.handle.credential().clone(),
                consumer: credential.handle.consumer().cloned(),
                generation: it.number,
                lease_id: it.lease_id?,
                outcome: RevocationOutcome::TimedOut,
                took: std::time::Duration::ZERO,
            };
            Some((credential.place, revocation))
        };
        let held = self.held().into_iter().filter(meant);
        held.filter_map(expected).collect()
    }

    fn list(&self) -> Vec<LeaseView> {
        let now = self.now();
        let held = self.held();
        let mut list: Vec<_> = held.iter().filter_map(|it| self.view(now, it)).collect();
        list.sort_by(|a, b| {
            let key = |it: &LeaseView| (it.credential.clone(), it.consumer.clone(), it.generation);
            key(a).cmp(&key(b))
        });
        list
    }

    fn view(&self, now: BootTime, held: &Held) -> Option<LeaseView> {
        let credential = self.at(held.slot)?;
        let (provider, _) = self.provider_of(credential)?;
        let active = credential.handle.active();
        let active = active.filter(|it| it.number() == held.number);
        let provenance = active.as_ref().map(|it| it.provenance());
        let left = |at: BootTime| (at != BootTime::NEVER).then(|| at.since(now));
        Some(LeaseView {
            provider: provider.clone(),
            credential: credential.handle.credential().clone(),
            consumer: credential.handle.consumer().cloned(),
            generation: held.number,
            state: held.state,
            lease_id: held.lease_id.clone(),
            version: provenance.and_then(|it| it.version),
            fingerprint: provenance.map(|it| it.fingerprint),
            holder: None,
            granted: None,
            usable_for: active.as_ref().and_then(|it| left(it.deadline())),
            holder_lasts: None,
            next: None,
            suspect: false,
        })
    }

    /// Returns what is held, in no order.
    fn held(&self) -> Vec<Held> {
        let active = self.each().filter_map(|it| {
            let active = it.handle.active()?;
            Some(Held {
                slot: it.place.slot,
                number: active.number(),
                lease_id: active.provenance().lease_id.clone(),
                state: LeaseState::Active,
            })
        });
        let retired = self.engine.leftovers().into_iter().map(|it| Held {
            slot: it.slot,
            number: it.number,
            lease_id: Some(it.lease_id),
            state: LeaseState::Revoking,
        });
        active.chain(retired).collect()
    }

    fn each(&self) -> impl Iterator<Item = &Credential<P>> {
        self.credentials.iter().flatten()
    }
}

/// A generation that is held.
struct Held {
    slot: SlotId,
    number: GenerationNumber,
    lease_id: Option<LeaseId>,
    state: LeaseState,
}

fn rotation_of<P>(credential: &Credential<P>) -> Rotation {
    let active = credential.handle.active();
    Rotation {
        credential: credential.handle.credential().clone(),
        consumer: credential.handle.consumer().cloned(),
        former: active.as_ref().map(|it| it.number()),
        generation: active.as_ref().map(|it| it.number()),
        lease_id: active.and_then(|it| it.provenance().lease_id.clone()),
        outcome: RotationOutcome::TimedOut,
        took: std::time::Duration::ZERO,
    }
}

fn refuse<T>(answer: Answer<T>, refusal: ControlError) {
    if answer.send(Err(refusal)).is_err() {
        tracing::debug!("nobody waits for the refusal any more");
    }
}
