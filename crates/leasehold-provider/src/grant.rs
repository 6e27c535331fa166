use std::time::Duration;

use leasehold_model::{Accessor, LeaseId, RequestId};

use crate::Material;

/// What a login, the renewal of a session, or an anchor was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionGrant {
    /// How long the session lasts from the moment the request was sent. `None` for a provider that
    /// has no sessions to expire; a provider whose sessions should expire refuses one that does not.
    pub ttl: Option<Duration>,
    /// Whether the session can be prolonged at all.
    pub renewable: bool,
    /// Whether the provider said that it cut the grant short.
    pub capped: bool,
    /// By what it can be found again at the provider, where the provider has such a thing.
    pub accessor: Option<Accessor>,
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
    /// As the account's password between two changes of it.
    Rotating {
        /// When the provider changed it last, as a number; a greater one is newer.
        rotation: u64,
        /// How long after the request was sent the next change is due.
        next: Duration,
    },
    /// As a certificate.
    Certificate {
        /// How long it is valid from the moment the request was sent.
        ttl: Duration,
        /// Its serial number, as the provider's log has it.
        serial: String,
    },
    /// As an access token that is left to run out.
    Token {
        /// How long it is valid from the moment the request was sent.
        ttl: Duration,
    },
    /// As a stored value without a version.
    Hinted {
        /// How soon the provider suggests to read it again; zero where it suggests nothing.
        refresh: Duration,
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
