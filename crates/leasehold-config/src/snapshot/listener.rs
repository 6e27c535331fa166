use std::net::SocketAddr;

use leasehold_model::ListenerName;

/// An address that requests are accepted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name.
    pub name: ListenerName,
    /// Its address; with port 0, the system chooses one.
    pub address: SocketAddr,
}
