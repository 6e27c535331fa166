mod connect;
mod idle;
mod io;
mod tls;

pub(crate) use connect::connect;
pub(crate) use idle::{Connection, Pool, PoolKey, SWEEP_INTERVAL};
pub(crate) use tls::TlsConfigs;
pub use tls::{RootsError, TrustedRoots};
