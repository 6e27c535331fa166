//! Answers that hold the credential which their upstream was shown.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use leasehold_proxy::Reflection;
use parking_lot::Mutex;

use crate::consumer::{Consumer, Message};
use crate::lease::{FakeProvider, Lease};
use crate::origin::{OK, Origin, Seen, seen};
use crate::rig::{LIMIT, Rig, until};

#[test]
fn a_head_that_shows_it_is_refused_whatever_the_header_and_the_form() {
    let mut stage = Stage::new(Reflection::Block);
    for (form, shown) in forms(&value(1)) {
        for name in [
            "Location",
            "Set-Cookie",
            "WWW-Authenticate",
            "X-Debug",
            "Connection",
        ] {
            let shown = String::from_utf8_lossy(&shown);
            // A header can't hold zeros, which UTF-16 is full of.
            if form == "utf16" || name == "Connection" && !shown.bytes().all(is_token) {
                continue;
            }
            let status = if name == "Location" {
                "302 Found"
            } else {
                "500 Oops"
            };
            let answer =
                format!("HTTP/1.1 {status}\r\n{name}: x={shown};y\r\nContent-Length: 0\r\n\r\n");
            let answer = stage.ask([answer.into_bytes()]);
            assert_eq!(answer.status(), "502", "{form} in {name}: {answer:?}");
            assert!(
                answer.text().contains("\"credential_reflected\""),
                "{answer:?}"
            );
            expect_nothing_shown(&answer);
        }
    }
    let asked = stage.asked;
    let metrics = stage.rig.metrics();
    let counted = format!(
        "leasehold_reflections_total{{route=\"open\",part=\"head\",action=\"block\"}} {asked}\n"
    );
    assert!(metrics.contains(&counted), "{metrics}");
    for record in stage.rig.finish() {
        assert_eq!(record["reason"], "credential_reflected", "{record}");
        assert_eq!(record["reflected"], "head", "{record}");
    }
}

#[test]
fn words_of_the_status_line_do_not_go_on() {
    let mut stage = Stage::new(Reflection::Block);
    let shown = value(1);
    let answer = format!("HTTP/1.1 200 {shown}\r\nContent-Length: 0\r\n\r\n");
    let answer = stage.ask([answer.into_bytes()]);
    assert_eq!(answer.head.lines().next(), Some("HTTP/1.1 200 OK"));
    expect_nothing_shown(&answer);
}

#[test]
fn a_body_that_shows_it_breaks_off_wherever_it_is_cut() {
    let mut stage = Stage::new(Reflection::Block);
    for (form, shown) in forms(&value(1)) {
        for size in [1, 2, 3, 5, 7, 1000] {
            let mut body = b"before ".to_vec();
            body.extend_from_slice(&shown);
            body.extend_from_slice(b" after");
            let received = stage.ask_raw(chunked(&body, size));
            expect_none_of(&received);
            assert!(
                !received.ends_with(b"0\r\n\r\n"),
                "{form}, {size}: it has an end"
            );
            let record = stage.rig.records(stage.asked).pop().expect("a record");
            assert_eq!(
                record["reason"], "credential_reflected",
                "{form}, {size}: {record}"
            );
            assert_eq!(
                (&record["reflected"], &record["status"]),
                (&"body".into(), &200.into())
            );
        }
    }
}

#[test]
fn a_body_of_a_known_length_keeps_it_and_is_masked() {
    let mut stage = Stage::new(Reflection::Mask);
    for (form, shown) in forms(&value(1)) {
        let mut body = b"<p>".to_vec();
        body.extend_from_slice(&shown);
        body.extend_from_slice(b"</p>");
        let (echo, length) = (value(1), body.len());
        let answer =
            format!("HTTP/1.1 500 Oops\r\nX-Echo: {echo}\r\nContent-Length: {length}\r\n\r\n");
        let answer = stage.ask([answer.into_bytes(), body.clone()]);
        assert_eq!(answer.status(), "500", "{form}");
        assert_eq!(answer.body.len(), body.len(), "{form}");
        assert!(
            answer.body.starts_with(b"<p>") && answer.body.ends_with(b"</p>"),
            "{form}"
        );
        let masked = answer.body.iter().filter(|byte| **byte == b'*').count();
        // Of base64, the characters at either end may be another's too.
        assert!(masked + 12 >= shown.len(), "{form}: {answer:?}");
        assert_eq!(answer.all("x-echo"), ["*".repeat(value(1).len())]);
        expect_nothing_shown(&answer);
    }
}

#[test]
fn trailers_are_looked_through_and_wait_for_the_body() {
    let trailer = |name: &str| format!("4\r\nabcd\r\n0\r\n{name}: {}\r\n\r\n", value(1));
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n";
    let mut stage = Stage::new(Reflection::Mask);
    let answer = stage.ask([head.into(), trailer("X-Sum").into_bytes()]);
    assert_eq!(answer.text(), "abcd");
    expect_nothing_shown(&answer);

    let mut stage = Stage::new(Reflection::Block);
    // The body ends like the credential begins, so that a part of it is kept back until the trailers.
    let begin: String = value(1).chars().take(6).collect();
    let body = format!("6\r\n{begin}\r\n0\r\nX-Sum: harmless\r\n\r\n");
    let answer = stage.ask([head.into(), body.into_bytes()]);
    assert_eq!(answer.text(), begin);
    let received = stage.ask_raw([head.into(), trailer("X-Sum").into_bytes()]);
    expect_none_of(&received);
    let record = stage.rig.records(2).pop().expect("a record");
    assert_eq!(record["reflected"], "trailers", "{record}");
}

#[test]
fn what_is_only_reported_goes_on_as_it_is() {
    let mut stage = Stage::new(Reflection::Report);
    let body = format!("you sent {}", value(1));
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = stage.ask([answer.into_bytes()]);
    assert_eq!(answer.text(), body);
    let record = stage.rig.record();
    assert_eq!(
        (&record["reflected"], &record["reason"]),
        (&"body".into(), &serde_json::Value::Null)
    );
    let metrics = stage.rig.metrics();
    assert!(
        metrics.contains("part=\"body\",action=\"report\"} 1\n"),
        "{metrics}"
    );
}

#[test]
fn an_upstream_is_asked_for_what_can_be_read_and_refused_with_anything_else() {
    let gzip = "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\nxx";
    for (reflection, status) in [
        (Reflection::Block, "502"),
        (Reflection::Mask, "502"),
        (Reflection::Report, "200"),
    ] {
        let mut stage = Stage::new(reflection);
        let answer = stage.ask([gzip.into()]);
        assert_eq!(answer.status(), status);
        if status == "502" {
            assert!(
                answer.text().contains("\"answer_unreadable\""),
                "{answer:?}"
            );
        }
        let request = stage.seen.next();
        assert_eq!(request.all("accept-encoding"), ["identity"]);
        assert!(request.all("range").is_empty() && request.all("if-range").is_empty());
    }
}

#[test]
fn events_go_on_at_once_though_they_end_like_the_credential_begins() {
    let stage = Stage::new(Reflection::Block);
    let (send, answers) = channel();
    stage
        .answers
        .send(Answer::Paced(answers))
        .expect("the origin waits");
    let mut consumer = stage.connect();
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    send.send(head.into()).expect("the origin waits");
    consumer.head().expect("a head");
    for event in ["data: 1\n\n", "data: s3c", "/r\"", "data: 2\n\n"] {
        send.send(format!("{:x}\r\n{event}\r\n", event.len()).into())
            .expect("the origin waits");
        let wanted = match event {
            // With what stands before it, it may be the credential.
            "/r\"" => continue,
            "data: 2\n\n" => "/r\"data: 2\n\n",
            event => event,
        };
        let mut received = Vec::new();
        while received.len() < wanted.len() {
            received.extend(consumer.chunk().expect("a chunk").expect("not the last"));
        }
        assert_eq!(String::from_utf8_lossy(&received), wanted);
    }
}

#[test]
fn a_former_generation_is_looked_for_while_it_lives_and_no_longer() {
    let provider = FakeProvider::leasing(Duration::from_secs(1))
        .minting(|number| vec![("value", value(number))]);
    let mut stage = Stage::of(provider, Reflection::Block);
    let (finish, answers) = channel();
    stage
        .answers
        .send(Answer::Paced(answers))
        .expect("the origin waits");
    let mut first = stage.connect();
    stage.seen.next();
    let first_number = stage.lease.current().expect("a generation").number().get();
    until("its successor", || {
        let current = stage.lease.current().ok()?.number().get();
        (current > first_number).then_some(())
    });
    let echo = |number| {
        let body = value(number);
        format!("HTTP/1.1 200 OK\r\nX-Echo: {body}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    };
    assert_eq!(
        stage.ask([echo(first_number)]).status(),
        "502",
        "the first is still used"
    );
    finish.send(OK.into()).expect("the origin waits");
    drop(finish);
    assert_eq!(first.receive().status(), "200");
    until("the end of the first", || {
        let answer = stage.ask([echo(first_number)]);
        (answer.status() == "200").then_some(())
    });
}

#[test]
fn a_route_that_does_not_look_changes_nothing() {
    let mut stage = Stage::new(Reflection::Off);
    let body = format!("you sent {}", value(1));
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: x\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    assert_eq!(stage.ask([answer.into_bytes()]).text(), body);
    let request = stage.seen.next();
    assert_eq!(request.all("accept-encoding"), ["gzip"]);
    assert_eq!(request.all("range"), ["bytes=0-9"]);
    let record = stage.rig.record();
    assert!(record.get("reflected").is_none(), "{record}");
}

/// Long enough, and with characters that each form writes in another way.
fn value(number: u64) -> String {
    format!("s3c/r\"e<t>&{number:03}+~")
}

/// The forms that an answer may show a value in, each with its name.
fn forms(value: &str) -> Vec<(&'static str, Vec<u8>)> {
    let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = value
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'~' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let json = value.replace('"', "\\\"");
    let html = value
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;");
    let wide = value.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut forms = vec![
        ("raw", value.as_bytes().to_vec()),
        ("hex", hex.to_uppercase().into()),
        ("hex", hex.into()),
        ("percent", percent.to_lowercase().into()),
        ("percent", percent.into()),
        ("json", json.replace('/', "\\/").into()),
        ("json", json.into()),
        ("html", html.into()),
        ("utf16", wide),
    ];
    for before in ["", "x", "xx"] {
        let text = format!("{before}{value}:more");
        forms.push(("base64", STANDARD.encode(&text).into()));
        forms.push(("base64url", URL_SAFE_NO_PAD.encode(&text).into()));
    }
    forms
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+-.~%=".contains(&byte)
}

/// An answer in chunks of this size, each sent by itself.
fn chunked(body: &[u8], size: usize) -> Vec<Vec<u8>> {
    let mut parts = vec![b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()];
    for chunk in body.chunks(size) {
        let mut part = format!("{:x}\r\n", chunk.len()).into_bytes();
        part.extend_from_slice(chunk);
        part.extend_from_slice(b"\r\n");
        parts.push(part);
    }
    parts.push(b"0\r\n\r\n".to_vec());
    parts
}

enum Answer {
    Whole(Vec<Vec<u8>>),
    /// Sent part by part, as they are given.
    Paced(Receiver<Vec<u8>>),
}

/// A gateway before an upstream that answers as the test says, byte by byte.
struct Stage {
    rig: Rig,
    lease: Lease,
    answers: Sender<Answer>,
    seen: Seen,
    asked: usize,
}

impl Stage {
    fn new(reflection: Reflection) -> Self {
        let provider = FakeProvider::leasing(Duration::from_secs(600));
        Self::of(
            provider.minting(|number| vec![("value", value(number))]),
            reflection,
        )
    }

    fn of(provider: FakeProvider, reflection: Reflection) -> Self {
        let lease = Lease::watched(provider);
        let (answers, answer) = channel::<Answer>();
        let answer = Arc::new(Mutex::new(answer));
        let (show, seen) = seen();
        let origin = Origin::start(move |mut connection| {
            while let Ok(request) = connection.try_receive() {
                // A test that has ended looks at nothing.
                drop(show.send(request));
                let Ok(next) = answer.lock().recv_timeout(LIMIT) else {
                    return;
                };
                if !say(&mut connection, next) {
                    return;
                }
            }
        });
        let setup = lease.setup(&origin);
        let rig = setup.start_with(|mut spec| {
            spec.routes
                .iter_mut()
                .for_each(|it| it.reflection = reflection);
            spec
        });
        Self {
            rig,
            lease,
            answers,
            seen,
            asked: 0,
        }
    }

    /// Sends a request and leaves its answer to be read.
    fn connect(&self) -> Consumer {
        let mut consumer = self.rig.connect();
        consumer.send(
            "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\nRange: bytes=0-9\r\nConnection: close\r\n\r\n",
        );
        consumer
    }

    fn ask(&mut self, answer: impl IntoIterator<Item = Vec<u8>>) -> Message {
        self.say(answer);
        self.connect().receive()
    }

    /// Returns all that is received.
    fn ask_raw(&mut self, answer: impl IntoIterator<Item = Vec<u8>>) -> Vec<u8> {
        self.say(answer);
        self.connect().rest().expect("an end in order")
    }

    fn say(&mut self, answer: impl IntoIterator<Item = Vec<u8>>) {
        self.asked += 1;
        let answer = Answer::Whole(answer.into_iter().collect());
        self.answers.send(answer).expect("the origin waits");
    }
}

fn expect_nothing_shown(answer: &Message) {
    expect_none_of(answer.head.as_bytes());
    expect_none_of(&answer.body);
    expect_none_of(answer.trailers.as_bytes());
}

fn expect_none_of(received: &[u8]) {
    for (form, shown) in forms(&value(1)) {
        // Base64 is as long as what stands beside it makes it: its middle is enough.
        let part = &shown[4..shown.len().min(20)];
        let found = received.windows(part.len()).any(|it| it == part);
        assert!(!found, "{form}: {}", String::from_utf8_lossy(received));
    }
}

/// Answers; tells whether the connection goes on.
fn say(connection: &mut Consumer, answer: Answer) -> bool {
    let mut write = |part: Vec<u8>| connection.stream.write_all(&part).is_ok();
    match answer {
        // A gateway that has seen enough closes.
        Answer::Whole(parts) => parts.into_iter().all(&mut write),
        // It is over when the test says nothing more.
        Answer::Paced(parts) => parts.iter().all(&mut write),
    }
}
