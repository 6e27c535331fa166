//! Listening sockets that systemd has opened.

use std::io;
use std::os::fd::OwnedFd;

use leasehold_config::{Listener, ListenerAddress};
use leasehold_model::ListenerName;
use listenfd::ListenFd;
use rustix::net::{SocketAddrAny, SocketAddrUnix};
use tracing::{info, warn};

/// Takes the sockets that systemd has passed to this process, each for the listener that its name or, where
/// it has none of a listener's, its address tells.
pub(super) fn take(listeners: &[Listener]) -> Vec<(ListenerName, OwnedFd)> {
    let mut passed = ListenFd::from_env();
    let names = names();
    let mut opened = Vec::new();
    for place in 0..passed.len() {
        let socket = match listener(&mut passed, place) {
            Ok(Some(socket)) => socket,
            Ok(None) => continue,
            Err(error) => {
                warn!(place, %error, "systemd has passed a socket that is not used");
                continue;
            }
        };
        match whose(names.get(place), &socket, listeners) {
            Ok(Some(listener)) => {
                info!(%listener, "taken over from systemd");
                opened.push((listener, socket));
            }
            Ok(None) => warn!(place, "systemd has passed a socket that is no listener's"),
            Err(error) => warn!(place, %error, "systemd has passed a socket that is not used"),
        }
    }
    opened
}

fn listener(passed: &mut ListenFd, place: usize) -> io::Result<Option<OwnedFd>> {
    // What is no socket of TCP is left in its place.
    if let Ok(Some(socket)) = passed.take_tcp_listener(place) {
        return Ok(Some(socket.into()));
    }
    let socket = passed.take_unix_listener(place)?;
    Ok(socket.map(OwnedFd::from))
}

fn whose(
    name: Option<&String>,
    socket: &OwnedFd,
    listeners: &[Listener],
) -> io::Result<Option<ListenerName>> {
    let named = |it: &&Listener| name.is_some_and(|name| it.name.as_str() == name);
    let at = rustix::net::getsockname(socket)?;
    let there = |it: &&Listener| match &it.address {
        ListenerAddress::Tcp(address) => SocketAddrAny::from(*address) == at,
        ListenerAddress::Unix { path, .. } => {
            SocketAddrUnix::new(path.as_path()).is_ok_and(|it| SocketAddrAny::from(it) == at)
        }
    };
    let found = listeners.iter().find(named);
    let found = found.or_else(|| listeners.iter().find(there));
    Ok(found.map(|it| it.name.clone()))
}

fn names() -> Vec<String> {
    #[expect(
        clippy::disallowed_methods,
        reason = "systemd tells the names of its sockets there and nowhere else; they are no setting"
    )]
    let names = std::env::var("LISTEN_FDNAMES");
    let names = names.unwrap_or_default();
    names.split(':').map(str::to_owned).collect()
}
