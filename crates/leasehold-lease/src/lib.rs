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
mod schedule;
mod session;
mod slot;

pub use action::{Action, Notice};
pub use engine::{Engine, Leftover};
pub use event::{Event, SessionTerms, Terms};

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
}
