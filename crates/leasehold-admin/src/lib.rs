//! The admin listener, and the operator's socket.
//!
//! What the listener serves can be read and nothing can be changed. It names routes and causes, so it
//! belongs on an address that only operators reach. What changes anything is on a Unix socket of its
//! own that only the gateway's user opens, and never on the listener.

mod operations;
mod operator;
mod readiness;
mod router;
mod serve;
mod socket;

pub use operations::{
    BoxFuture, HandedOver, HangsOn, Lease, Leases, NotReady, OperationError, Operations, Reload,
    Reloaded, Revocation, RevokeTarget, Revoked, Rotated, Rotation,
};
pub use operator::Operator;
pub use readiness::{Readiness, RouteReadiness};
pub use router::Admin;
pub use serve::{serve, serve_operator};
pub use socket::{OperatorSocket, SharedSocket, SocketError};
