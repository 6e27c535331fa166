//! Runs the lease engine's decisions against providers and hands out generations.
//!
//! The broker is generic over what injection makes of a credential, so that it carries secrets and
//! cannot open them: [`CredentialSpec::prepare`] turns the material into that form as soon as it
//! arrives, and the material is wiped.

mod broker;
mod call;
mod handle;
mod metrics;
mod report;

pub use broker::{Broker, CredentialSpec, End, Leftover, Prepare, UnknownProvider};
pub use handle::{Generation, Handle, Standing, Unavailable};
pub use metrics::BrokerMetrics;
