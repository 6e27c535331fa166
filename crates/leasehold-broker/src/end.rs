use leasehold_model::{CredentialName, GenerationNumber, LeaseId};

/// What the broker could not give back before it had to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Leases known by name.
    pub leases: Vec<Leftover>,
    /// Calls that had no answer yet: an issue among them may still bring a credential to life.
    pub unanswered: usize,
    /// Sessions and anchors that have not been ended: they run out by themselves, and what hangs on
    /// them too.
    pub sessions: usize,
    /// Leases of earlier processes that could not be given back yet; they stay in the ledger.
    pub orphans: usize,
}

impl End {
    /// Tells whether nothing was left behind.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

/// A lease that could not be given back before the broker had to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The credential.
    pub credential: CredentialName,
    /// The generation.
    pub generation: GenerationNumber,
    /// The lease, to be revoked by hand.
    pub lease_id: LeaseId,
}
