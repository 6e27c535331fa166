//! What operators asked for, and who waits for its outcome.

mod waits;

use std::time::Duration;

use leasehold_lease::{Event, HolderView, ProviderId, SlotId, Stage, View};
use leasehold_model::{BootTime, ConsumerName, CredentialName, GenerationNumber};

pub(super) use self::waits::Waits;
use super::{Broker, Credential};
use crate::control::{
    Answer, ControlError, HolderStatus, LeaseState, LeaseView, Request, Revocation,
    RevocationOutcome, Rotation, RotationOutcome, Target,
};
use crate::link::Place;
use crate::report;

impl<P: Send + Sync + 'static> Broker<P> {
    pub(super) fn attend(&mut self, request: Request) {
        match request {
            Request::List { answer } => {
                if answer.send(self.list()).is_err() {
                    tracing::debug!("nobody waits for the list any more");
                }
            }
            Request::Holders { answer } => {
                if answer.send(self.holders()).is_err() {
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
        let mut slots = match self.slots_of(credential, consumer) {
            Ok(slots) => slots,
            Err(refusal) => return refuse(answer, refusal),
        };
        // What a change of the configuration has replaced is being given back.
        slots.retain(|slot| self.at(*slot).is_some_and(|it| !it.dismissed));
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
        if *target == Target::Instance {
            self.renew_anchors();
        }
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
                let mut held = self.engine.view().into_iter();
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

    /// Has every anchor replaced: whatever hangs on one unknown ends with it.
    fn renew_anchors(&mut self) {
        let providers: Vec<ProviderId> = self.by_name.values().copied().collect();
        for provider in providers {
            self.step(Event::AnchorRotationAsked { provider }, None);
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
            || self
                .families
                .values()
                .any(|(it, _)| it.credential() == name)
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
    ) -> Vec<(Place, Revocation)> {
        let meant =
            |it: &View| slots.contains(&it.slot) && number.is_none_or(|number| it.number == number);
        let expected = |it: View| {
            let credential = self.at(it.slot)?;
            let revocation = Revocation {
                credential: credential.handle.credential().clone(),
                consumer: credential.handle.consumer().cloned(),
                generation: it.number,
                lease_id: it.lease_id?,
                outcome: RevocationOutcome::TimedOut,
                took: Duration::ZERO,
            };
            Some((credential.place, revocation))
        };
        let held = self.engine.view().into_iter().filter(meant);
        held.filter_map(expected).collect()
    }

    fn list(&self) -> Vec<LeaseView> {
        let now = self.now();
        let views = self.engine.view().into_iter();
        let mut list: Vec<_> = views.filter_map(|it| self.line(now, it)).collect();
        list.sort_by(|a, b| {
            let key = |it: &LeaseView| (it.credential.clone(), it.consumer.clone(), it.generation);
            key(a).cmp(&key(b))
        });
        list
    }

    fn holders(&self) -> Vec<HolderStatus> {
        let now = self.now();
        let named = |it: HolderView| {
            let (provider, _) = self.caller(it.provider)?;
            Some(HolderStatus {
                provider: provider.clone(),
                holder: it.holder,
                state: it.state,
                lasts: report::left(now, it.deadline),
            })
        };
        self.engine
            .holders()
            .into_iter()
            .filter_map(named)
            .collect()
    }

    fn line(&self, now: BootTime, view: View) -> Option<LeaseView> {
        let credential = self.at(view.slot)?;
        let (provider, _) = self.provider_of(credential)?;
        let active = credential.handle.active();
        let active = active.filter(|it| it.number() == view.number);
        let provenance = active.as_ref().map(|it| it.provenance());
        let is_planned = view.next != BootTime::NEVER;
        Some(LeaseView {
            provider: provider.clone(),
            credential: credential.handle.credential().clone(),
            consumer: credential.handle.consumer().cloned(),
            generation: view.number,
            state: state_of(view.stage),
            lease_id: view.lease_id,
            version: provenance.and_then(|it| it.version),
            fingerprint: provenance.map(|it| it.fingerprint),
            holder: view.holder,
            granted: view.granted,
            usable_for: report::left(now, view.deadline),
            holder_lasts: report::left(now, view.of_holder),
            next: is_planned.then(|| view.next.since(now)),
            suspect: view.suspect,
        })
    }

    pub(super) fn each(&self) -> impl Iterator<Item = &Credential<P>> {
        self.credentials.iter().flatten()
    }
}

pub(super) const fn state_of(stage: Stage) -> LeaseState {
    match stage {
        Stage::Active => LeaseState::Active,
        Stage::Draining => LeaseState::Draining,
        Stage::Revoking => LeaseState::Revoking,
        Stage::Irrevocable => LeaseState::Irrevocable,
    }
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
        took: Duration::ZERO,
    }
}

fn refuse<T>(answer: Answer<T>, refusal: ControlError) {
    if answer.send(Err(refusal)).is_err() {
        tracing::debug!("nobody waits for the refusal any more");
    }
}
