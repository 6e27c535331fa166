use std::time::Duration;

use leasehold_model::{BootTime, GenerationNumber};

use super::retired::Lease;
use crate::schedule::Grant;
use crate::site::Site;
use crate::succession::Renewal;

/// The generation that is served.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) number: GenerationNumber,
    /// The deadline that readers were last told.
    pub(super) deadline: BootTime,
    pub(super) hold: Hold,
}

/// On what terms a generation is held.
#[derive(Debug)]
pub(super) enum Hold {
    Leased {
        lease: Lease,
        /// What a renewal is measured by: the first grant, or a later one that has become the rule.
        expected: Duration,
        /// A grant that was shorter than that, with no word of a maximum life.
        shorter: Option<Duration>,
        renewal: Renewal,
        failures: u32,
    },
    Certificate {
        grant: Grant,
    },
    Stored {
        /// A greater one is newer.
        revision: u64,
        /// Until when the provider's last word holds: the time of that word, or of the change that it
        /// announced.
        holds_until: BootTime,
        max_stale: Duration,
        /// Looks that found an announced change not made yet.
        looks: u32,
    },
}

impl Hold {
    /// Returns when the generation must no longer be used: the earliest end in the chain of what it
    /// hangs on.
    pub(super) fn deadline(&self, site: &Site) -> BootTime {
        match self {
            Self::Leased { lease, .. } => lease.grant.deadline().min(site.deadline(lease.holder)),
            Self::Certificate { grant } => grant.deadline(),
            Self::Stored {
                holds_until,
                max_stale,
                ..
            } => holds_until.after(*max_stale),
        }
    }

    /// Returns when a successor must be asked for whatever is hoped for.
    pub(super) fn urgent_at(&self) -> Option<BootTime> {
        match self {
            Self::Leased {
                lease, expected, ..
            } => Some(lease.grant.urgent_at(*expected)),
            Self::Certificate { grant } => Some(grant.urgent_at(grant.ttl)),
            Self::Stored { .. } => None,
        }
    }

    pub(super) const fn lease(&self) -> Option<&Lease> {
        match self {
            Self::Leased { lease, .. } => Some(lease),
            Self::Certificate { .. } | Self::Stored { .. } => None,
        }
    }
}
