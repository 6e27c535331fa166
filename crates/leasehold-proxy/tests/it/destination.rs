//! Whatever is asked and answered, a credential goes to the endpoints of its upstream and nowhere else.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::consumer::Consumer;
use crate::lease::{FakeProvider, Lease};
use crate::origin::{Origin, Seen, seen};

#[test]
fn no_request_leads_a_credential_astray() {
    let stage = Stage::new();
    let evil = stage.evil.address;
    let host = format!("api.example:{}", evil.port());
    let mut asked = 0;
    for target in targets(evil) {
        for head in heads(evil) {
            let mut consumer = Consumer::connect(stage.address);
            consumer.send(format!(
                "GET {target} HTTP/1.1\r\n{head}Connection: close\r\n\r\n"
            ));
            // Some are refused, some cut off: what counts is where anything went.
            drop(consumer.rest());
            asked += 1;
        }
    }
    for method in ["CONNECT", "OPTIONS", "TRACE"] {
        let mut consumer = Consumer::connect(stage.address);
        consumer.send(format!(
            "{method} {evil} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ));
        drop(consumer.rest());
        asked += 1;
    }
    assert!(asked >= 150, "{asked}");
    stage.expect_nothing_astray();
}

#[test]
fn no_answer_leads_a_credential_astray() {
    let stage = Stage::new();
    let mut asked = 0;
    for status in [
        "201", "301", "302", "303", "307", "308", "401", "421", "503",
    ] {
        for header in [
            "Location",
            "Content-Location",
            "Refresh",
            "Alt-Svc",
            "Link",
            "WWW-Authenticate",
            "X-Accel-Redirect",
            "X-Sendfile",
            "Retry-After",
        ] {
            let mut consumer = Consumer::connect(stage.address);
            let answer = consumer.get(
                "/",
                &format!("X-Status: {status}\r\nX-Header: {header}\r\n"),
            );
            assert_eq!(answer.status(), status, "{header}: handed on as it is");
            asked += 1;
        }
    }
    assert!(asked >= 50, "{asked}");
    stage.expect_nothing_astray();
}

fn targets(evil: SocketAddr) -> Vec<String> {
    vec![
        "/".to_owned(),
        format!("http://{evil}/"),
        format!("https://{evil}/"),
        format!("http://api.example@{evil}/"),
        format!("http://{evil}#@api.example/"),
        format!("//{evil}/"),
        format!("///{evil}/"),
        format!("/\\{evil}/"),
        format!("/http://{evil}/"),
        format!("/..//{evil}/"),
        format!("/?url=http://{evil}/&host={evil}"),
        format!("@{evil}/"),
        format!(":{}/", evil.port()),
        format!("{evil}"),
        "*".to_owned(),
    ]
}

fn heads(evil: SocketAddr) -> Vec<String> {
    let own = "Host: api.example\r\n";
    let mut heads: Vec<_> = [
        "X-Forwarded-Host",
        "X-Host",
        "X-Original-Host",
        "X-Forwarded-Server",
        "X-HTTP-Host-Override",
        "Forwarded",
        "X-Original-URL",
        "X-Rewrite-URL",
        "Upgrade",
    ]
    .iter()
    .map(|name| {
        let value = if *name == "Forwarded" {
            format!("host={evil}")
        } else {
            evil.to_string()
        };
        format!("{own}{name}: {value}\r\n")
    })
    .collect();
    heads.push(format!("Host: {evil}\r\n"));
    heads.push(format!("Host: api.example@{evil}\r\n"));
    heads.push(format!("{own}Host: {evil}\r\n"));
    heads
}

/// A gateway with a credential, the origin that it is for, and another server that lies in wait for it.
struct Stage {
    address: SocketAddr,
    _rig: crate::rig::Rig,
    _lease: Lease,
    seen: Seen,
    evil: Evil,
}

struct Evil {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Stage {
    /// The origin answers 200, or as a request's `X-Status` says, with `X-Header` leading to the other
    /// server.
    fn new() -> Self {
        let evil = Evil::lie_in_wait();
        let astray = format!("http://{}/", evil.address);
        let lease = Lease::ready(FakeProvider::leasing(Duration::from_secs(600)));
        let (show, seen) = seen();
        let origin = Origin::start(move |mut connection| {
            while let Ok(request) = connection.try_receive() {
                let asked = |name: &str| request.all(name).first().map(|it| (*it).to_owned());
                let answer = match (asked("x-status"), asked("x-header")) {
                    (Some(status), Some(header)) => format!(
                        "HTTP/1.1 {status} Astray\r\n{header}: {astray}\r\nContent-Length: 0\r\n\r\n"
                    ),
                    _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
                };
                show.send(request).expect("the test goes on");
                connection.send(answer);
            }
        });
        let rig = lease.setup(&origin).start();
        Self {
            address: rig.address,
            _rig: rig,
            _lease: lease,
            seen,
            evil,
        }
    }

    /// Nothing came to the other server, and what came to the origin was for the origin.
    fn expect_nothing_astray(self) {
        assert_eq!(self.evil.connections.load(Ordering::SeqCst), 0);
        let mut came = 0;
        while let Some(request) = self.seen.any() {
            assert_eq!(request.all("x-api-key").len(), 1, "{request:?}");
            let [host] = request.all("host")[..] else {
                panic!("one host: {request:?}")
            };
            let evil = self.evil.address.to_string();
            assert!(
                host.starts_with("127.0.0.1:") && host != evil,
                "{request:?}"
            );
            came += 1;
        }
        assert!(came > 5, "some requests are sound: {came}");
    }
}

impl Evil {
    fn lie_in_wait() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        // Ends with the process: a listener can't be woken.
        std::thread::spawn(move || {
            for _ in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self {
            address,
            connections,
        }
    }
}
