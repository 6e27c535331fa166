//! Descriptors over a Unix socket: one message each, with what it is.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;

use leasehold_model::ListenerName;
use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use super::Opened;

/// What a descriptor is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Listener(ListenerName),
    Admin,
    Operator,
}

/// Sends descriptors, and that there are no more.
pub(super) fn send(stream: &UnixStream, sockets: &[(Kind, OwnedFd)]) -> io::Result<()> {
    for (kind, socket) in sockets {
        let text = match kind {
            Kind::Listener(name) => format!("{LISTENER}{name}"),
            Kind::Admin => ADMIN.to_owned(),
            Kind::Operator => OPERATOR.to_owned(),
        };
        send_one(stream, &text, Some(socket))?;
    }
    send_one(stream, END, None)
}

/// Receives what [`send`] sends.
pub(super) fn receive(stream: &UnixStream) -> io::Result<Opened> {
    let mut opened = Opened::default();
    loop {
        let (text, socket) = receive_one(stream)?;
        match (text.as_str(), socket) {
            (END, None) => return Ok(opened),
            (ADMIN, Some(socket)) => opened.admin = Some(socket.into()),
            (OPERATOR, Some(socket)) => opened.operator = Some(socket.into()),
            (other, Some(socket)) => {
                let name = other.strip_prefix(LISTENER).ok_or_else(unknown)?;
                opened.listeners.push((ListenerName::from(name), socket));
            }
            (_, None) => return Err(unknown()),
        }
    }
}

fn send_one(stream: &UnixStream, text: &str, socket: Option<&OwnedFd>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = socket.map(|it| [it.as_fd()]);
    if let Some(descriptors) = &descriptors
        && !control.push(SendAncillaryMessage::ScmRights(descriptors))
    {
        return Err(io::ErrorKind::OutOfMemory.into());
    }
    let sent = sendmsg(
        stream,
        &[IoSlice::new(text.as_bytes())],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    if sent == text.len() {
        return Ok(());
    }
    Err(io::ErrorKind::WriteZero.into())
}

/// Receives one message: the system lets none run into another that came with a descriptor.
fn receive_one(stream: &UnixStream) -> io::Result<(String, Option<OwnedFd>)> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut buffer = [0; LONGEST];
    let received = recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut buffer)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let text = buffer.get(..received.bytes).unwrap_or_default();
    if text.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let text = String::from_utf8(text.to_vec()).map_err(io::Error::other)?;
    let mut socket = None;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            socket = descriptors.into_iter().next();
        }
    }
    Ok((text, socket))
}

fn unknown() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "the gateway that runs hands over what this version does not know",
    )
}

const LISTENER: &str = "listener:";
const ADMIN: &str = "admin";
const OPERATOR: &str = "operator";
const END: &str = "end";
/// Longer than any listener's name.
const LONGEST: usize = 4096;

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn each_socket_arrives_as_what_it_is() {
        let (near, far) = UnixStream::pair().expect("a pair");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let again = |it: &TcpListener| OwnedFd::from(it.try_clone().expect("a descriptor"));
        let public = Kind::Listener("public".into());
        let sockets = [
            (public.clone(), again(&listener)),
            (public, again(&listener)),
            (Kind::Admin, again(&listener)),
        ];
        send(&near, &sockets).expect("sent");
        let opened = receive(&far).expect("received");
        assert_eq!(opened.listeners.len(), 2);
        for (name, socket) in &opened.listeners {
            assert_eq!(name.as_str(), "public");
            let socket = socket.try_clone().expect("a descriptor");
            let at = TcpListener::from(socket).local_addr();
            assert_eq!(at.expect("an address"), address);
        }
        assert!(opened.admin.is_some() && opened.operator.is_none());
    }

    #[test]
    fn what_breaks_off_is_an_error() {
        let (near, far) = UnixStream::pair().expect("a pair");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        send_one(&near, ADMIN, Some(&listener.into())).expect("sent");
        drop(near);
        assert!(receive(&far).is_err());
    }
}
