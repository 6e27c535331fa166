//! Who waits for the outcome of what.

use std::time::Duration;

use leasehold_lease::Notice;
use leasehold_model::{BootTime, Failure, GenerationNumber};

use crate::control::{Answer, Revocation, RevocationOutcome, Rotation, RotationOutcome};
use crate::generation::Generation;
use crate::link::Place;

/// The operators' requests that are not answered yet.
#[derive(Default)]
pub(in crate::broker) struct Waits {
    rotations: Vec<Wait<Rotation>>,
    revocations: Vec<Wait<Revocation>>,
}

impl Waits {
    pub(super) fn await_rotations(
        &mut self,
        now: BootTime,
        expected: Vec<(Place, Rotation)>,
        answer: Answer<Rotation>,
    ) {
        let wait = Wait::new(now, expected, answer);
        self.rotations.extend(wait.unanswered());
    }

    pub(super) fn await_revocations(
        &mut self,
        now: BootTime,
        expected: Vec<(Place, Revocation)>,
        answer: Answer<Revocation>,
    ) {
        let wait = Wait::new(now, expected, answer);
        self.revocations.extend(wait.unanswered());
    }

    /// Returns when the first wait has been long enough.
    pub(in crate::broker) fn until(&self) -> BootTime {
        let rotations = self.rotations.iter().map(|it| it.until);
        let revocations = self.revocations.iter().map(|it| it.until);
        let all = rotations.chain(revocations);
        all.fold(BootTime::NEVER, BootTime::min)
    }

    /// Answers those that have waited for long enough.
    pub(in crate::broker) fn give_up(&mut self, now: BootTime) {
        time_out(&mut self.rotations, now);
        time_out(&mut self.revocations, now);
    }

    pub(in crate::broker) fn activated<P>(
        &mut self,
        now: BootTime,
        place: Place,
        active: &Generation<P>,
    ) {
        self.rotated(now, place, |it| {
            it.generation = Some(active.number());
            it.lease_id.clone_from(&active.provenance().lease_id);
            it.outcome = RotationOutcome::Rotated;
        });
    }

    pub(in crate::broker) fn unchanged(&mut self, now: BootTime, place: Place) {
        self.rotated(now, place, |it| it.outcome = RotationOutcome::Unchanged);
    }

    pub(in crate::broker) fn failed(&mut self, now: BootTime, place: Place, failure: Failure) {
        self.rotated(now, place, |it| {
            it.outcome = RotationOutcome::Failed(failure);
        });
    }

    pub(in crate::broker) fn noticed(&mut self, now: BootTime, place: Place, notice: &Notice) {
        let (number, outcome) = match notice {
            Notice::Revoked { number, .. } => (*number, RevocationOutcome::Revoked),
            Notice::ExpiryClaimed { number, .. } => (*number, RevocationOutcome::ExpiryClaimed),
            Notice::Irrevocable { number, .. } => (*number, RevocationOutcome::Irrevocable),
            _ => return,
        };
        self.revoked(now, place, number, outcome);
    }

    /// Takes in how the revocation of a generation went.
    pub(in crate::broker) fn revoked(
        &mut self,
        now: BootTime,
        place: Place,
        number: GenerationNumber,
        outcome: RevocationOutcome,
    ) {
        for wait in &mut self.revocations {
            let meant = |at: Place, it: &Revocation| at == place && it.generation == number;
            wait.conclude(now, meant, |it| it.outcome = outcome);
        }
        answer_if(&mut self.revocations, |it| it.expected == 0);
    }

    fn rotated(&mut self, now: BootTime, place: Place, become_of: impl Fn(&mut Rotation)) {
        for wait in &mut self.rotations {
            wait.conclude(now, |at, _| at == place, &become_of);
        }
        answer_if(&mut self.rotations, |it| it.expected == 0);
    }
}

/// One request that is not answered yet.
struct Wait<T> {
    since: BootTime,
    until: BootTime,
    /// The parts of the answer; the place of those whose outcome is still to come.
    parts: Vec<(Option<Place>, T)>,
    expected: usize,
    answer: Answer<T>,
}

impl<T: Part> Wait<T> {
    fn new(now: BootTime, expected: Vec<(Place, T)>, answer: Answer<T>) -> Self {
        let parts = expected.into_iter().map(|(at, it)| (Some(at), it));
        let parts: Vec<_> = parts.collect();
        Self {
            since: now,
            until: now.after(LONGEST_WAIT),
            expected: parts.len(),
            parts,
            answer,
        }
    }

    /// Answers at once where there is nothing to wait for.
    fn unanswered(self) -> Option<Self> {
        if self.expected > 0 {
            return Some(self);
        }
        self.finish();
        None
    }

    fn conclude(
        &mut self,
        now: BootTime,
        meant: impl Fn(Place, &T) -> bool,
        note: impl Fn(&mut T),
    ) {
        for (place, part) in &mut self.parts {
            if place.is_some_and(|at| meant(at, part)) {
                note(part);
                part.took(now.since(self.since));
                *place = None;
                self.expected = self.expected.saturating_sub(1);
            }
        }
    }

    fn finish(self) {
        let parts = self.parts.into_iter().map(|(_, it)| it).collect();
        if self.answer.send(Ok(parts)).is_err() {
            tracing::debug!("nobody waits for the outcome any more");
        }
    }
}

fn answer_if<T: Part>(waits: &mut Vec<Wait<T>>, is_over: impl Fn(&Wait<T>) -> bool) {
    let is_over = |it: &mut Wait<T>| is_over(it) || it.answer.is_closed();
    waits.extract_if(.., is_over).for_each(Wait::finish);
}

/// Gives up those that have waited for long enough: what has no outcome by then is told so.
fn time_out<T: Part>(waits: &mut Vec<Wait<T>>, now: BootTime) {
    for wait in waits.iter_mut().filter(|it| now >= it.until) {
        wait.conclude(now, |_, _| true, |_| {});
    }
    answer_if(waits, |it| it.expected == 0);
}

/// One part of an answer, which says that its time is over until it has another outcome.
trait Part {
    /// Notes how long it took.
    fn took(&mut self, span: Duration);
}

impl Part for Rotation {
    fn took(&mut self, span: Duration) {
        self.took = span;
    }
}

impl Part for Revocation {
    fn took(&mut self, span: Duration) {
        self.took = span;
    }
}

/// An operator waits at a terminal.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
