//! Connections on which nothing happens for a while: whoever holds one must not notice that most of it
//! was put away.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::{Clock as _, SystemClock};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConnection, StreamOwned};

use crate::origin::{OK, Origin};
use crate::pki::{Authority, Material};
use crate::rig::{LIMIT, Rig, Setup, until};

#[test]
fn requests_after_a_rest_are_served() {
    let (origin, seen) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    for round in 0..2 {
        assert_eq!(consumer.get("/", "").text(), "ok");
        rests(&rig, 1);
        // Two at once, the second of which ends later.
        consumer
            .send("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhiGET /b HTTP/1.1\r\n");
        assert_eq!(consumer.receive().text(), "ok", "{round}");
        rests(&rig, 0);
        consumer.send("Host: a\r\n\r\n");
        assert_eq!(consumer.receive().text(), "ok", "{round}");
    }
    let lines = [(); 6].map(|()| seen.next().head.lines().next().map(str::to_owned));
    let lines: Vec<_> = lines.iter().flatten().map(String::as_str).collect();
    let round = ["GET / HTTP/1.1", "POST /a HTTP/1.1", "GET /b HTTP/1.1"];
    assert_eq!(lines, [round, round].concat());
    let clients: Vec<_> = rig
        .records(6)
        .into_iter()
        .map(|it| it["client"].clone())
        .collect();
    assert!(clients[0].is_string() && clients.iter().all(|it| it == &clients[0]));
}

#[test]
fn requests_that_come_just_when_connections_go_to_rest_are_served() {
    const COUNT: usize = 200;
    let origin = Origin::saying(OK);
    let mut setup = Setup::to(&[origin.url()]);
    setup.connection_limit = COUNT;
    let rig = setup.start();
    let mut consumers: Vec<_> = (0..COUNT).map(|_| rig.connect()).collect();
    for _ in 0..2 {
        for consumer in &mut consumers {
            assert_eq!(consumer.get("/", "").text(), "ok");
        }
        // They were asked one after the other, and go to rest so.
        until("the first that rest", || (resting(&rig) > 0).then_some(()));
        for consumer in consumers.iter_mut().rev() {
            consumer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        }
        for consumer in &mut consumers {
            assert_eq!(consumer.receive().text(), "ok");
        }
    }
    assert_eq!(rig.records(4 * COUNT).len(), 4 * COUNT);
}

#[test]
fn a_connection_that_rests_is_closed_by_a_drain_and_one_of_before_its_first_request_too() {
    let origin = Origin::saying(OK);
    let mut rig = Setup::to(&[origin.url()]).start();
    let (mut asked, mut silent) = (rig.connect(), rig.connect());
    assert_eq!(asked.get("/", "").text(), "ok");
    rests(&rig, 2);
    assert_eq!(rig.drain(LIMIT), 0, "none had to be cut");
    asked.expect_closed();
    silent.expect_closed();
    assert_eq!((resting(&rig), count(&rig, "connections")), (0, 0));
}

#[test]
fn a_connection_that_rests_while_its_listener_closes_has_one_more_answer() {
    let origin = Origin::saying(OK);
    let mut rig = Setup::to(&[origin.url()]).start();
    let (mut asks, mut silent) = (rig.connect(), rig.connect());
    rests(&rig, 2);
    rig.listen(&[]).expect("nothing to bind");
    let last = asks.get("/", "");
    assert_eq!((last.text(), last.all("connection")), ("ok", vec!["close"]));
    asks.expect_closed();
    silent.expect_closed();
}

#[test]
fn a_connection_that_rests_is_closed_when_it_was_idle_for_long_enough() {
    let rig = rig(|setup| setup.limits.idle_timeout = IDLE);
    let mut consumer = rig.connect();
    let begun = SystemClock.boot();
    assert_eq!(consumer.get("/", "").text(), "ok");
    rests(&rig, 1);
    consumer.expect_closed();
    assert!(
        SystemClock.boot().since(begun) >= IDLE,
        "{:?}",
        SystemClock.boot().since(begun)
    );
    until("the end", || {
        (count(&rig, "connections") == 0).then_some(())
    });
    assert_eq!(resting(&rig), 0);
}

#[test]
fn half_a_head_ends_a_rest_and_has_its_time() {
    let rig = rig(|setup| setup.limits.head_timeout = Duration::from_secs(1));
    let mut consumer = rig.connect();
    assert_eq!(consumer.get("/", "").text(), "ok");
    rests(&rig, 1);
    let begun = SystemClock.boot();
    consumer.send("GET / HTTP/1.1\r\nHost:").expect_closed();
    assert!(
        SystemClock.boot().since(begun) >= Duration::from_secs(1),
        "{:?}",
        SystemClock.boot().since(begun)
    );
    assert_eq!(rig.peek().len(), 1, "it was no request");
}

#[test]
fn what_comes_after_a_rest_is_read_as_strictly_as_before() {
    let (origin, seen) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    assert_eq!(consumer.get("/", "").text(), "ok");
    rests(&rig, 1);
    consumer.send(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    assert_eq!(consumer.receive().status(), "400");
    consumer.expect_closed();
    rig.records(2);
    seen.next();
    seen.nothing();
}

#[test]
fn a_connection_does_not_rest_while_a_request_is_not_whole() {
    let origin = Origin::start(|mut connection| {
        connection.head().expect("a head");
        connection.send(OK);
        // Takes the body though it has answered.
        drop(connection.rest());
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut owes = rig.connect();
    owes.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\n\r\nabc");
    assert_eq!(owes.receive().text(), "ok");
    let mut begun = rig.connect();
    begun.send("GET / HTTP/1.1\r\n");
    // One that is silent for a shorter time rests.
    let _silent = rig.connect();
    rests(&rig, 1);
    // It would be a request of its own.
    owes.stream
        .write_all(b"GET / HTTP/1.1\r\nHost: b\r\n\r\n")
        .ok();
    owes.expect_closed();
    assert_eq!(rig.record()["status"], 200);
}

#[test]
fn connections_that_rest_are_counted_as_before() {
    let rig = rig(|setup| {
        setup.limits.connections = 2;
        setup.limits.requests = 2;
    });
    let mut kept = [rig.connect(), rig.connect()];
    for consumer in &mut kept {
        assert!(consumer.get("/", "").all("connection").is_empty());
    }
    rests(&rig, 2);
    assert_eq!(count(&rig, "connections"), 2);
    assert_eq!(rig.connect().get("/", "").status(), "503");
    let [mut one, other] = kept;
    assert_eq!(one.get("/", "").all("connection"), ["close"]);
    drop(other);
    one.expect_closed();
    until("free places", || {
        (count(&rig, "connections") == 0).then_some(())
    });
    assert_eq!(resting(&rig), 0);
    assert_eq!(rig.connect().get("/", "").status(), "200");
}

#[test]
fn a_connection_of_tls_rests_and_is_closed_in_order() {
    let authority = Authority::new();
    for version in [&TLS12, &TLS13] {
        let material = Material::of(vec![authority.leaf(&["a.example"], 1)]);
        let rig = rig(|setup| {
            setup.tls = Some(material.tls());
            setup.limits.idle_timeout = IDLE;
        });
        let config = Arc::new(authority.client_of(None, &[version]));
        let name = "a.example".try_into().expect("a name");
        let session = ClientConnection::new(config, name).expect("a session");
        let socket = TcpStream::connect(rig.address).expect("it listens");
        socket.set_read_timeout(Some(LIMIT)).expect("a timeout");
        let mut stream = StreamOwned::new(session, socket);
        for _ in 0..2 {
            let request = b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n";
            stream.write_all(request).expect("sent");
            let mut answer = Vec::new();
            while !answer.ends_with(b"\r\n\r\nok") {
                let mut part = [0; 1024];
                let length = stream.read(&mut part).expect("a part");
                assert!(length > 0, "the answer has no end");
                answer.extend_from_slice(&part[..length]);
            }
            rests(&rig, 1);
        }
        // It would be an error without a word of TLS that this is the end.
        assert_eq!(stream.read(&mut [0; 1]).expect("the end"), 0);
    }
}

fn rests(rig: &Rig, wanted: usize) {
    until("connections that rest", || {
        (resting(rig) == wanted).then_some(())
    });
}

fn resting(rig: &Rig) -> usize {
    count(rig, "connections_resting")
}

fn count(rig: &Rig, name: &str) -> usize {
    let text = rig.metrics();
    let start = format!("leasehold_{name} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start));
    line.expect("the metric").parse().expect("a number")
}

fn rig(set: impl FnOnce(&mut Setup)) -> Rig {
    let origin = Origin::saying(OK);
    let mut setup = Setup::to(&[origin.url()]);
    set(&mut setup);
    setup.start()
}

/// Long enough for a connection to rest well before it, on a machine that is busy too.
const IDLE: Duration = Duration::from_secs(4);
