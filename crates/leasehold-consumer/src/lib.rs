//! Tells who is calling.
//!
//! A consumer shows a key; the gateway knows only the key's SHA-256 digest.

mod consumers;
mod key;

pub use consumers::{Consumers, Refusal};
pub use key::KeyDigest;
