use leasehold_model::{BootTime, GenerationNumber, Holder, LeaseId};

use crate::schedule::{self, Grant};

/// A replaced generation whose lease is still to be given back.
#[derive(Debug)]
pub(super) struct Retired {
    pub(super) number: GenerationNumber,
    pub(super) lease: Lease,
    pub(super) stage: Stage,
    pub(super) failures: u32,
    pub(super) irrevocable: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Draining {
        until: BootTime,
    },
    RevokeAt(BootTime),
    /// Due, and waiting for its turn.
    Queued,
    Revoking,
}

impl Retired {
    pub(super) const fn new(number: GenerationNumber, lease: Lease, stage: Stage) -> Self {
        Self {
            number,
            lease,
            stage,
            failures: 0,
            irrevocable: false,
        }
    }

    /// Returns when to stop trying: the lease has run out, and the provider has had time to see it.
    pub(super) fn claimed_at(&self) -> BootTime {
        self.lease.runs_out().after(schedule::CLAIM_AFTER)
    }

    pub(super) fn has_run_out(&self, now: BootTime) -> bool {
        self.stage != Stage::Revoking && self.claimed_at() <= now
    }

    /// Takes in a renewal that was answered after the lease was replaced: it lives for longer all the same.
    pub(super) fn prolonged(&mut self, granted: Grant) {
        if granted.deadline() > self.lease.grant.deadline() {
            self.lease.grant = granted;
        }
    }

    /// Revokes it at once, whoever still uses it.
    pub(super) fn hasten(&mut self, now: BootTime) {
        if matches!(self.stage, Stage::Draining { .. } | Stage::RevokeAt(_)) {
            self.stage = Stage::RevokeAt(now);
        }
    }
}

/// A lease, what it dies with, and its latest grant.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) lease_id: LeaseId,
    pub(super) holder: Holder,
    pub(super) grant: Grant,
}

impl Lease {
    /// Returns when the lease itself runs out at the provider.
    pub(super) fn runs_out(&self) -> BootTime {
        self.grant.t_send.after(self.grant.ttl)
    }
}
