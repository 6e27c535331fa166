//! Requests for WebSockets that go no further.

use super::{AGREED, KEY, ask, asking, echo, setup};
use crate::origin::{OK, Origin};
use crate::rig::{Setup, until};

#[test]
fn a_handshake_that_is_none_is_refused_and_the_origin_sees_nothing() {
    let (origin, seen) = Origin::answering(AGREED);
    let rig = setup(&origin).start();
    let good = asking("/socket", "");
    let faults = [
        ("GET ", "POST "),
        ("GET ", "get "),
        ("HTTP/1.1", "HTTP/1.0"),
        ("keep-alive, Upgrade", "keep-alive"),
        ("Upgrade: websocket", "Upgrade: websocket, h2c"),
        ("Upgrade: websocket", "Upgrade: h2c\r\nUpgrade: websocket"),
        ("Sec-WebSocket-Version: 13\r\n", ""),
        (
            "Version: 13\r\n",
            "Version: 13\r\nSec-WebSocket-Version: 13\r\n",
        ),
        (KEY, "dGhlIHNhbXBsZSBub25jZ=="),
        (KEY, "dGhlIHNhbXBsZSBub25jZWU="),
        (KEY, "dGhlIHNhbXBsZQ=="),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Keys"),
        (
            "Sec-WebSocket-Key: ",
            "Sec-WebSocket-Key: AAAA\r\nSec-WebSocket-Key: ",
        ),
        ("keep-alive, Upgrade", "Upgrade, Sec-WebSocket-Key"),
        ("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nhi"),
        (
            "\r\n\r\n",
            "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
    ];
    for (count, (from, to)) in faults.iter().enumerate() {
        let mut consumer = rig.connect();
        consumer.send(good.replacen(from, to, 1));
        let answer = consumer.receive();
        assert_eq!(answer.status(), "400", "{to}");
        assert_eq!(rig.records(count + 1)[count]["reason"], "bad_request");
        consumer.expect_closed();
    }
    seen.nothing();
}

#[test]
fn another_version_is_told_which_one_there_is() {
    let (origin, seen) = Origin::answering(AGREED);
    let rig = setup(&origin).start();
    let mut consumer = rig.connect();
    consumer.send(asking("/socket", "").replace("Version: 13", "Version: 8"));
    let answer = consumer.receive();
    assert_eq!(answer.status(), "426");
    assert_eq!(answer.all("sec-websocket-version"), ["13"]);
    assert_eq!(answer.all("upgrade"), ["websocket"]);
    assert_eq!(answer.all("connection"), ["close, upgrade"]);
    seen.nothing();
    assert_eq!(rig.record()["status"], 426);
}

#[test]
fn what_is_sent_behind_the_request_before_its_answer_is_refused() {
    let (origin, seen) = Origin::answering(AGREED);
    let rig = setup(&origin).start();
    for behind in [
        &b"\x81\x85\x01\x02\x03\x04hello"[..],
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"G",
        b"\r\n",
    ] {
        let mut consumer = rig.connect();
        consumer.send([asking("/socket", "").as_bytes(), behind].concat());
        assert_eq!(consumer.receive().status(), "400", "{behind:?}");
        consumer.expect_closed();
    }
    seen.nothing();
}

#[test]
fn what_comes_while_the_upstream_thinks_is_refused_too() {
    for behind in ["GET / HTTP/1.1\r\n", "\u{1}\u{2}", "hello"] {
        let (show, seen) = crate::origin::seen();
        let (go_on, told) = std::sync::mpsc::channel::<()>();
        let told = parking_lot::Mutex::new(told);
        let origin = Origin::start(move |mut connection| {
            show.send(connection.receive()).expect("the test goes on");
            told.lock().recv_timeout(crate::rig::LIMIT).expect("told");
            connection.send(AGREED);
            assert_eq!(connection.rest().unwrap_or_default(), b"");
        });
        let rig = setup(&origin).start();
        let mut consumer = rig.connect();
        consumer.send(asking("/socket", ""));
        seen.next();
        consumer.send(behind);
        until("the early bytes to be read", || {
            unread(&consumer).then_some(())
        });
        go_on.send(()).expect("the origin waits");
        let answer = consumer.receive();
        assert_eq!(answer.status(), "400", "{behind}");
        consumer.expect_closed();
        let record = rig.record();
        assert_eq!(record["reason"], "bad_request", "{record}");
    }
}

/// Tells whether the gateway has taken from its socket all that the consumer has sent.
fn unread(consumer: &crate::consumer::Consumer) -> bool {
    let (own, other) = (
        consumer.stream.local_addr().expect("an address"),
        consumer.stream.peer_addr().expect("an address"),
    );
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the table of sockets");
    let port = |port: u16| format!(":{port:04X}");
    let line = table.lines().find(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, remote) = (fields.next(), fields.next());
        local.is_some_and(|it| it.ends_with(&port(other.port())))
            && remote.is_some_and(|it| it.ends_with(&port(own.port())))
    });
    let queues = line.and_then(|line| line.split_whitespace().nth(4));
    queues.expect("the gateway's socket").ends_with(":00000000")
}

#[test]
fn other_routes_know_nothing_of_upgrades() {
    let (origin, seen) = Origin::answering(OK);
    let rig = setup(&origin).start();
    let mut consumer = rig.connect();
    assert_eq!(ask(&mut consumer, "/", "").text(), "ok");
    let request = seen.next();
    assert!(request.all("upgrade").is_empty() && request.all("connection").is_empty());
    // And a route that lets a WebSocket be asked for knows nothing of any other.
    consumer.send(asking("/socket", "").replace("Upgrade: websocket", "Upgrade: h2c"));
    assert_eq!(consumer.receive().text(), "ok");
    let request = seen.next();
    assert!(request.all("upgrade").is_empty() && request.all("connection").is_empty());
    assert_eq!(consumer.get("/socket", "").text(), "ok");
}

#[test]
fn a_switch_that_nobody_asked_for_is_no_answer() {
    let origin = Origin::saying(AGREED);
    let rig = setup(&origin).start();
    for (path, more) in [
        ("/socket", ""),
        ("/", "Upgrade: websocket\r\nConnection: upgrade\r\n"),
    ] {
        assert_eq!(rig.connect().get(path, more).status(), "502", "{path}");
    }
    assert_eq!(ask(&mut rig.connect(), "/", "").status(), "502");
}

#[test]
fn who_may_not_use_the_route_opens_no_socket_on_it() {
    let (origin, seen) = Origin::answering(AGREED);
    let mut setup: Setup = setup(&origin);
    setup.routes.last_mut().expect("the route").admission =
        leasehold_proxy::Admission::These(["checkout".into()].into());
    let rig = setup.start();
    assert_eq!(ask(&mut rig.connect(), "/socket", "").status(), "401");
    let reports = format!(
        "{}: {}\r\n",
        crate::rig::KEY_HEADER,
        crate::rig::REPORTS_KEY
    );
    assert_eq!(ask(&mut rig.connect(), "/socket", &reports).status(), "403");
    seen.nothing();
}

#[test]
fn sockets_are_requests_in_flight_and_connections_of_their_upstream() {
    let limits = [
        leasehold_proxy::UpstreamLimits {
            requests: 2,
            ..leasehold_proxy::UpstreamLimits::default()
        },
        leasehold_proxy::UpstreamLimits {
            connections: 2,
            ..leasehold_proxy::UpstreamLimits::default()
        },
    ];
    for limits in limits {
        let origin = echo("");
        let mut setup = setup(&origin);
        setup.policy.limits = limits;
        let rig = setup.start();
        let sockets = [super::open(&rig), super::open(&rig)];
        let refused = ask(&mut rig.connect(), "/socket", "");
        assert_eq!(refused.status(), "503");
        assert!(refused.text().contains("upstream_overloaded"));
        drop(sockets);
        super::until_open(&rig, "0");
        until("room for one more", || {
            let answer = ask(&mut rig.connect(), "/socket", "");
            (answer.status() == "101").then_some(())
        });
    }
}
