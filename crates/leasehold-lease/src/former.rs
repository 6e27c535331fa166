//! What earlier processes of this instance left at a provider: leases, and what they hung on.

use fastrand::Rng;
use leasehold_model::{Accessor, BootTime, Failure, LeaseId};

use crate::governor::{Governor, Rank, Work};
use crate::schedule;

/// Leases and holders of earlier processes, to be given back once the new leases serve.
///
/// Leases go one by one and by name: ending what they hang on would revoke them in bulk, which stalls
/// the provider for everybody. Holders go when no lease is left; what hung on them unknown goes along.
#[derive(Debug, Default)]
pub(crate) struct Former {
    orphans: Vec<Inherited<LeaseId>>,
    holders: Vec<Inherited<Accessor>>,
    /// When to begin, whether the new leases serve or not; not before there is a session.
    begin_at: Option<BootTime>,
    begun: bool,
    stopped: bool,
}

#[derive(Debug)]
struct Inherited<T> {
    id: T,
    /// When to stop trying.
    until: BootTime,
    stage: Stage,
    failures: u32,
    /// A person has been told that it can't be revoked.
    told: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    At(BootTime),
    Queued,
    InFlight,
    Gone,
}

impl Former {
    pub(crate) fn adopt_orphan(&mut self, lease_id: LeaseId, runs_out: BootTime, now: BootTime) {
        let until = runs_out.after(schedule::CLAIM_AFTER);
        self.orphans.push(Inherited::new(lease_id, until, now));
    }

    pub(crate) fn adopt_holder(&mut self, accessor: Accessor, now: BootTime) {
        let until = BootTime::NEVER;
        self.holders.push(Inherited::new(accessor, until, now));
    }

    /// Returns how many leases are still to be given back.
    pub(crate) fn orphans(&self) -> usize {
        self.orphans.iter().filter(|it| !it.is_gone()).count()
    }

    /// Tells whether nothing is left to be given back.
    pub(crate) fn is_over(&self) -> bool {
        self.orphans() == 0 && self.holders.iter().all(Inherited::is_gone)
    }

    /// Says that calls can be made, and whether every credential is served.
    pub(crate) fn consider(&mut self, now: BootTime, all_served: bool) {
        let at = *self
            .begin_at
            .get_or_insert(now.after(schedule::ORPHANS_WAIT));
        self.begun |= all_served || at <= now;
    }

    /// Lets what is due wait for its turn. Returns a lease that has run out, if any; call again then.
    pub(crate) fn fire(&mut self, now: BootTime, governor: &mut Governor) -> Option<LeaseId> {
        let ran_out = |it: &&mut Inherited<LeaseId>| {
            it.until <= now && matches!(it.stage, Stage::At(_) | Stage::Queued)
        };
        if let Some(orphan) = self.orphans.iter_mut().find(ran_out) {
            orphan.stage = Stage::Gone;
            return Some(orphan.id.clone());
        }
        if !self.begun || self.stopped {
            return None;
        }
        for (place, orphan) in self.orphans.iter_mut().enumerate() {
            orphan.queue(now, governor, Work::Orphan(place));
        }
        if self.orphans() == 0 {
            for (place, holder) in self.holders.iter_mut().enumerate() {
                holder.queue(now, governor, Work::Former(place));
            }
        }
        None
    }

    /// Returns the lease whose turn has come, where it is still to be revoked.
    pub(crate) fn release_orphan(&mut self, place: usize) -> Option<LeaseId> {
        // What waited for its turn when we stopped must not take that of our own leases.
        let going_on = !self.stopped;
        self.orphans.get_mut(place).filter(|_| going_on)?.release()
    }

    /// Returns the holder whose turn has come, where it is still to be ended.
    pub(crate) fn release_holder(&mut self, place: usize) -> Option<Accessor> {
        let going_on = !self.stopped;
        self.holders.get_mut(place).filter(|_| going_on)?.release()
    }

    pub(crate) fn orphan_revoked(&mut self, lease_id: &LeaseId) {
        if let Some(orphan) = self.orphans.iter_mut().find(|it| it.id == *lease_id) {
            orphan.stage = Stage::Gone;
        }
    }

    /// Takes in that a lease could not be revoked. Tells whether a person should know.
    pub(crate) fn orphan_failed(
        &mut self,
        now: BootTime,
        lease_id: &LeaseId,
        failure: Failure,
        rng: &mut Rng,
    ) -> bool {
        let Some(orphan) = self.orphans.iter_mut().find(|it| it.id == *lease_id) else {
            return false;
        };
        orphan.failed(now, failure, rng)
    }

    pub(crate) fn holder_ended(&mut self, accessor: &Accessor) {
        if let Some(holder) = self.holders.iter_mut().find(|it| it.id == *accessor) {
            holder.stage = Stage::Gone;
        }
    }

    pub(crate) fn holder_failed(
        &mut self,
        now: BootTime,
        accessor: &Accessor,
        failure: Failure,
        rng: &mut Rng,
    ) {
        if let Some(holder) = self.holders.iter_mut().find(|it| it.id == *accessor) {
            // One that may not be ended is left to run out; it stays in the ledger.
            if failure.may_pass() || failure == Failure::SessionDead {
                holder.failed(now, failure, rng);
            } else {
                holder.stage = Stage::Gone;
            }
        }
    }

    /// Asks for nothing more: what is left stays in the ledger for the next process.
    pub(crate) const fn stop(&mut self) {
        self.stopped = true;
    }

    /// Returns when there is something to do. Without a session in which to make calls that is only to
    /// see leases run out.
    pub(crate) fn wake(&self, calls: bool) -> BootTime {
        let mut wake = BootTime::NEVER;
        for orphan in &self.orphans {
            if matches!(orphan.stage, Stage::At(_) | Stage::Queued) {
                wake = wake.min(orphan.until);
            }
        }
        if self.stopped || !calls {
            return wake;
        }
        if !self.begun {
            let waits = self.orphans() > 0 || self.holders.iter().any(|it| !it.is_gone());
            return match self.begin_at {
                Some(at) if waits => wake.min(at),
                Some(_) | None => wake,
            };
        }
        let orphans = self.orphans.iter().map(Inherited::wake);
        wake = orphans.fold(wake, BootTime::min);
        if self.orphans() == 0 {
            let holders = self.holders.iter().map(Inherited::wake);
            wake = holders.fold(wake, BootTime::min);
        }
        wake
    }
}

impl<T: Clone> Inherited<T> {
    const fn new(id: T, until: BootTime, now: BootTime) -> Self {
        Self {
            id,
            until,
            stage: Stage::At(now),
            failures: 0,
            told: false,
        }
    }

    fn is_gone(&self) -> bool {
        self.stage == Stage::Gone
    }

    fn queue(&mut self, now: BootTime, governor: &mut Governor, work: Work) {
        if matches!(self.stage, Stage::At(at) if at <= now) {
            self.stage = Stage::Queued;
            governor.enqueue(Rank::Revocation, self.until, work);
        }
    }

    fn release(&mut self) -> Option<T> {
        if self.stage != Stage::Queued {
            return None;
        }
        self.stage = Stage::InFlight;
        Some(self.id.clone())
    }

    fn failed(&mut self, now: BootTime, failure: Failure, rng: &mut Rng) -> bool {
        if failure == Failure::LeaseGone {
            self.stage = Stage::Gone;
            return false;
        }
        self.stage = Stage::At(schedule::retry_at(now, failure, self.failures, rng));
        self.failures = self.failures.saturating_add(1);
        let news = schedule::needs_a_person(failure) && !self.told;
        self.told |= news;
        news
    }

    const fn wake(&self) -> BootTime {
        match self.stage {
            Stage::At(at) => at,
            Stage::Queued | Stage::InFlight | Stage::Gone => BootTime::NEVER,
        }
    }
}
