//! The data plane: listeners, routing, forwarding.
//!
//! A request passes one module of `steps` after the other: admit, route, identify, inject, forward,
//! observe and close, or refuse. [`Gateway`] is what they consult: an immutable snapshot of the routes, the
//! upstreams and the consumers. [`Server`] runs one thread with one runtime for each core, each with
//! its own listening sockets and its own connections to upstreams.

mod body;
mod chores;
mod credit;
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
mod version;
mod via;

pub use gateway::{
    Admission, Balance, ClientFiles, CredentialUse, Gateway, GatewayError, GatewaySpec, HashKey,
    HealthCheck, Held, HostPolicy, KeepAlive, Outlier, Protocol, Refresh, RouteSpec, RouteStanding,
    Suspect, TlsPolicy, TlsVersion, UpstreamLimits, UpstreamPolicy, UpstreamSpec,
};
pub use metrics::ProxyMetrics;
pub use pool::{RootsError, TrustedRoots};
pub use server::{
    BindError, ClientAuthorities, Identity, Limits, ListenerAddress, ListenerSpec, ListenerTls,
    Pace, RunningServer, ServedCertificate, Server, TlsError, TlsMaterial, Trusted,
};
