//! WebSockets: what asks for one, what is answered, and what goes over it.

mod conformance;
mod handshake;
mod life;
mod refused;
mod streams;

use std::io::{Read as _, Write as _};
use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leasehold_proxy::{Admission, RouteSpec, WebSocket};

use crate::consumer::{Consumer, Message};
use crate::origin::Origin;
use crate::rig::{LIMIT, Rig, Setup, until};

/// Returns a gateway's setup with one more route, from `/socket`, on which WebSockets may be asked for.
fn setup(origin: &Origin) -> Setup {
    with_idle(Setup::to(&[origin.url()]), LIMIT)
}

fn with_idle(mut setup: Setup, idle: Duration) -> Setup {
    setup.routes.push(RouteSpec {
        websocket: Some(WebSocket { idle }),
        ..RouteSpec::to("socket", "/socket", "origin", Admission::Anyone)
    });
    setup
}

/// Starts an origin that agrees to every WebSocket, says `greeting` in the same breath, and sends back
/// what it is sent until the other side has said all.
fn echo(greeting: &'static str) -> Origin {
    Origin::start(move |mut connection| {
        while let Ok(request) = connection.try_receive() {
            if request.all("upgrade").is_empty() {
                connection.send(crate::origin::OK);
                continue;
            }
            connection.send(format!("{}{greeting}", agreed(&request)));
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = connection.stream.read(&mut buffer) {
                if connection.stream.write_all(&buffer[..length]).is_err() {
                    break;
                }
            }
            break;
        }
    })
}

/// Returns the 101 that agrees to a request.
fn agreed(request: &Message) -> String {
    let [key] = request.all("sec-websocket-key")[..] else {
        panic!("one key: {}", request.head);
    };
    let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let accept = STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()));
    AGREED.replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &accept)
}

/// Asks for a WebSocket as RFC 6455 has it, with more header lines where they are given.
fn ask(consumer: &mut Consumer, path: &str, more: &str) -> Message {
    consumer.send(asking(path, more));
    consumer.receive()
}

fn asking(path: &str, more: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: api.example\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{more}\r\n"
    )
}

/// Opens a WebSocket.
fn open(rig: &Rig) -> Consumer {
    let mut consumer = rig.connect();
    assert_eq!(ask(&mut consumer, "/socket", "").status(), "101");
    consumer
}

fn open_sockets(rig: &Rig) -> String {
    gauge(rig, "leasehold_websockets ")
}

fn gauge(rig: &Rig, name: &str) -> String {
    let metrics = rig.metrics();
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.expect("a gauge").to_owned()
}

fn until_open(rig: &Rig, count: &str) {
    until("WebSockets to open or close", || {
        (open_sockets(rig) == count).then_some(())
    });
}

/// The key of RFC 6455's own example, and the 101 that agrees to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
     Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
