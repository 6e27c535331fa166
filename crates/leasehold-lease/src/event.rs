use std::time::Duration;

use leasehold_model::{
    Accessor, AnchorEpoch, BootTime, Failure, GenerationNumber, Holder, LeaseId, SessionEpoch,
};

use crate::{ProviderId, SlotId};

/// What a login, an anchor, or the renewal of either was granted.
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
    /// As a password between two changes.
    Rotating {
        /// Tells passwords apart; a greater one is newer.
        rotation: u64,
        /// How long after the request was sent the next change is due.
        next: Duration,
    },
    /// As a certificate or an access token.
    Certificate {
        /// How long it is valid from when the request was sent.
        ttl: Duration,
    },
    /// As a stored value without versions.
    Hinted {
        /// How soon the provider suggests to read it again; zero where it suggests nothing.
        refresh: Duration,
        /// Whether it differs from the active generation.
        changed: bool,
    },
}

/// What happened. Most events answer one [`crate::Action`]; `t_send` is the time just before the request
/// went out.
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
        /// What was asked with.
        holder: Holder,
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
    /// An anchor was made.
    AnchorMinted {
        /// The provider.
        provider: ProviderId,
        /// The anchor.
        anchor: AnchorEpoch,
        /// When the request went out.
        t_send: BootTime,
        /// What was granted.
        terms: SessionTerms,
    },
    /// An anchor could not be made.
    AnchorMintFailed {
        /// The provider.
        provider: ProviderId,
        /// The anchor that did not come to be.
        anchor: AnchorEpoch,
        /// The session that was asked in.
        epoch: SessionEpoch,
        /// What the refusal means.
        failure: Failure,
    },
    /// An anchor was prolonged.
    AnchorRenewed {
        /// The provider.
        provider: ProviderId,
        /// The anchor.
        anchor: AnchorEpoch,
        /// When the request went out.
        t_send: BootTime,
        /// What was granted.
        terms: SessionTerms,
    },
    /// An anchor could not be prolonged. [`Failure::LeaseGone`] says that it is dead.
    AnchorRenewFailed {
        /// The provider.
        provider: ProviderId,
        /// The anchor.
        anchor: AnchorEpoch,
        /// The session that was asked in.
        epoch: SessionEpoch,
        /// What the refusal means.
        failure: Failure,
    },
    /// An anchor was ended.
    AnchorRevoked {
        /// The provider.
        provider: ProviderId,
        /// The anchor.
        anchor: AnchorEpoch,
    },
    /// An anchor could not be ended.
    AnchorRevokeFailed {
        /// The provider.
        provider: ProviderId,
        /// The anchor.
        anchor: AnchorEpoch,
        /// The session that was asked in.
        epoch: SessionEpoch,
        /// What the refusal means.
        failure: Failure,
    },
    /// The provider confirmed that a lease of an earlier process is revoked.
    OrphanRevoked {
        /// The provider.
        provider: ProviderId,
        /// The lease.
        lease_id: LeaseId,
    },
    /// A lease of an earlier process could not be revoked.
    OrphanRevokeFailed {
        /// The provider.
        provider: ProviderId,
        /// The lease.
        lease_id: LeaseId,
        /// The session that was asked in.
        epoch: SessionEpoch,
        /// What the refusal means.
        failure: Failure,
    },
    /// A session or an anchor of an earlier process was ended.
    FormerRevoked {
        /// The provider.
        provider: ProviderId,
        /// What it is known by.
        accessor: Accessor,
    },
    /// A session or an anchor of an earlier process could not be ended.
    FormerRevokeFailed {
        /// The provider.
        provider: ProviderId,
        /// What it is known by.
        accessor: Accessor,
        /// The session that was asked in.
        epoch: SessionEpoch,
        /// What the refusal means.
        failure: Failure,
    },
    /// An upstream refused what it was shown.
    Suspected {
        /// The credential.
        slot: SlotId,
        /// The generation that was refused.
        number: GenerationNumber,
    },
    /// A person asks for a successor of the active generation.
    RotationAsked {
        /// The credential.
        slot: SlotId,
    },
    /// What the credential is derived from has a successor: it is asked for anew, and served meanwhile.
    ParentSucceeded {
        /// The credential.
        slot: SlotId,
    },
    /// What the credential is derived from is served no more, and so it must not be either.
    ParentLost {
        /// The credential.
        slot: SlotId,
    },
    /// A person asks for the end of a generation, at once and whoever uses it.
    RevocationAsked {
        /// The credential.
        slot: SlotId,
        /// The generation; where there is none, all that the slot holds.
        number: Option<GenerationNumber>,
    },
    /// A person asks for a new anchor and for the end of the former one.
    AnchorRotationAsked {
        /// The provider.
        provider: ProviderId,
    },
    /// Nobody needs a credential any more that was declared while the gateway ran.
    Dismissed {
        /// The credential.
        slot: SlotId,
    },
    /// Nobody needs a provider any more: its credentials are dismissed, and once they have been given
    /// back it is logged out of.
    ProviderDismissed {
        /// The provider.
        provider: ProviderId,
    },
    /// Give everything back and stop.
    Shutdown,
}
