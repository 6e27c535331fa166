use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Fails where somebody else listens on the address.
///
/// Sockets that share a port are let in beside those of any other process of the same user: a second
/// gateway started by mistake would take half of the connections, and nobody would be told.
pub(super) fn check_free(address: SocketAddr) -> io::Result<()> {
    let socket = open(address)?;
    socket.bind(&address.into())
}

/// Binds an address that other workers bind too, and listens on it.
pub(super) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(address)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // What a gateway that has just ended left in TIME_WAIT is in nobody's way.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // Otherwise whether `[::]` takes IPv4 too depends on the machine.
        socket.set_only_v6(false)?;
    }
    Ok(socket)
}

pub(super) const BACKLOG: i32 = 4096;
