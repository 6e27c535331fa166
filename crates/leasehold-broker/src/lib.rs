//! Runs the lease engine's decisions against providers and hands out generations.
//!
//! The broker is generic over what injection makes of a credential, so that it carries secrets and
//! cannot open them: [`CredentialSpec::prepare`] turns the material into that form as soon as it
//! arrives, and the material is wiped.

mod book;
mod broker;
mod call;
mod change;
mod control;
mod end;
mod family;
mod generation;
mod handle;
mod link;
mod metrics;
mod report;
mod spec;

pub use broker::Broker;
pub use change::{ChangeError, Changes, Dismissal, Draft};
pub use control::{
    Control, ControlError, HolderStatus, LeaseState, LeaseView, Revocation, RevocationOutcome,
    Rotation, RotationOutcome, Target,
};
pub use end::{End, Leftover};
pub use family::{Family, FamilyFull, FamilyLimits};
pub use generation::Generation;
pub use handle::{Handle, Standing, Unavailable};
pub use metrics::BrokerMetrics;
pub use spec::{CredentialSpec, Prepare, UnknownProvider};
