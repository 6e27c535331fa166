use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::consumer::Consumer;
use crate::origin::{OK, Origin};
use crate::rig::until;

/// An origin that keeps what it sees, byte by byte.
pub(super) struct Recorder {
    pub(super) origin: Origin,
    sight: Arc<Mutex<Sight>>,
    closed: Arc<AtomicUsize>,
}

/// What an origin has seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Sight {
    /// Requests that were sent to their end.
    pub(super) whole: Vec<String>,
    /// Beginnings of requests that were not.
    pub(super) broken: Vec<String>,
}

impl Recorder {
    pub(super) fn start() -> Self {
        let sight = Arc::<Mutex<Sight>>::default();
        let recorded = Arc::clone(&sight);
        let closed = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&closed);
        let origin = Origin::start(move |connection| {
            record(connection, &recorded);
            counted.fetch_add(1, Ordering::SeqCst);
        });
        Self {
            origin,
            sight,
            closed,
        }
    }

    /// Waits until every connection has ended and what came over it is recorded.
    pub(super) fn until_alone(&self) {
        until("the connections to end", || {
            let closed = self.closed.load(Ordering::SeqCst);
            (closed == self.origin.connections()).then_some(())
        });
    }

    /// Returns what was seen since it was asked last, with the ports of this run left out.
    pub(super) fn take(&self) -> Sight {
        let mut sight = std::mem::take(&mut *self.sight.lock());
        let address = self.origin.address.to_string();
        for request in sight.whole.iter_mut().chain(&mut sight.broken) {
            *request = without_ours(request, &address);
        }
        sight
    }
}

fn record(mut connection: Consumer, sight: &Mutex<Sight>) {
    let mut seen = Vec::new();
    let mut buffer = [0; 16384];
    while let Ok(length @ 1..) = connection.stream.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..length]);
        while let Some(end) = end_of_request(&seen) {
            let request: Vec<u8> = seen.drain(..end).collect();
            sight.lock().whole.push(text(&request));
            connection.send(OK);
        }
    }
    if !seen.is_empty() {
        sight.lock().broken.push(text(&seen));
    }
}

/// Writes all chunks of a request as one: how many there are is a matter of timing.
pub(super) fn in_one_chunk(request: &str) -> String {
    let Some((head, mut rest)) = request.split_once("\r\n\r\n") else {
        return request.to_owned();
    };
    if !head.contains("transfer-encoding: chunked") {
        return request.to_owned();
    }
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        rest = after;
        if size == 0 {
            break;
        }
        let (chunk, after) = rest.split_at_checked(size).expect("a whole chunk");
        body.push_str(chunk);
        rest = after.strip_prefix("\r\n").expect("the end of a chunk");
    }
    format!("{head}\r\n\r\n{body}\r\n0\r\n{rest}")
}

/// Returns where the first request ends, as the strictest reader has it; `None` where it goes on.
///
/// What the strictest reader can't understand never ends: the case fails then.
fn end_of_request(seen: &[u8]) -> Option<usize> {
    let head = find(seen, b"\r\n\r\n")? + 4;
    let text = text(&seen[..head]).to_ascii_lowercase();
    let value = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value)
    };
    if value("transfer-encoding") == Some("chunked") {
        return end_of_chunks(&seen[head..]).map(|length| head + length);
    }
    let length = value("content-length").map_or(Some(0), |length| length.parse().ok())?;
    (seen.len() >= head + length).then_some(head + length)
}

fn end_of_chunks(mut rest: &[u8]) -> Option<usize> {
    let whole = rest.len();
    loop {
        let line = find(rest, b"\r\n")?;
        let size = usize::from_str_radix(&text(&rest[..line]), 16).ok()?;
        rest = &rest[line + 2..];
        if size == 0 {
            break;
        }
        rest = rest.get(size + 2..)?;
    }
    while let Some(line) = find(rest, b"\r\n") {
        rest = &rest[line + 2..];
        if line == 0 {
            return Some(whole - rest.len());
        }
    }
    None
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// Each byte as one character.
fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// Takes out of a head what every request has; what is there twice, or otherwise, stays.
fn without_ours(request: &str, address: &str) -> String {
    let mut left = [
        format!("host: {address}\r\n"),
        "x-api-key: Key canary-1\r\n".to_owned(),
    ]
    .iter()
    .fold(request.to_owned(), |text, line| text.replacen(line, "", 1));
    if let Some(at) = left.find(TRACE)
        && let Some(line) = left.get(at..at + TRACE.len() + TRACE_REST)
        && line.ends_with("-03\r\n")
    {
        left = left.replacen(&line.to_owned(), "", 1);
    }
    left
}

const TRACE: &str = "traceparent: 00-";
/// The ids, the flags, and the end of the line.
const TRACE_REST: usize = 32 + 1 + 16 + 3 + 2;
