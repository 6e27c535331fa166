//! Runs the lease engine's decisions against providers and hands out generations.
//!
//! The broker is generic over what injection makes of a credential, so that it carries secrets and
//! cannot open them.

mod handle;

pub use handle::{Generation, Handle, Standing, Unavailable};
