mod check;
mod connect;
mod connection;
mod idle;
mod io;
mod keepalive;
mod resolve;
mod shared;
mod tls;

pub(crate) use check::check;
pub(crate) use connect::{ConnectError, connect};
pub(crate) use connection::Connection;
pub(crate) use idle::{Pool, PoolKey, SWEEP_INTERVAL};
pub(crate) use keepalive::keep_alive;
pub(crate) use resolve::Resolver;
pub(crate) use tls::TlsConfigs;
pub use tls::{RootsError, TrustedRoots};
