//! What the gateway listens on: bound anew, opened by systemd, or taken over from its predecessor.

use std::net::TcpListener as StdListener;
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::path::Path;

use leasehold_admin::{OperatorSocket, SocketError};
use leasehold_config::{Snapshot, Workers};
use leasehold_model::ListenerName;
use leasehold_proxy::{ListenerSpec, Server};
use tokio::net::TcpListener;
use tracing::info;

use super::handover::Opened;
use super::{Addresses, ServeError};
use crate::limits;

/// Everything that is listened on, and nothing is accepted yet.
pub(super) struct Bound {
    pub(super) server: Server,
    pub(super) admin: TcpListener,
    pub(super) operator: Option<OperatorSocket>,
    pub(super) addresses: Addresses,
}

impl Bound {
    /// Binds what is not among the sockets that are open already. The operator's socket is the
    /// predecessor's where that is at `predecessor`.
    pub(super) async fn new(
        snapshot: &Snapshot,
        listeners: &[ListenerSpec],
        mut opened: Opened,
        predecessor: Option<&Path>,
    ) -> Result<Self, ServeError> {
        let sockets = std::mem::take(&mut opened.listeners);
        let server = server(listeners, snapshot.workers, sockets)?;
        let address = snapshot.admin.address;
        let failed = |source| ServeError::BindAdmin { address, source };
        let admin = match opened.admin_at(address) {
            Some(admin) => adopt(admin).map_err(failed)?,
            None => TcpListener::bind(address).await.map_err(failed)?,
        };
        let addresses = Addresses {
            listeners: server.addresses().to_vec(),
            admin: admin.local_addr().map_err(failed)?,
        };
        Ok(Self {
            server,
            admin,
            operator: operator(snapshot, opened, predecessor).await?,
            addresses,
        })
    }
}

fn server(
    listeners: &[ListenerSpec],
    declared: Workers,
    opened: Vec<(ListenerName, OwnedFd)>,
) -> Result<Server, ServeError> {
    let workers = workers(declared);
    let bound = Server::adopt(listeners, workers, opened)?;
    let connections = limits::connections_per_worker(limits::raise_file_limit(), workers);
    info!(workers, connections_per_worker = connections, "limits");
    Ok(bound.connection_limit(connections))
}

fn workers(declared: Workers) -> usize {
    match declared {
        Workers::Count(count) => count.get(),
        Workers::PerCore => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
    }
}

fn adopt(listener: StdListener) -> std::io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

async fn operator(
    snapshot: &Snapshot,
    opened: Opened,
    predecessor: Option<&Path>,
) -> Result<Option<OperatorSocket>, SocketError> {
    let Some(path) = &snapshot.admin.socket else {
        return Ok(None);
    };
    match opened.operator {
        Some(listener) if predecessor == Some(path) => {
            OperatorSocket::adopt(path, listener).map(Some)
        }
        _ => OperatorSocket::bind(path).await.map(Some),
    }
}
