//! The lease engine: a pure state machine that decides and never acts.
//!
//! Time, randomness and the outcomes of calls come in as arguments of [`Engine::step`]; what is to be
//! done comes out as [`Action`]s. The engine knows lease ids, versions and deadlines and never holds
//! material, so that a run can be replayed from a seed and printed in full.
//!
//! The algorithm and its numbers are in `docs/lease-engine.md`.
#![forbid(unsafe_code)]
#![warn(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

mod action;
mod engine;
mod event;
mod former;
mod governor;
mod schedule;
mod site;
mod slot;
mod step;
mod succession;
mod view;

pub use action::{Action, Notice};
pub use engine::{Engine, Leftover};
pub use event::{Event, SessionTerms, Terms};
pub use view::{HolderState, HolderView, Stage, View};

/// Identifies one declared credential inside the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub(crate) usize);

impl SlotId {
    /// Returns the place of the credential in the order of declaration, from zero.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

/// Identifies one declared provider inside the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderId(pub(crate) usize);

impl ProviderId {
    /// Returns the place of the provider in the order of declaration, from zero.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

/// By what rules a credential ages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Issued on a lease: renewed, rotated and given back.
    Leased,
    /// One version of a stored value: read again at intervals.
    Versioned {
        /// How often to look for a greater version.
        poll: std::time::Duration,
        /// How long a value may be used after the provider last confirmed it.
        max_stale: std::time::Duration,
    },
    /// An account whose password the provider changes: read again just after each change.
    Rotating {
        /// How long a password may be used after it was due to change and no newer one could be read.
        max_stale: std::time::Duration,
    },
    /// A certificate without a lease, or an access token: replaced in time and left to run out.
    Certificate,
    /// A stored value without versions: read again at intervals and compared.
    Hinted {
        /// How often to read it; the provider's own hint counts where it asks for more often.
        poll: std::time::Duration,
        /// How long a value may be used after the provider last confirmed it.
        max_stale: std::time::Duration,
    },
}

impl Kind {
    /// Tells whether each fetch makes a new credential at the provider.
    #[must_use]
    pub const fn is_issued(self) -> bool {
        matches!(self, Self::Leased | Self::Certificate)
    }
}
