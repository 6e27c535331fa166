//! Connections, workers and the end of them.

use std::net::SocketAddr;
use std::sync::mpsc::channel;
use std::time::Duration;

use leasehold_proxy::{Limits, ListenerSpec, Server};

use crate::origin::{OK, Origin};
use crate::rig::{LIMIT, Setup, until};

#[test]
fn connections_are_reused_on_both_sides() {
    let (origin, _seen) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    for _ in 0..10 {
        assert_eq!(consumer.get("/", "").text(), "ok");
    }
    assert_eq!(origin.connections(), 1);
    let counted = "leasehold_requests_total{route=\"open\",status=\"2xx\",reason=\"none\"} 10\n";
    assert!(rig.metrics().contains(counted), "{}", rig.metrics());
    assert!(rig.metrics().contains("leasehold_connections 1\n"));
}

#[test]
fn requests_sent_in_one_go_are_answered_in_turn() {
    let (origin, seen) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer.send(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /closed/2 HTTP/1.1\r\nHost: a\r\n\r\n\
         GET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let statuses: Vec<_> = (0..3)
        .map(|_| consumer.receive().status().to_owned())
        .collect();
    assert_eq!(statuses, ["200", "401", "200"]);
    assert!(seen.next().head.starts_with("GET /1 "));
    assert!(seen.next().head.starts_with("GET /3 "));
}

#[test]
fn all_workers_share_one_port() {
    let (origin, _seen) = Origin::answering(OK);
    let mut setup = Setup::to(&[origin.url()]);
    setup.workers = 4;
    let rig = setup.start();
    for _ in 0..64 {
        assert_eq!(rig.connect().get("/", "").text(), "ok");
    }
    // Each worker that got a connection has made its own to the origin.
    let used = origin.connections();
    assert!((2..=4).contains(&used), "{used} workers were used");
    assert_eq!(rig.finish().len(), 64);
}

#[test]
fn an_address_that_somebody_listens_on_is_refused() {
    let (origin, _seen) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    for taken in [rig.address, origin.address] {
        let error = Server::bind(&[listener(taken)], 1).expect_err("it is taken");
        assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
        let said = format!("bind listener public to {taken}");
        assert_eq!(error.to_string(), said);
    }
}

#[test]
fn one_connection_too_many_is_told_so() {
    let (origin, _seen) = Origin::answering(OK);
    let mut setup = Setup::to(&[origin.url()]);
    setup.connection_limit = 2;
    let rig = setup.start();
    let mut first = rig.connect();
    let mut second = rig.connect();
    assert_eq!(first.get("/", "").status(), "200");
    assert_eq!(second.get("/", "").status(), "200");
    let mut third = rig.connect();
    let answer = third.get("/", "");
    assert_eq!(
        (answer.status(), answer.all("retry-after")),
        ("503", vec!["1"])
    );
    assert!(
        rig.metrics()
            .contains("leasehold_connections_refused_total 1\n")
    );
    drop(second);
    until("a free place", || {
        rig.metrics()
            .contains("leasehold_connections 1\n")
            .then_some(())
    });
    assert_eq!(rig.connect().get("/", "").status(), "200");
}

#[test]
fn a_drain_lets_requests_end_and_takes_no_more() {
    let (arrived, told) = channel();
    let (go_on, released) = channel();
    let released = parking_lot::Mutex::new(released);
    let origin = Origin::start(move |mut connection| {
        connection.receive();
        arrived.send(()).expect("the test goes on");
        released.lock().recv_timeout(LIMIT).expect("released");
        connection.send(OK);
    });
    let mut rig = Setup::to(&[origin.url()]).start();
    let address = rig.address;
    let mut idle = rig.connect();
    assert_eq!(idle.get("/closed/x", "").status(), "401");
    let mut busy = rig.connect();
    busy.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    told.recv_timeout(LIMIT).expect("the request is under way");
    let server = std::thread::spawn(move || {
        let cut = rig.drain(LIMIT);
        (cut, rig)
    });
    idle.expect_closed();
    until("the port to close", || {
        std::net::TcpStream::connect(address).is_err().then_some(())
    });
    go_on.send(()).expect("the origin waits");
    let answer = busy.receive();
    assert_eq!(
        (answer.text(), answer.all("connection")),
        ("ok", vec!["close"])
    );
    busy.expect_closed();
    let (cut, rig) = server.join().expect("drained");
    assert_eq!(cut, 0);
    assert_eq!(rig.finish().len(), 2);
}

#[test]
fn a_drain_that_takes_too_long_cuts_what_is_left() {
    let (arrived, told) = channel();
    let origin = Origin::start(move |mut connection| {
        connection.receive();
        arrived.send(()).expect("the test goes on");
        connection.expect_closed();
    });
    let mut rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    told.recv_timeout(LIMIT).expect("the request is under way");
    assert_eq!(rig.drain(Duration::from_millis(50)), 1);
    consumer.expect_closed();
    let records = rig.finish();
    assert_eq!(records.len(), 1);
    assert_eq!(
        (&records[0]["status"], &records[0]["reason"]),
        (&().into(), &"draining".into())
    );
}

#[test]
fn sockets_that_are_open_already_are_adopted_whatever_the_number_of_workers() {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let first = Server::bind(&[listener(any)], 3).expect("a free port");
    let address = first.addresses()[0].1.tcp().expect("a port");
    for workers in [1, 2, 3, 5] {
        let opened = first.sockets().expect("descriptors");
        assert_eq!(opened.len(), 3);
        let adopted = Server::adopt(&[listener(address)], workers, opened).expect("adopted");
        assert_eq!(adopted.addresses()[0].1.tcp(), Some(address));
        let sockets = adopted.sockets().expect("descriptors");
        assert_eq!(sockets.len(), workers.max(3), "none is closed");
    }
    let opened = first.sockets().expect("descriptors");
    let elsewhere = listener(SocketAddr::from(([127, 0, 0, 2], 0)));
    let other = Server::adopt(&[elsewhere], 1, opened).expect("bound");
    let other = other.addresses()[0].1.tcp().expect("a port");
    assert_ne!(other.ip(), address.ip(), "what does not fit is not used");
}

fn listener(address: SocketAddr) -> ListenerSpec {
    ListenerSpec {
        name: "public".into(),
        address: address.into(),
        tls: None,
        http2: false,
        proxy_protocol: None,
        limits: Limits::default(),
    }
}
