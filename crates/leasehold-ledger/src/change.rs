use std::time::SystemTime;

use leasehold_model::{
    Accessor, ConsumerName, CredentialName, GenerationNumber, LeaseId, ProviderName, SessionEpoch,
};
use serde::{Deserialize, Serialize};

/// Numbers the intents of one incarnation; drawn by whoever writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IntentId(pub u64);

/// Says what happened at one provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The provider.
    pub provider: ProviderName,
    /// What happened there.
    pub event: Event,
}

/// Says what happened.
///
/// Sessions, anchors and leases are named by what the provider calls them, so that those of a former
/// incarnation are ended by the same events as one's own. What names something that is not in the
/// ledger changes nothing but [`Totals::unmatched`](crate::Totals::unmatched).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A login was answered.
    SessionOpened {
        /// Which login it is.
        epoch: SessionEpoch,
        /// Its token's accessor.
        accessor: Accessor,
        /// When it was answered.
        logged_in_at: SystemTime,
        /// When its token ends at the latest.
        deadline: SystemTime,
    },
    /// A session was revoked, or was found to have ended.
    SessionEnded {
        /// Its token's accessor.
        accessor: Accessor,
    },
    /// An anchor was minted.
    AnchorMinted {
        /// The login it belongs to.
        epoch: SessionEpoch,
        /// Its token's accessor.
        accessor: Accessor,
        /// When its token ends unless it is renewed.
        deadline: SystemTime,
    },
    /// An anchor's token was renewed.
    AnchorRenewed {
        /// Its token's accessor.
        accessor: Accessor,
        /// When it ends now unless it is renewed again.
        deadline: SystemTime,
    },
    /// An anchor is no more.
    AnchorEnded {
        /// Its token's accessor.
        accessor: Accessor,
        /// How it ended.
        end: AnchorEnd,
    },
    /// A credential is about to be asked for; on disk before the call.
    IntentWritten {
        /// The number of the intent, of no other in this incarnation.
        id: IntentId,
        /// The credential asked for.
        credential: CredentialName,
        /// The consumer that it is asked for, where it is declared for each.
        consumer: Option<ConsumerName>,
        /// The generation that it is to become.
        generation: GenerationNumber,
        /// The accessor of the anchor or session that asks: what is issued dies with it.
        holder: Accessor,
        /// When it was written.
        at: SystemTime,
    },
    /// The provider issued what was asked for.
    IntentIssued {
        /// The intent.
        id: IntentId,
        /// The lease it became.
        lease_id: LeaseId,
        /// When the lease ends unless it is renewed.
        deadline: SystemTime,
    },
    /// The provider has certainly issued nothing.
    IntentFailed {
        /// The intent.
        id: IntentId,
    },
    /// The provider may have issued something that nobody knows the lease of.
    IntentMaybeLeaked {
        /// The intent, which counts as live until its holder has ended.
        id: IntentId,
    },
    /// The holder has ended, so that whatever hung on it has too: its intents are dropped.
    HolderEnded {
        /// The accessor of the anchor or session.
        holder: Accessor,
    },
    /// A lease was renewed.
    LeaseRenewed {
        /// The lease.
        lease_id: LeaseId,
        /// When it ends now unless it is renewed again.
        deadline: SystemTime,
    },
    /// A lease serves no longer and is to be revoked.
    LeaseRetired {
        /// The lease.
        lease_id: LeaseId,
    },
    /// The provider confirmed that it revoked the lease.
    LeaseRevoked {
        /// The lease.
        lease_id: LeaseId,
    },
    /// The lease ran out, or was found gone, before its revocation was confirmed.
    LeaseExpiryClaimed {
        /// The lease.
        lease_id: LeaseId,
    },
    /// The provider would not revoke the lease; it is tried again.
    LeaseIrrevocable {
        /// The lease.
        lease_id: LeaseId,
    },
}

/// How an anchor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnchorEnd {
    /// The provider confirmed its revocation.
    Revoked,
    /// It ran out, or was found gone.
    Lost,
}
