//! The data plane: listeners, routing, forwarding.
//!
//! A request passes one module of `steps` after the other: admit, route, identify, inject, forward,
//! observe and close, or refuse. [`Gateway`] is what they consult: an immutable snapshot of the routes, the
//! upstreams and the consumers. [`Server`] runs one thread with one runtime for each core, each with
//! its own listening sockets and its own connections to upstreams.

mod body;
mod gateway;
mod hop;
mod metrics;
mod patience;
mod plan;
mod pool;
mod server;
mod service;
mod spare;
mod steps;
mod trace;
mod trailers;
mod via;

pub use gateway::{
    Admission, CredentialUse, Gateway, GatewayError, GatewaySpec, Held, RouteSpec, RouteStanding,
    Suspect, UpstreamSpec,
};
pub use metrics::ProxyMetrics;
pub use pool::{RootsError, TrustedRoots};
pub use server::{BindError, Plans, RunningServer, Server};
