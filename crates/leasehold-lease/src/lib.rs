//! The lease engine: a pure state machine that decides and never acts.
#![forbid(unsafe_code)]

/// Identifies one declared credential inside the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(usize);
