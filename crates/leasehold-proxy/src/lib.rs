//! The data plane: listeners, routing, forwarding.
//!
//! A request passes one module of `steps` after the other: admit, route, identify, inject, forward,
//! observe and close, or refuse. [`Gateway`] is what they consult: an immutable snapshot of the routes, the
//! upstreams and the consumers. [`Server`] runs one thread with one runtime for each core, each with
//! its own listening sockets and its own connections to upstreams.

mod body;
mod chores;
mod cors;
mod credit;
mod edit;
mod framing;
mod gateway;
mod hop;
mod identity;
mod metrics;
mod mirror;
mod patience;
mod plan;
mod pool;
mod redirect;
mod reflection;
mod rewrite;
mod server;
mod service;
mod spare;
mod steps;
mod trace;
mod trailers;
mod version;
mod via;
mod websocket;

pub use cors::Cors;
pub use edit::HeaderEdits;
pub use gateway::{
    Admission, Balance, ClientFiles, CredentialUse, Gateway, GatewayError, GatewaySpec, HashKey,
    HeaderTest, HealthCheck, Held, HostMatch, HostPolicy, HostRewrite, KeepAlive, LimitSpecs,
    MatchSpec, MirrorSpec, Outlier, PathMatch, Protocol, Refresh, RouteSpec, RouteStanding,
    Selector, Suspect, TargetSpec, TlsPolicy, TlsVersion, UpstreamLimits, UpstreamPolicy,
    UpstreamSpec,
};
pub use identity::IdentityHeaders;
pub use metrics::ProxyMetrics;
pub use pool::{RootsError, TrustedRoots};
pub use redirect::Redirect;
pub use reflection::{Reflection, Watch};
pub use server::{
    BindError, ClientAuthorities, Identity, Limits, ListenerAddress, ListenerChanges, ListenerSpec,
    ListenerTls, Listeners, NextListeners, Pace, Plans, RunningServer, ServedCertificate, Server,
    TlsError, TlsMaterial, Trusted,
};
pub use steps::path::PathPolicy;
pub use steps::retry::Retry;
pub use websocket::WebSocket;
