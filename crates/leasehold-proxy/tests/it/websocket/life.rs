//! How WebSockets go on and end.

use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConnection;
use rustls::StreamOwned;
use socket2::SockRef;

use super::{AGREED, asking, echo, gauge, open, open_sockets, setup, until_open, with_idle};
use crate::lease::{FakeProvider, Lease};
use crate::origin::{OK, Origin, UNAUTHORIZED};
use crate::pki::{Authority, Material};
use crate::rig::{LIMIT, until};

#[test]
fn bytes_of_any_kind_go_both_ways_and_are_counted_once_at_the_end() {
    let origin = echo("glued to the answer");
    let rig = setup(&origin).start();
    let mut socket = open(&rig);
    assert_eq!(socket.exactly(19).expect("read"), b"glued to the answer");
    assert_eq!(open_sockets(&rig), "1");
    assert_eq!(gauge(&rig, "leasehold_requests_in_flight "), "1");
    // What would be refused in HTTP.
    let odd = b"\0\n\rGET / HTTP/1.1\nA:b\0\r\n\r\n";
    socket.send(odd);
    assert_eq!(socket.exactly(odd.len()).expect("an echo"), odd);
    let large: Vec<u8> = (0..1_000_000u32).map(|it| it.to_le_bytes()[0]).collect();
    let mut writer = socket.stream.try_clone().expect("a second handle");
    let sent = large.clone();
    let writing = std::thread::spawn(move || std::io::Write::write_all(&mut writer, &sent));
    assert!(socket.exactly(large.len()).expect("an echo") == large);
    writing.join().expect("no panic").expect("sent");
    assert!(rig.peek().is_empty(), "before it has ended");
    socket.end();
    socket.expect_closed();
    let record = rig.record();
    let bytes = (odd.len() + large.len()) as u64;
    assert_eq!(record["status"], 101);
    assert!(record["reason"].is_null(), "{record}");
    assert_eq!(record["request_bytes"], bytes);
    assert_eq!(record["response_bytes"], bytes + 19);
    assert_eq!(record["route"], "socket");
    until_open(&rig, "0");
    assert_eq!(rig.finish().len(), 1);
}

#[test]
fn one_side_may_say_all_and_go_on_listening() {
    let origin = Origin::start(|mut connection| {
        connection.receive();
        connection.send(AGREED);
        let said = connection.rest().expect("all that is said");
        connection.send(format!("heard {}", said.len()));
    });
    let rig = setup(&origin).start();
    let mut socket = open(&rig);
    socket.send("four");
    socket.end();
    assert_eq!(socket.rest().expect("the answer"), b"heard 4");
    assert!(rig.record()["reason"].is_null());
    let origin = Origin::start(|mut connection| {
        connection.receive();
        connection.send(format!("{AGREED}all"));
        connection.end();
        assert_eq!(connection.rest().expect("the rest"), b"late");
    });
    let rig = setup(&origin).start();
    let mut socket = open(&rig);
    assert_eq!(socket.rest().expect("all"), b"all");
    socket.send("late");
    socket.end();
    let record = rig.record();
    assert_eq!(record["request_bytes"], 4, "{record}");
}

#[test]
fn who_breaks_off_is_named_and_the_other_side_is_told() {
    let (broken, told) = std::sync::mpsc::channel();
    let origin = Origin::start(move |mut connection| {
        connection.receive();
        connection.send(AGREED);
        let rest = connection.rest();
        broken.send(rest.is_ok()).expect("the test goes on");
    });
    let rig = setup(&origin).start();
    let socket = open(&rig);
    reset(&socket.stream);
    drop(socket);
    told.recv_timeout(LIMIT).expect("the origin is told");
    assert_eq!(rig.record()["reason"], "client_aborted");
    let origin = Origin::start(|mut connection| {
        connection.receive();
        connection.send(AGREED);
        assert_eq!(connection.exactly(2).expect("a word"), b"go");
        reset(&connection.stream);
    });
    let rig = setup(&origin).start();
    let mut socket = open(&rig);
    socket.send("go");
    socket.expect_closed();
    let record = rig.record();
    assert_eq!(record["reason"], "upstream_failed");
    assert_eq!(record["status"], 101);
}

#[test]
fn a_socket_on_which_nothing_is_said_is_closed() {
    let origin = echo("");
    let setup = crate::rig::Setup::to(&[origin.url()]);
    let rig = with_idle(setup, Duration::from_millis(500)).start();
    let (mut busy, mut still) = (open(&rig), open(&rig));
    // A word now and then is enough, for longer than the limit.
    for _ in 0..8 {
        std::thread::park_timeout(Duration::from_millis(100));
        busy.send("x");
        assert_eq!(busy.exactly(1).expect("an echo"), b"x");
    }
    still.expect_closed();
    let record = rig.record();
    assert_eq!(record["reason"], "idle");
    assert_eq!((&record["request_bytes"]), 0);
    busy.expect_closed();
    assert_eq!(rig.records(2)[1]["request_bytes"], 8);
}

#[test]
fn a_drain_closes_sockets_within_its_limit_and_says_so() {
    let origin = echo("");
    let mut rig = setup(&origin).start();
    let mut socket = open(&rig);
    socket.send("last");
    assert_eq!(socket.exactly(4).expect("an echo"), b"last");
    assert_eq!(rig.drain(LIMIT), 0, "nothing had to be cut");
    socket.expect_closed();
    let record = rig.record();
    assert_eq!(record["reason"], "draining");
    assert_eq!(record["request_bytes"], 4);
}

#[test]
fn a_socket_that_never_falls_silent_is_cut_at_the_end_of_a_drain() {
    let origin = Origin::start(|mut connection| {
        connection.receive();
        connection.send(AGREED);
        while std::io::Write::write_all(&mut connection.stream, b"tick").is_ok() {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    });
    let mut rig = setup(&origin).start();
    let socket = open(&rig);
    assert_eq!(rig.drain(Duration::from_millis(1500)), 1);
    assert_eq!(rig.record()["reason"], "draining");
    drop(socket);
}

#[test]
fn the_generation_that_was_shown_is_held_until_the_end() {
    // Once a socket was opened with it, every other request with the first generation is refused.
    let origin = Origin::start(|mut connection| {
        while let Ok(request) = connection.try_receive() {
            if !request.all("upgrade").is_empty() {
                connection.send(AGREED);
                drop(connection.rest());
                return;
            }
            let first = request.all("x-api-key") == [FIRST];
            connection.send(if first { UNAUTHORIZED } else { OK });
        }
    });
    let lease = Lease::ready(FakeProvider::leasing(Duration::from_hours(1)));
    let rig = with_idle(lease.setup(&origin), LIMIT).start();
    let socket = open(&rig);
    assert_eq!(rig.connect().get("/", "").text(), "ok");
    let record = rig.record();
    assert_eq!(
        (&record["retried_after"], &record["generation"]),
        (&1.into(), &2.into())
    );
    assert!(lease.provider.revoked().is_empty(), "the socket has it");
    drop(socket);
    until("the first lease to be given back", || {
        (lease.provider.revoked() == ["lease-1"]).then_some(())
    });
    let record = rig.records(2).remove(1);
    assert_eq!(
        (&record["status"], &record["generation"]),
        (&101.into(), &1.into())
    );
}

#[test]
fn sockets_go_over_tls() {
    let origin = echo("");
    let authority = Authority::new();
    let material = Material::of(vec![authority.leaf(&["a.example"], 1)]);
    let mut setup = setup(&origin);
    setup.tls = Some(material.tls());
    let rig = setup.start();
    let stream = rig.connect().stream;
    let client = Arc::new(authority.client(None));
    let name = "a.example".try_into().expect("a name");
    let session = ClientConnection::new(client, name).expect("a session");
    let mut socket = StreamOwned::new(session, stream);
    let asking = asking("/socket", "");
    std::io::Write::write_all(&mut socket, asking.as_bytes()).expect("sent");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        std::io::Read::read_exact(&mut socket, &mut byte).expect("an answer");
        head.extend_from_slice(&byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "));
    std::io::Write::write_all(&mut socket, b"\0secret").expect("sent");
    let mut echoed = [0; 7];
    std::io::Read::read_exact(&mut socket, &mut echoed).expect("an echo");
    assert_eq!(&echoed, b"\0secret");
    // Ends without a word of TLS.
    socket.sock.shutdown(Shutdown::Both).expect("open");
    let record = rig.record();
    assert_eq!(record["response_bytes"], 7);
    assert!(record["reason"].is_null(), "{record}");
}

/// Closes the connection with a reset.
fn reset(stream: &std::net::TcpStream) {
    let linger = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    linger.expect("set");
}

const FIRST: &str = "Key canary-1";
