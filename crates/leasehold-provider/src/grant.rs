use std::time::Duration;

use leasehold_model::{LeaseId, RequestId};

use crate::Material;

/// What a login, or the renewal of a session, was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionGrant {
    /// How long the session lasts from the moment the request was sent. `None` for a provider that
    /// has no sessions to expire; a provider whose sessions should expire refuses one that does not.
    pub ttl: Option<Duration>,
    /// Whether the session can be prolonged at all.
    pub renewable: bool,
    /// Whether the provider said that it cut the grant short.
    pub capped: bool,
}

/// What the renewal of a lease was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseGrant {
    /// How long the lease lasts from the moment the request was sent.
    pub ttl: Duration,
    /// Whether the provider said that it cut the grant short.
    pub capped: bool,
}

/// On what terms a credential is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holding {
    /// On a lease.
    Leased {
        /// The lease.
        lease_id: LeaseId,
        /// How long it lasts from the moment the request was sent.
        ttl: Duration,
        /// Whether the provider says that it can be renewed. Says, since a lease at the end of its
        /// maximum life still claims to be renewable.
        renewable: bool,
    },
    /// As one version of a stored value.
    Versioned {
        /// The version; a greater one is newer.
        version: u64,
    },
}

/// One credential as a provider gave it.
#[derive(Debug)]
pub struct Fetched {
    /// The secret fields, all from one answer.
    pub material: Material,
    /// The terms.
    pub holding: Holding,
    /// The provider's own id of this call, to be found again in its log.
    pub request_id: Option<RequestId>,
    /// What the provider warned of; safe to log.
    pub warnings: Vec<String>,
}
