//! Where connections come from: balancers, and the same machine.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use leasehold_proxy::{ListenerAddress, Trusted};

use crate::origin::{OK, Origin};
use crate::rig::{Rig, Setup};

#[test]
fn the_record_says_where_a_request_came_from() {
    let rig = rig(|_| {});
    let mut consumer = rig.connect();
    let address = consumer.stream.local_addr().expect("an address");
    consumer.get("/", "");
    assert_eq!(rig.record()["client"], address.to_string());
}

#[test]
fn a_balancer_that_is_trusted_says_whom_it_speaks_for() {
    let rig = rig(|setup| setup.proxy_protocol = trusted("127.0.0.0/8"));
    let four = *b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc0\0\x02\x01\x1f\x90\0\x50";
    for header in [&b"PROXY TCP4 192.0.2.7 192.0.2.1 8080 80\r\n"[..], &four] {
        let mut consumer = rig.connect();
        consumer.send(header);
        assert_eq!(consumer.get("/", "").text(), "ok");
        assert_eq!(consumer.get("/", "").text(), "ok");
    }
    for record in rig.records(4) {
        assert_eq!(record["client"], "192.0.2.7:8080");
    }
}

#[test]
fn a_balancers_own_connection_is_its_own() {
    let rig = rig(|setup| setup.proxy_protocol = trusted("127.0.0.1/32"));
    let local = *b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for (count, header) in [&b"PROXY UNKNOWN\r\n"[..], &local].iter().enumerate() {
        let mut consumer = rig.connect();
        let address = consumer.stream.local_addr().expect("an address");
        consumer.send(header);
        assert_eq!(consumer.get("/", "").text(), "ok");
        let records = rig.records(count + 1);
        assert_eq!(records[count]["client"], address.to_string());
    }
}

#[test]
fn nobody_else_is_served_there() {
    let rig = rig(|setup| setup.proxy_protocol = trusted("192.0.2.0/24"));
    let mut consumer = rig.connect();
    // The gateway may have closed before all of it was sent.
    drop(
        consumer
            .stream
            .write_all(b"PROXY TCP4 192.0.2.7 192.0.2.1 1 2\r\n"),
    );
    consumer.expect_closed();
    assert!(rig.finish().is_empty());
}

#[test]
fn what_is_no_header_and_what_has_no_end_is_closed() {
    let rig = rig(|setup| {
        setup.proxy_protocol = trusted("127.0.0.0/8");
        setup.limits.head_timeout = Duration::from_millis(50);
    });
    for sent in ["GET / HTTP/1.1\r\nHost: a\r\n\r\n", "PROXY TCP4 1"] {
        let mut consumer = rig.connect();
        consumer.send(sent).expect_closed();
    }
    assert!(rig.finish().is_empty());
}

#[test]
fn a_unix_socket_is_served_by_all_workers_and_leaves_no_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("public.sock");
    // What a dead process has left behind is in nobody's way.
    drop(UnixListener::bind(&path).expect("a socket"));
    let mut rig = rig(|setup| {
        setup.workers = 2;
        setup.listen = Some(unix(&path, 0o660));
    });
    let mode = std::fs::metadata(&path)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o660);
    for _ in 0..20 {
        let answer = ask(&path);
        assert!(answer.ends_with("ok"), "{answer}");
    }
    assert_eq!(rig.records(20)[0]["client"], serde_json::Value::Null);
    rig.drain(Duration::ZERO);
    assert!(!path.exists());
}

#[test]
fn a_unix_socket_that_is_served_and_what_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let (served, file) = (directory.path().join("a.sock"), directory.path().join("b"));
    let _listener = UnixListener::bind(&served).expect("a socket");
    std::fs::write(&file, "text").expect("written");
    for path in [&served, &file] {
        let spec = leasehold_proxy::ListenerSpec {
            name: "public".into(),
            address: unix(path, 0o600),
            tls: None,
            http2: false,
            proxy_protocol: None,
            limits: leasehold_proxy::Limits::default(),
        };
        leasehold_proxy::Server::bind(&[spec], 1).expect_err("it is taken");
        assert!(path.exists());
    }
}

#[test]
fn who_reaches_a_unix_socket_is_trusted_with_headers() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("public.sock");
    let rig = rig(|setup| {
        setup.listen = Some(unix(&path, 0o600));
        setup.proxy_protocol = Some(Trusted(Vec::new()));
    });
    let mut stream = UnixStream::connect(&path).expect("it listens");
    let sent =
        "PROXY TCP6 2001:db8::7 ::1 5 6\r\nGET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(sent.as_bytes()).expect("sent");
    drop(stream.read_to_end(&mut Vec::new()));
    assert_eq!(rig.record()["client"], "[2001:db8::7]:5");
}

fn ask(path: &Path) -> String {
    let mut stream = UnixStream::connect(path).expect("it listens");
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

fn unix(path: &Path, mode: u32) -> ListenerAddress {
    let path = path.to_path_buf();
    ListenerAddress::Unix { path, mode }
}

fn trusted(network: &str) -> Option<Trusted> {
    Some(Trusted(vec![network.parse().expect("a network")]))
}

fn rig(set: impl FnOnce(&mut Setup)) -> Rig {
    let origin = Origin::saying(OK);
    let mut setup = Setup::to(&[origin.url()]);
    set(&mut setup);
    setup.start()
}
