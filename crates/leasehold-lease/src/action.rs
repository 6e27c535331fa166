use leasehold_model::{
    Accessor, AnchorEpoch, BootTime, Failure, GenerationNumber, Holder, LeaseId, SessionEpoch,
};

use crate::{ProviderId, SlotId};

/// What is to be done. Calls to a provider are answered with an [`crate::Event`]; the rest is done
/// at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Log in.
    Login {
        /// The provider.
        provider: ProviderId,
        /// The number of the new session.
        epoch: SessionEpoch,
    },
    /// Prolong a session.
    RenewSession {
        /// The provider.
        provider: ProviderId,
        /// The session.
        epoch: SessionEpoch,
    },
    /// End a session that nothing hangs on any more.
    RevokeSession {
        /// The provider.
        provider: ProviderId,
        /// The session.
        epoch: SessionEpoch,
    },
    /// Make an anchor.
    MintAnchor {
        /// The provider.
        provider: ProviderId,
        /// The session to ask in.
        epoch: SessionEpoch,
        /// The number of the new anchor.
        anchor: AnchorEpoch,
    },
    /// Prolong an anchor.
    RenewAnchor {
        /// The provider.
        provider: ProviderId,
        /// The session to ask in.
        epoch: SessionEpoch,
        /// The anchor.
        anchor: AnchorEpoch,
    },
    /// End an anchor that nothing hangs on any more.
    RevokeAnchor {
        /// The provider.
        provider: ProviderId,
        /// The session to ask in.
        epoch: SessionEpoch,
        /// The anchor.
        anchor: AnchorEpoch,
    },
    /// Revoke a lease of an earlier process and wait until its credential is dead.
    RevokeOrphan {
        /// The provider.
        provider: ProviderId,
        /// The session to ask in.
        epoch: SessionEpoch,
        /// The lease.
        lease_id: LeaseId,
    },
    /// End a session or an anchor of an earlier process.
    RevokeFormer {
        /// The provider.
        provider: ProviderId,
        /// The session to ask in.
        epoch: SessionEpoch,
        /// What it is known by.
        accessor: Accessor,
    },
    /// Fetch a candidate.
    Fetch {
        /// The credential.
        slot: SlotId,
        /// The number that the candidate gets.
        number: GenerationNumber,
        /// What to ask with; a lease dies with what issued it.
        holder: Holder,
    },
    /// Renew a lease.
    Renew {
        /// The credential.
        slot: SlotId,
        /// The generation.
        number: GenerationNumber,
        /// The session to ask in.
        epoch: SessionEpoch,
        /// The lease.
        lease_id: LeaseId,
    },
    /// Revoke a lease and wait until its credential is dead.
    Revoke {
        /// The credential.
        slot: SlotId,
        /// The generation.
        number: GenerationNumber,
        /// The session to ask in.
        epoch: SessionEpoch,
        /// The lease.
        lease_id: LeaseId,
    },
    /// Serve the fetched candidate from now on, in place of whatever was served.
    Activate {
        /// The credential.
        slot: SlotId,
        /// The candidate.
        number: GenerationNumber,
        /// When it must no longer be used.
        deadline: BootTime,
    },
    /// Drop the fetched candidate: the active generation is as new.
    Discard {
        /// The credential.
        slot: SlotId,
        /// The candidate.
        number: GenerationNumber,
    },
    /// Move the deadline of the active generation.
    Extend {
        /// The credential.
        slot: SlotId,
        /// The generation.
        number: GenerationNumber,
        /// When it must no longer be used.
        deadline: BootTime,
    },
    /// Serve nothing for this credential.
    Withdraw {
        /// The credential.
        slot: SlotId,
    },
    /// Forget a credential that was dismissed: everything of it has been given back, and its number may
    /// be given to another.
    Forget {
        /// The credential.
        slot: SlotId,
    },
    /// Forget a provider that was dismissed: nothing is held there any more. Its number is not given to
    /// another.
    ForgetProvider {
        /// The provider.
        provider: ProviderId,
    },
    /// Tell people.
    Notify(Notice),
}

/// What people should know about a credential. Nothing follows from it inside the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A successor is being fetched before the active generation ends.
    Rotating {
        /// The credential.
        slot: SlotId,
        /// The generation to be replaced.
        number: GenerationNumber,
    },
    /// The active generation reached its deadline or lost its lease with no successor at hand.
    Expired {
        /// The credential.
        slot: SlotId,
        /// The generation.
        number: GenerationNumber,
    },
    /// A replaced generation's lease is confirmed revoked.
    Revoked {
        /// The credential.
        slot: SlotId,
        /// The generation.
        number: GenerationNumber,
    },
    /// A lease ran out before its revocation was confirmed: the provider's word for it is missing.
    ExpiryClaimed {
        /// The credential.
        slot: SlotId,
        /// The generation.
        number: GenerationNumber,
    },
    /// A lease could not be revoked and needs a person. It is tried again until it runs out.
    Irrevocable {
        /// The credential.
        slot: SlotId,
        /// The generation.
        number: GenerationNumber,
        /// Why.
        failure: Failure,
    },
    /// An upstream refused a generation, and it is looked into.
    Suspect {
        /// The credential.
        slot: SlotId,
        /// The generation.
        number: GenerationNumber,
    },
    /// What an upstream refused is not replaced: it is as the provider has it, or another was asked for
    /// too short a time ago.
    SuspicionDismissed {
        /// The credential.
        slot: SlotId,
        /// The generation.
        number: GenerationNumber,
    },
    /// No anchor can be made: leases hang on the session until a person mends it.
    AnchorUnavailable {
        /// The provider.
        provider: ProviderId,
        /// Why.
        failure: Failure,
    },
    /// An anchor has a successor, and its leases move over.
    AnchorSucceeded {
        /// The provider.
        provider: ProviderId,
        /// The former anchor.
        anchor: AnchorEpoch,
    },
    /// An anchor is dead, and every lease that hung on it.
    AnchorLost {
        /// The provider.
        provider: ProviderId,
        /// The anchor.
        anchor: AnchorEpoch,
    },
    /// An anchor was ended with nothing left on it.
    AnchorEnded {
        /// The provider.
        provider: ProviderId,
        /// The anchor.
        anchor: AnchorEpoch,
    },
    /// A lease of an earlier process ran out before its revocation was confirmed.
    OrphanClaimed {
        /// The provider.
        provider: ProviderId,
        /// The lease.
        lease_id: LeaseId,
    },
    /// A lease of an earlier process could not be revoked and needs a person.
    OrphanIrrevocable {
        /// The provider.
        provider: ProviderId,
        /// The lease.
        lease_id: LeaseId,
        /// Why.
        failure: Failure,
    },
    /// A provider can't be reached: one call at a time finds out when it can be again.
    CircuitOpened {
        /// The provider.
        provider: ProviderId,
    },
    /// A provider can be reached again.
    CircuitClosed {
        /// The provider.
        provider: ProviderId,
    },
}
