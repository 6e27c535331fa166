use std::time::Duration;

use leasehold_model::{BootTime, Failure, GenerationNumber, LeaseId, SessionEpoch};

use crate::{ProviderId, SlotId};

/// What a login, or the renewal of a session, was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionTerms {
    /// How long the session lasts from when the request was sent; `None` where it has no end.
    pub ttl: Option<Duration>,
    /// Whether it can be prolonged at all.
    pub renewable: bool,
    /// Whether the provider said that it cut the grant short.
    pub capped: bool,
}

/// On what terms a fetched credential is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Terms {
    /// On a lease.
    Leased {
        /// The lease.
        lease_id: LeaseId,
        /// How long it lasts from when the request was sent.
        ttl: Duration,
        /// Whether the provider says that it can be renewed.
        renewable: bool,
    },
    /// As a version of a stored value.
    Versioned {
        /// The version; a greater one is newer.
        version: u64,
    },
}

/// What happened. Each event but [`Event::Tick`] and [`Event::Shutdown`] answers one
/// [`crate::Action`]; `t_send` is the time just before the request went out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Time has passed and nothing else.
    Tick,
    /// A login succeeded.
    LoggedIn {
        /// The provider.
        provider: ProviderId,
        /// The session.
        epoch: SessionEpoch,
        /// When the request went out.
        t_send: BootTime,
        /// What was granted.
        terms: SessionTerms,
    },
    /// A login failed.
    LoginFailed {
        /// The provider.
        provider: ProviderId,
        /// The session that did not come to be.
        epoch: SessionEpoch,
        /// What the refusal means.
        failure: Failure,
    },
    /// A session was prolonged.
    SessionRenewed {
        /// The provider.
        provider: ProviderId,
        /// The session.
        epoch: SessionEpoch,
        /// When the request went out.
        t_send: BootTime,
        /// What was granted.
        terms: SessionTerms,
    },
    /// A session could not be prolonged.
    SessionRenewFailed {
        /// The provider.
        provider: ProviderId,
        /// The session.
        epoch: SessionEpoch,
        /// What the refusal means.
        failure: Failure,
    },
    /// A session could not be ended.
    SessionEndFailed {
        /// The provider.
        provider: ProviderId,
        /// The session.
        epoch: SessionEpoch,
        /// What the refusal means.
        failure: Failure,
    },
    /// A session was ended.
    SessionEnded {
        /// The provider.
        provider: ProviderId,
        /// The session.
        epoch: SessionEpoch,
    },
    /// A candidate was fetched and can be injected.
    Fetched {
        /// The credential.
        slot: SlotId,
        /// The candidate.
        number: GenerationNumber,
        /// When the request went out.
        t_send: BootTime,
        /// Its terms.
        terms: Terms,
    },
    /// A candidate was fetched and cannot be injected as declared: a field is missing, say.
    Unusable {
        /// The credential.
        slot: SlotId,
        /// The candidate.
        number: GenerationNumber,
        /// When the request went out.
        t_send: BootTime,
        /// Its terms.
        terms: Terms,
    },
    /// No candidate could be fetched.
    FetchFailed {
        /// The credential.
        slot: SlotId,
        /// The candidate that did not come to be.
        number: GenerationNumber,
        /// The session that was asked in.
        epoch: SessionEpoch,
        /// What the refusal means.
        failure: Failure,
    },
    /// A lease was renewed.
    Renewed {
        /// The credential.
        slot: SlotId,
        /// The generation.
        number: GenerationNumber,
        /// When the request went out.
        t_send: BootTime,
        /// What was granted.
        ttl: Duration,
        /// Whether the provider said that it cut the grant short.
        capped: bool,
    },
    /// A lease could not be renewed.
    RenewFailed {
        /// The credential.
        slot: SlotId,
        /// The generation.
        number: GenerationNumber,
        /// The session that was asked in.
        epoch: SessionEpoch,
        /// What the refusal means.
        failure: Failure,
    },
    /// No request uses a retired generation any more.
    Drained {
        /// The credential.
        slot: SlotId,
        /// The generation.
        number: GenerationNumber,
    },
    /// The provider confirmed that a lease is revoked.
    Revoked {
        /// The credential.
        slot: SlotId,
        /// The generation.
        number: GenerationNumber,
    },
    /// A lease could not be revoked.
    RevokeFailed {
        /// The credential.
        slot: SlotId,
        /// The generation.
        number: GenerationNumber,
        /// The session that was asked in.
        epoch: SessionEpoch,
        /// What the refusal means.
        failure: Failure,
    },
    /// Give everything back and stop.
    Shutdown,
}
