//! What went wrong in other people's gateways, and does not here: each family of `docs/failures.md`
//! that is about HTTP/1.1 by the number it has there.

use std::io::{ErrorKind, Write as _};
use std::sync::mpsc::channel;
use std::time::Duration;

use parking_lot::Mutex;

use super::recorder::Recorder;
use super::{PROBE_SEEN, Suite, refused};
use crate::consumer::Consumer;
use crate::lease::{FakeProvider, Lease};
use crate::origin::{OK, Origin};
use crate::rig::{CHECKOUT_KEY, KEY_HEADER, LIMIT, Setup, until};

/// Pingora, CVE-2025-4366: what was left of a body was taken for the next request.
#[test]
fn t1_what_is_left_of_a_body_is_not_taken_for_a_request() {
    let (show, shown) = channel();
    let origin = Origin::start(move |mut connection| {
        while let Ok(head) = connection.head() {
            // Answers before the body has come.
            connection.send(OK);
            if head.starts_with("POST ") {
                drop(connection.exactly("GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n".len()));
            }
            show.send(head).expect("the test goes on");
        }
    });
    let rig = Setup::to(&[origin.url()]).start();
    let hidden = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut consumer = rig.connect();
    consumer.send(format!(
        "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        hidden.len()
    ));
    assert_eq!(consumer.receive().text(), "ok");
    // While the body is owed, nobody else's request goes over the connection.
    assert_eq!(rig.connect().get("/2", "").text(), "ok");
    assert_eq!(origin.connections(), 2);
    drop(consumer.stream.write_all(hidden.as_bytes()));
    drop(
        consumer
            .stream
            .write_all(b"GET /3 HTTP/1.1\r\nHost: a\r\n\r\n"),
    );
    if let Ok(answer) = consumer.try_receive() {
        assert_eq!(answer.text(), "ok");
    }
    for record in rig.finish() {
        assert_ne!(record["path"], "/hidden", "{record}");
    }
    for head in shown.try_iter() {
        assert!(!head.contains("hidden"), "{head}");
    }
}

/// Pingora, CVE-2026-2833: what came behind a request for an upgrade went on before the answer did.
#[test]
fn t2_nothing_behind_a_request_for_an_upgrade_goes_on_before_its_answer() {
    let (go_on, told) = channel::<()>();
    let told = Mutex::new(told);
    let (show, shown) = channel();
    let origin = Origin::start(move |mut connection| {
        connection.head().expect("a head");
        told.lock().recv_timeout(LIMIT).expect("the test goes on");
        // All that had been sent by then is there now.
        connection.stream.set_nonblocking(true).expect("set");
        let early = connection.exactly(1).map_err(|error| error.kind());
        show.send(early).expect("the test goes on");
        connection.stream.set_nonblocking(false).expect("set");
        connection.send("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
        while let Ok(request) = connection.try_receive() {
            assert!(request.head.starts_with("GET /next "), "{}", request.head);
            connection.send(OK);
        }
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer.send(
        "GET /socket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\
         GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    until("the request to be on its way", || {
        (origin.connections() == 1).then_some(())
    });
    go_on.send(()).expect("the origin waits");
    let early = shown.recv_timeout(LIMIT).expect("the origin looked");
    assert_eq!(early.err(), Some(ErrorKind::WouldBlock));
    assert_eq!(consumer.receive().status(), "403");
    assert_eq!(consumer.receive().text(), "ok");
    assert_eq!(rig.finish().len(), 2);
}

/// Pingora, CVE-2026-2835; actix-http, CVE-2026-73051; tinyproxy, CVE-2026-54388; HAProxy,
/// CVE-2023-40225: a length that two servers read differently.
#[test]
fn t3_a_length_that_leaves_a_choice_is_refused() {
    super::run(
        &[
            refused(
                "a coding in HTTP/1.0",
                b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ),
            refused(
                "a coding that does not end in chunked",
                b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
            ),
            refused(
                "a length and a coding",
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\
                  \r\n0\r\n\r\n",
            ),
            refused(
                "a length and a coding and an upgrade",
                b"POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\
                  Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            ),
            refused(
                "two lengths",
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
            ),
            refused(
                "an empty length",
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
            ),
        ],
        6,
    );
}

/// Kong, CVE-2026-6338: `Connection: Content-Length` took the framing away.
#[test]
fn t5_connection_takes_away_nothing_that_is_for_all() {
    let suite = Suite::start();
    let named = [
        "Content-Length",
        "Transfer-Encoding",
        "Host",
        "Authorization",
        "Cookie",
        "Traceparent",
        "X-Api-Key",
        "X-Consumer-Key",
        "X-Forwarded-For",
        "Forwarded",
        "Content-Type",
    ];
    for name in named {
        for name in [name.to_owned(), name.to_uppercase(), name.replace('-', "_")] {
            for list in [
                name.clone(),
                format!("close, {name}"),
                format!("x-hop,{name} ,"),
            ] {
                let answer = suite
                    .rig
                    .connect()
                    .get("/", &format!("Connection: {list}\r\n"));
                assert_eq!(answer.status(), "400", "{list}");
            }
        }
    }
    assert!(suite.recorder.take().whole.is_empty());
}

/// Kong, 2026-96437: what was larger than a buffer was not looked at, and let through.
#[test]
fn t6_what_is_larger_than_a_buffer_is_checked_all_the_same() {
    let (origin, shown) = Origin::answering(OK);
    let rig = Setup::to(&[origin.url()]).start();
    for size in SIZES {
        let body = "x".repeat(*size);
        let mut consumer = rig.connect();
        let head = format!("POST /closed/x HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
        consumer.send(head).send(&body);
        assert_eq!(consumer.receive().status(), "401", "a body of {size}");

        let mut consumer = rig.connect();
        let head = format!("GET /closed/x HTTP/1.1\r\nHost: a\r\nX-Fill: {body}\r\n\r\n");
        consumer.send(head);
        let status = consumer.head().expect("an answer");
        let refused = ["401", "431"].iter().any(|it| status.contains(it));
        assert!(refused, "a head of {size}: {status}");
    }
    assert_eq!(origin.connections(), 0);
    for size in SIZES {
        let body = "x".repeat(*size);
        let mut consumer = rig.connect();
        let head = "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        consumer.send(format!("{head}{size:x}\r\n{body}0\r\n\r\n"));
        assert_eq!(consumer.receive().status(), "400", "chunks of {size}");
    }
    shown.nothing();
}

/// Traefik, CVE-2024-45410 and GHSA-5m6w; APISIX, CVE-2026-31908: a header that the gateway sets was
/// forged under another name, or taken away.
#[test]
fn t7_no_variant_of_a_header_that_the_gateway_sets_comes_from_outside() {
    let suite = Suite::start();
    let mut consumer = suite.rig.connect();
    let mut tried = 0;
    for name in [
        "x-api-key",
        "x-consumer-key",
        "content-length",
        "transfer-encoding",
    ] {
        for variant in variants(name) {
            let more = format!("{variant}: forged\r\n");
            // Refused, each over a connection that ends.
            assert_eq!(
                suite.rig.connect().get("/", &more).status(),
                "400",
                "{variant}"
            );
            tried += 1;
        }
    }
    assert!(suite.recorder.take().whole.is_empty());
    for name in ["x-api-key", "traceparent", "tracestate", "x-consumer-key"] {
        for variant in cases(name) {
            let more = format!("{variant}: forged\r\n{variant}: forged again\r\n");
            assert_eq!(consumer.get("/probe", &more).status(), "200", "{variant}");
            // The header is there once, with what the gateway set, and was taken out for that.
            let sight = suite.recorder.take();
            assert_eq!(sight.whole, [PROBE_SEEN], "{variant}");
            tried += 1;
        }
    }
    assert!(tried >= 500, "{tried}");
}

/// Every way to write the name with other punctuation than a dash.
fn variants(name: &str) -> Vec<String> {
    let mut variants = vec![String::new()];
    for letter in name.chars() {
        let written = if letter == '-' { "-_.~!#$%&'*+^`|" } else { "" };
        let written: Vec<_> = if written.is_empty() {
            vec![letter]
        } else {
            written.chars().collect()
        };
        variants = variants
            .iter()
            .flat_map(|begun| written.iter().map(move |it| format!("{begun}{it}")))
            .collect();
    }
    variants.retain(|variant| variant != name);
    variants
}

/// Ways to write the name with other letters in capitals.
fn cases(name: &str) -> Vec<String> {
    let case = |seed: usize| {
        let letters = name.chars().enumerate();
        let written = letters.map(|(at, letter)| {
            if (seed >> (at % 4)) & 1 == 1 {
                letter.to_ascii_uppercase()
            } else {
                letter
            }
        });
        written.collect()
    };
    (0..16).map(case).collect()
}

/// APISIX, 2026: who a caller is was told by headers that were not cleaned.
#[test]
fn t9_what_tells_the_gateway_who_calls_goes_no_further() {
    let suite = Suite::start();
    let more = format!(
        "{KEY_HEADER}: {CHECKOUT_KEY}\r\nProxy-Authorization: Basic x\r\n{KEY_HEADER}: again\r\n"
    );
    for path in ["/x", "/closed/x"] {
        suite.rig.connect().get(path, &more);
    }
    for request in suite.recorder.take().whole {
        assert!(request.ends_with("/x HTTP/1.1\r\n\r\n"), "{request}");
    }
}

/// APISIX, 2026: what was not configured was open.
#[test]
fn t11_what_is_not_open_is_closed() {
    let suite = Suite::start();
    for (path, more, status) in [
        ("/closed/x", String::new(), "401"),
        ("/closed/x", format!("{KEY_HEADER}:\r\n"), "401"),
        (
            "/closed/x",
            format!("{KEY_HEADER}: {CHECKOUT_KEY}x\r\n"),
            "401",
        ),
        (
            "/closed/x",
            format!("{KEY_HEADER}: {CHECKOUT_KEY}, x\r\n"),
            "401",
        ),
        (
            "/closed/x",
            format!("Authorization: Bearer {CHECKOUT_KEY}\r\n"),
            "401",
        ),
    ] {
        assert_eq!(
            suite.rig.connect().get(path, &more).status(),
            status,
            "{more}"
        );
    }
    assert!(suite.recorder.take().whole.is_empty());
}

/// Envoy, CVE-2026-26311: something still ran for a request that had been reset.
#[test]
fn t12_consumers_that_leave_at_any_moment_leave_nothing_behind() {
    let recorder = Recorder::start();
    let lease = Lease::ready(FakeProvider::leasing(Duration::from_secs(600)));
    let rig = lease.setup(&recorder.origin).start();
    let request = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                    5\r\nhello\r\n0\r\n\r\nGET /y HTTP/1.1\r\nHost: a\r\n\r\n";
    for round in 0..4 {
        for length in 0..=request.len() {
            let consumer = rig.connect();
            (&consumer.stream)
                .write_all(&request[..length])
                .expect("sent");
            leave(&consumer, round);
        }
    }
    until("all to be over", || {
        let metrics = rig.metrics();
        let over = metrics.contains("leasehold_requests_in_flight 0\n")
            && metrics.contains("leasehold_connections 0\n");
        over.then_some(())
    });
    let generation = lease.current().expect("a generation");
    until("nobody to hold the generation", || {
        (std::sync::Arc::strong_count(&generation) <= 2).then_some(())
    });
    assert_eq!(rig.connect().get("/probe", "").text(), "ok");
    let seen = recorder.take().whole;
    let strange = seen.iter().find(|request| {
        let known = ["POST /x ", "GET /y ", "GET /probe "];
        !known.iter().any(|it| request.starts_with(it))
    });
    assert_eq!(strange, None);
}

/// By a reset, or by the end of one direction and then of both.
fn leave(consumer: &Consumer, round: usize) {
    if round.is_multiple_of(2) {
        let socket = socket2::SockRef::from(&consumer.stream);
        socket.set_linger(Some(Duration::ZERO)).expect("set");
    } else {
        consumer.end();
    }
}

/// Around the sizes of the buffers on the way.
const SIZES: &[usize] = &[
    8191, 8192, 8193, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 131_072, 1_048_577,
];
