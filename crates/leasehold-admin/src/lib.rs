//! The admin listener: liveness, readiness and metrics.
//!
//! Everything it serves can be read and nothing can be changed. It names routes and causes, so it
//! belongs on an address that only operators reach.

mod readiness;
mod router;
mod serve;

pub use readiness::{Readiness, RouteReadiness};
pub use router::Admin;
pub use serve::serve;
