//! What OpenBao does, as the design takes it to do: one test for each numbered fact, named after it.
//!
//! `docs/facts.md` lists them all, with what was seen.

mod cluster;
