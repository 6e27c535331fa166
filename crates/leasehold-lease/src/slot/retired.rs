use std::time::Duration;

use leasehold_model::{BootTime, GenerationNumber, LeaseId, SessionEpoch};

use crate::schedule::Grant;

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
    Draining { until: BootTime },
    RevokeAt(BootTime),
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
        let Grant { t_send, ttl } = self.lease.grant;
        t_send.after(ttl).after(CLAIM_AFTER)
    }

    pub(super) fn has_run_out(&self, now: BootTime) -> bool {
        self.stage != Stage::Revoking && self.claimed_at() <= now
    }
}

/// A lease, the session that it dies with, and its latest grant.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) lease_id: LeaseId,
    pub(super) epoch: SessionEpoch,
    pub(super) grant: Grant,
}

const CLAIM_AFTER: Duration = Duration::from_secs(10);
