//! The gateway in front of servers of other people's making: whatever is sent, no origin counts other
//! requests than the gateway has logged.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use fastrand::Rng;
use leasehold_testkit::{Scratch, WebServer, WebServerKind};
use serde_json::Value;

use crate::http1;
use crate::rig::{LIMIT, Rig, Setup, until};

#[test]
fn nginx_counts_what_the_gateway_logged() {
    compare(WebServerKind::Nginx);
}

#[test]
fn haproxy_counts_what_the_gateway_logged() {
    compare(WebServerKind::HaProxy);
}

#[test]
fn waitress_counts_what_the_gateway_logged() {
    compare(WebServerKind::Waitress);
}

#[test]
fn node_counts_what_the_gateway_logged() {
    compare(WebServerKind::Node);
}

fn compare(kind: WebServerKind) {
    // Read when the test is built, as `cargo xtask differential` does.
    let count = number(option_env!("DIFFERENTIAL_REQUESTS")).unwrap_or(5_000);
    // By default the same requests each time: a test run says the same of the same code.
    let seed = number(option_env!("DIFFERENTIAL_SEED")).unwrap_or(1);
    let scratch = Scratch::new().expect("a directory");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let origin = runtime.block_on(WebServer::start(kind, scratch.path()));
    let origin = origin.expect("a web server");
    let mut random = Rng::with_seed(seed);
    let mut total = Total::default();
    let mut seen = 0;
    while total.mutated < count {
        let records = batch(&origin, &mut random, &mut total);
        let lines = since(&origin, &mut seen);
        if let Err(fault) = weigh(&records, &lines, kind, &mut total) {
            panic!(
                "DIFFERENTIAL_SEED={seed} DIFFERENTIAL_REQUESTS={}, {kind:?}: {fault}",
                total.mutated
            );
        }
    }
    eprintln!("{kind:?} with the seed {seed}: {total:?}");
    // Where nearly all is refused, nothing is shown.
    assert!(total.counted > total.sent / 5, "{total:?}");
    assert!(total.refused > total.sent / 50, "{total:?}");
}

/// What was done.
#[derive(Debug, Default)]
struct Total {
    /// Requests that were sent, as they were counted before any was mutated.
    sent: u64,
    /// Those of them that were mutated, each together with the sound one behind it.
    mutated: u64,
    logged: u64,
    refused: u64,
    /// Requests that the origin counted.
    counted: u64,
}

/// Sends a batch through a gateway of its own; returns what that has logged.
fn batch(origin: &WebServer, random: &mut Rng, total: &mut Total) -> Vec<Value> {
    let mut setup = Setup::to(&[format!("http://127.0.0.1:{}", origin.port())]);
    setup.connection_limit = 1000;
    let rig = setup.start();
    let streams: Vec<_> = (0..CONNECTIONS).map(|_| stream(random)).collect();
    std::thread::scope(|scope| {
        for share in streams.chunks(CONNECTIONS / CLIENTS) {
            scope.spawn(|| share.iter().for_each(|it| send(&rig, &it.bytes)));
        }
    });
    total.sent += streams.iter().map(|it| it.requests).sum::<u64>();
    total.mutated += streams.iter().map(|it| it.mutated).sum::<u64>();
    until("the connections to end", || {
        rig.metrics()
            .contains("leasehold_connections 0\n")
            .then_some(())
    });
    rig.finish()
}

/// What is sent over one connection.
struct Stream {
    bytes: Vec<u8>,
    requests: u64,
    mutated: u64,
}

/// Some requests in one go, about half of which are changed at a few places.
fn stream(random: &mut Rng) -> Stream {
    let mut bytes = Vec::new();
    let (examples, mut mutated) = (random.u64(1..=4), 0);
    for number in 0..examples {
        let from = bytes.len();
        bytes.extend_from_slice(http1::example(random));
        bytes.extend_from_slice(
            format!("GET /after/{number} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes(),
        );
        if random.bool() {
            mutated += 1;
            let mut request = bytes.split_off(from);
            for _ in 0..random.usize(1..4) {
                mutate(&mut request, random);
            }
            bytes.extend(request);
        }
    }
    bytes.extend_from_slice(b"GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    Stream {
        bytes,
        requests: examples * 2 + 1,
        mutated,
    }
}

fn mutate(request: &mut Vec<u8>, random: &mut Rng) {
    let at = random.usize(..=request.len());
    match random.u8(..5) {
        0 if at < request.len() => drop(request.remove(at)),
        1 if at < request.len() => request[at] ^= 1 << random.u8(..8),
        2 => {
            let from = at.saturating_sub(random.usize(1..40));
            let copy = request[from..at].to_vec();
            request.splice(at..at, copy);
        }
        3 if at < request.len() => {
            let other = random.usize(..request.len());
            request.swap(at, other);
        }
        _ => {
            let piece = random.choice(PIECES).copied().unwrap_or_default();
            request.splice(at..at, piece.bytes());
        }
    }
}

/// Sends everything and reads the answers, until the connection ends or nothing comes any more: where the
/// end was taken for a part of a body, the gateway waits for the rest.
fn send(rig: &Rig, bytes: &[u8]) {
    let mut stream = TcpStream::connect(rig.address).expect("the gateway listens");
    stream.set_nodelay(true).expect("set");
    stream.set_read_timeout(Some(SILENCE)).expect("set");
    if stream.write_all(bytes).is_ok() {
        let mut answers = [0; 4096];
        while matches!(stream.read(&mut answers), Ok(1..)) {}
    }
}

/// Returns what the origin has seen since it was asked last, once it is done with all of it: it has one
/// thread, and a request of our own comes behind all that came over connections that have ended.
fn since(origin: &WebServer, seen: &mut usize) -> Vec<String> {
    let address = SocketAddr::from(([127, 0, 0, 1], origin.port()));
    let mut stream = TcpStream::connect(address).expect("the origin listens");
    stream.set_read_timeout(Some(LIMIT)).expect("set");
    let marker = format!("GET /marker/{seen} HTTP/1.1");
    stream
        .write_all(format!("{marker}\r\nHost: a\r\nConnection: close\r\n\r\n").as_bytes())
        .expect("sent");
    stream.read_to_end(&mut Vec::new()).expect("an answer");
    let marker = marker.trim_end_matches(" HTTP/1.1");
    let mut lines = until("the origin to be done", || {
        let lines = origin.seen().expect("its record");
        lines
            .iter()
            .any(|it| it.starts_with(marker))
            .then_some(lines)
    });
    let new = lines.split_off(*seen);
    *seen += new.len();
    let new = new.into_iter().filter(|line| !line.starts_with(marker));
    new.collect()
}

/// Checks that the origin has counted each request that it answered, and nothing that was not sent to it.
fn weigh(
    records: &[Value],
    lines: &[String],
    kind: WebServerKind,
    total: &mut Total,
) -> Result<(), String> {
    let mut answered: HashMap<String, i64> = HashMap::new();
    let mut sent: HashMap<String, i64> = HashMap::new();
    let mut rejected = 0;
    for record in records {
        total.logged += 1;
        if record["reason"] == "bad_request" {
            total.refused += 1;
        }
        if record["endpoint"].is_null() {
            continue;
        }
        let name = name_of(record, kind);
        *sent.entry(name.clone()).or_default() += 1;
        if record["status"] == 200 && record["reason"].is_null() {
            *answered.entry(name).or_default() += 1;
        } else if record["status"]
            .as_u64()
            .is_some_and(|status| status >= 400)
        {
            rejected += 1;
        }
    }
    for line in lines {
        total.counted += 1;
        let mut words = line.split(' ');
        let (method, target) = (
            words.next().unwrap_or_default(),
            words.next().unwrap_or_default(),
        );
        let name = format!("{method} {}", target.split('?').next().unwrap_or_default());
        *answered.entry(name.clone()).or_default() -= 1;
        let left = sent.entry(name).or_default();
        *left -= 1;
        if *left < 0 {
            // What an origin could not read has no name; the gateway has logged its refusal.
            rejected -= 1;
            if rejected < 0 || !method.starts_with('<') {
                return Err(format!("the origin counted {line:?}, which was not logged"));
            }
        }
    }
    let uncounted = answered.iter().find(|(_, left)| **left > 0);
    uncounted.map_or(Ok(()), |(name, left)| {
        Err(format!(
            "{name} was logged {left} times more than the origin counted it"
        ))
    })
}

#[test]
fn a_request_more_or_less_is_found_out() {
    let record = serde_json::json!({
        "method": "GET", "path": "/a", "status": 200, "endpoint": "it", "reason": null,
    });
    let weigh = |lines: &[&str]| {
        let lines: Vec<_> = lines.iter().map(|line| (*line).to_owned()).collect();
        let kind = WebServerKind::Nginx;
        weigh(
            std::slice::from_ref(&record),
            &lines,
            kind,
            &mut Total::default(),
        )
        .is_ok()
    };
    assert!(weigh(&["GET /a?b HTTP/1.1"]));
    assert!(!weigh(&[]));
    assert!(!weigh(&["GET /a HTTP/1.1", "GET /a HTTP/1.1"]));
    assert!(!weigh(&["GET /a HTTP/1.1", "GET /b HTTP/1.1"]));
    assert!(!weigh(&["GET /a HTTP/1.1", "<BADREQ> x"]));
}

/// Returns the method and the path of a record as the origin writes them.
fn name_of(record: &Value, kind: WebServerKind) -> String {
    let text = |key: &str| record[key].as_str().unwrap_or_default();
    let name = format!("{} {}", text("method"), text("path"));
    match kind {
        // Of what a request line can hold, its log has these in its own writing.
        WebServerKind::HaProxy => name.replace('#', "#23").replace('"', "#22"),
        _ => name,
    }
}

fn number(text: Option<&str>) -> Option<u64> {
    text.map(|text| text.parse().expect("a number"))
}

const CONNECTIONS: usize = 240;
const CLIENTS: usize = 8;
const SILENCE: Duration = Duration::from_millis(150);
const PIECES: &[&str] = &[
    "\r",
    "\n",
    "\r\n",
    " ",
    "\t",
    "\0",
    ":",
    ";",
    ",",
    "0",
    "5",
    "f",
    "x",
    "chunked",
    "close",
    "/",
    "?",
    "%",
    "..",
    "Content-Length: 3\r\n",
    "Content-Length: 0\r\n",
    "\r\nContent-Length: 40\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Expect: 100-continue\r\n",
    "\r\n\r\n",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n",
    " HTTP/1.1\r\n",
    "HTTP/1.0",
    "\r\nX: ",
    "\r\n ",
    "POST /y HTTP/1.1\r\nHost: a\r\n",
];
