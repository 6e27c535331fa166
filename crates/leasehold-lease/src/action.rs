use leasehold_model::{BootTime, Failure, GenerationNumber, LeaseId, SessionEpoch};

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
    /// Fetch a candidate.
    Fetch {
        /// The credential.
        slot: SlotId,
        /// The number that the candidate gets.
        number: GenerationNumber,
        /// The session to ask in; a lease dies with the session that issued it.
        epoch: SessionEpoch,
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
}
