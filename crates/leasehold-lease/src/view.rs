//! What the engine holds, as people look at it.

use std::time::Duration;

use leasehold_model::{BootTime, GenerationNumber, Holder, LeaseId};

use crate::{ProviderId, SlotId};

/// One generation that is served, or whose lease is still to be given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The credential.
    pub slot: SlotId,
    /// The generation.
    pub number: GenerationNumber,
    /// Where it is in its life.
    pub stage: Stage,
    /// The lease, where it is held on one.
    pub lease_id: Option<LeaseId>,
    /// What the lease hangs on.
    pub holder: Option<Holder>,
    /// The latest grant.
    pub granted: Option<Duration>,
    /// When it must no longer be used: the earliest end in the chain of what it hangs on.
    pub deadline: BootTime,
    /// When what it hangs on ends; never, where it hangs on nothing.
    pub of_holder: BootTime,
    /// When it is renewed, read again or replaced next, where that is planned.
    pub next: BootTime,
    /// Whether an upstream has refused it and that is being looked into.
    pub suspect: bool,
}

/// Where a generation is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It is served.
    Active,
    /// It is replaced, and requests still use it.
    Draining,
    /// It is being given back.
    Revoking,
    /// The provider will not have it back; it is tried again until it runs out.
    Irrevocable,
}

/// A session or an anchor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HolderView {
    /// The provider.
    pub provider: ProviderId,
    /// Which one.
    pub holder: Holder,
    /// Where it is in its life.
    pub state: HolderState,
    /// When it ends, if it is not prolonged.
    pub deadline: BootTime,
}

/// Where a session or an anchor is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HolderState {
    /// New leases hang on it.
    Current,
    /// It has a successor, and leases still hang on it.
    Maintaining,
    /// It is being ended.
    Retiring,
}
