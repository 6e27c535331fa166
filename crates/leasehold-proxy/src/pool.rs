mod connect;
mod idle;
mod io;
mod keepalive;
mod resolve;
mod tls;

pub(crate) use connect::connect;
pub(crate) use idle::{Connection, Pool, PoolKey, SWEEP_INTERVAL};
pub(crate) use keepalive::keep_alive;
pub(crate) use resolve::Resolver;
pub(crate) use tls::TlsConfigs;
pub use tls::{RootsError, TrustedRoots};
