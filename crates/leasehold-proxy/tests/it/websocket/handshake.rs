//! What goes to the upstream of a request for a WebSocket, and what comes back.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::ReasonCode;
use leasehold_proxy::{MirrorSpec, TrustedRoots};
use rustls::{ALL_VERSIONS, ServerConnection, StreamOwned};
use serde_json::Value;

use super::{AGREED, KEY, ask, echo, open, setup, with_idle};
use crate::lease::{FakeProvider, Lease};
use crate::origin::{OK, Origin, seen};
use crate::rig::{CHECKOUT_KEY, KEY_HEADER, LIMIT, Setup};
use crate::tls::{authority, server_config};

#[test]
fn the_origin_is_asked_as_the_gateway_was_but_for_key_and_credential() {
    let (show, seen) = seen();
    let origin = Origin::start(move |mut connection| {
        show.send(connection.receive()).expect("the test goes on");
        let more = "Sec-WebSocket-Protocol: b\r\nSec-WebSocket-Extensions: x-zip\r\n\r\n";
        connection.send(AGREED.replace("\r\n\r\n", &format!("\r\n{more}")));
        connection.expect_closed();
    });
    let lease = Lease::ready(FakeProvider::storing());
    let rig = with_idle(lease.setup(&origin), LIMIT).start();
    let mut consumer = rig.connect();
    let more = format!(
        "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Extensions: x-zip; q=1\r\n\
         Origin: https://app.example\r\n{KEY_HEADER}: {CHECKOUT_KEY}\r\nX-Api-Key: forged\r\n"
    );
    let answer = ask(&mut consumer, "/socket/x?y=%20", &more);
    let mut lines: Vec<_> = answer.head.lines().collect();
    lines[1..].sort_unstable();
    let date = lines.iter().position(|it| it.starts_with("date: "));
    lines.remove(date.expect("a date"));
    let expected = [
        "HTTP/1.1 101 Switching Protocols",
        "connection: Upgrade",
        "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "sec-websocket-extensions: x-zip",
        "sec-websocket-protocol: b",
        "upgrade: websocket",
    ];
    assert_eq!(lines, expected);
    let request = seen.next();
    let mut lines: Vec<_> = request.head.lines().collect();
    lines[1..].sort_unstable();
    let trace = lines.iter().position(|it| it.starts_with("traceparent: "));
    lines.remove(trace.expect("a trace"));
    let (host, key) = (
        format!("host: {}", origin.address),
        format!("sec-websocket-key: {KEY}"),
    );
    let current = lease.current().expect("a credential").number();
    let expected = [
        "GET /socket/x?y=%20 HTTP/1.1",
        "connection: Upgrade",
        &host,
        "origin: https://app.example",
        "sec-websocket-extensions: x-zip; q=1",
        &key,
        "sec-websocket-protocol: a, b",
        "sec-websocket-version: 13",
        "upgrade: websocket",
    ];
    let credential = lines.iter().position(|it| it.starts_with("x-api-key: "));
    let credential = lines.remove(credential.expect("a credential"));
    assert!(!credential.contains("forged"), "{credential}");
    assert_eq!(lines, expected);
    drop(consumer);
    let record = rig.record();
    assert_eq!(record["status"], 101);
    assert_eq!(record["consumer"], "checkout");
    assert_eq!(record["generation"], current.get());
}

#[test]
fn a_refusal_of_the_upstream_is_an_ordinary_answer() {
    for refusal in [
        "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno",
        "HTTP/1.1 200 OK\r\nupgrade: websocket\r\ncontent-length: 2\r\n\r\nno",
    ] {
        let origin = Origin::saying(refusal);
        let rig = setup(&origin).start();
        let mut consumer = rig.connect();
        let answer = ask(&mut consumer, "/socket", "");
        assert_eq!(answer.text(), "no");
        assert!(refusal.contains(answer.status()));
        assert!(answer.all("upgrade").is_empty(), "{}", answer.head);
        // The connection speaks HTTP as before, and so does the upstream's.
        assert_eq!(consumer.get("/", "").text(), "no");
        assert_eq!(origin.connections(), 1);
        assert_eq!(rig.records(2)[0]["reason"], Value::Null);
    }
}

#[test]
fn a_switch_that_does_not_agree_to_what_was_asked_for_is_no_answer() {
    for (from, to) in [
        (
            "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        ),
        ("Upgrade: websocket", "Upgrade: h2c"),
        ("Connection: Upgrade", "Connection: close"),
        ("Sec-WebSocket-Accept", "X-Other"),
    ] {
        let answer: &'static str = AGREED.replace(from, to).leak();
        let origin = Origin::saying(answer);
        let rig = setup(&origin).start();
        let refused = ask(&mut rig.connect(), "/socket", "");
        assert_eq!(refused.status(), "502", "{to}");
        let record = rig.record();
        assert_eq!(record["reason"], ReasonCode::UpstreamFailed.as_str());
    }
}

#[test]
fn a_socket_has_a_connection_of_its_own_and_uses_it_up() {
    let origin = echo("");
    let rig = setup(&origin).start();
    let mut other = rig.connect();
    // One that waits for the next request.
    assert_eq!(other.get("/", "").text(), "ok");
    let mut socket = open(&rig);
    assert_eq!(origin.connections(), 2);
    assert_eq!(other.get("/", "").text(), "ok");
    socket.send("hello");
    assert_eq!(socket.exactly(5).expect("an echo"), b"hello");
    socket.end();
    socket.expect_closed();
    assert_eq!(other.get("/", "").text(), "ok");
    assert_eq!(origin.connections(), 2);
}

#[test]
fn what_an_answer_must_arrive_in_holds_until_the_switch_and_not_after() {
    let origin = echo("");
    let mut setup = setup(&origin);
    let limit = Duration::from_millis(300);
    setup.response_timeout = limit;
    for route in &mut setup.routes {
        route.timeout = Some(limit);
    }
    let rig = setup.start();
    let mut socket = open(&rig);
    // Longer than either may take.
    std::thread::park_timeout(limit * 2);
    socket.send("still here");
    assert_eq!(socket.exactly(10).expect("an echo"), b"still here");
    let silent = Origin::start(|mut connection| drop(connection.rest()));
    let mut late = super::setup(&silent);
    late.response_timeout = limit;
    let rig = late.start();
    assert_eq!(ask(&mut rig.connect(), "/socket", "").status(), "504");
}

#[test]
fn an_upstream_that_speaks_http2_is_asked_in_http1() {
    let authority = authority();
    let mut config = server_config(&authority, "localhost", ALL_VERSIONS);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let (show, agreed) = std::sync::mpsc::channel();
    let origin = Origin::start(move |connection| {
        let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
        let mut stream = StreamOwned::new(session, connection.stream);
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a head");
            head.extend_from_slice(&byte);
        }
        let protocol = stream.conn.alpn_protocol().map(<[u8]>::to_vec);
        show.send(protocol).expect("the test goes on");
        stream.write_all(AGREED.as_bytes()).expect("sent");
        let mut said = [0; 5];
        stream.read_exact(&mut said).expect("a word");
        stream.write_all(&said).expect("sent");
        stream.conn.send_close_notify();
        stream.flush().expect("sent");
    });
    let mut setup = Setup::to(&[format!("https://localhost:{}", origin.address.port())]);
    setup.roots = TrustedRoots::Pem(authority.pem().into_bytes());
    let rig = with_idle(setup, LIMIT).start();
    let mut socket = open(&rig);
    let agreed = agreed.recv_timeout(LIMIT).expect("a handshake");
    assert_eq!(agreed.as_deref(), Some(&b"http/1.1"[..]));
    socket.send("hello");
    assert_eq!(socket.rest().expect("an echo"), b"hello");
}

#[test]
fn nobody_gets_a_copy_of_a_socket() {
    let (mirror, copies) = Origin::answering(OK);
    let origin = echo("");
    let mut setup = setup(&origin);
    setup.others.push(("mirror".to_owned(), mirror.url(), None));
    for route in &mut setup.routes {
        route.mirror = Some(MirrorSpec {
            upstream: "mirror".into(),
            percent: 100,
        });
    }
    let rig = setup.start();
    let mut socket = open(&rig);
    socket.send("x");
    assert_eq!(socket.exactly(1).expect("an echo"), b"x");
    // An ordinary request on the same route is copied, and that is the first copy that there is.
    assert_eq!(rig.connect().get("/socket/after", "").text(), "ok");
    assert!(copies.next().head.starts_with("GET /socket/after "));
    copies.nothing();
}
