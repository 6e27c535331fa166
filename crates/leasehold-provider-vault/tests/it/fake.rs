use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;

/// What the fake does with one request.
pub(crate) enum Reply {
    /// Answers with this head, to which the length is added, and body.
    With(String, String),
    /// Closes the connection without a word.
    HangUp,
}

/// A server that says what it was told to say, one reply a request, and remembers what it was sent.
///
/// Only for what a real server does not do on demand.
pub(crate) struct Fake {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// Starts a fake that answers as many requests as there are replies and hangs up on the others.
    pub(crate) fn start(replies: Vec<Reply>) -> Result<Self> {
        Self::serve(TcpListener::bind("127.0.0.1:0")?, replies)
    }

    /// As [`Fake::start`], at an address that is known before.
    pub(crate) fn serve(listener: TcpListener, replies: Vec<Reply>) -> Result<Self> {
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        thread::spawn(move || {
            let mut replies = replies.into_iter();
            // The thread ends with the test's process: it holds nothing that needs cleaning up.
            for stream in listener.incoming().flatten() {
                // A connection that breaks is the other side's to notice.
                answer(stream, replies.next(), &log).ok();
            }
        });
        Ok(Self { address, seen })
    }

    pub(crate) fn address(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the requests so far, head and body.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.seen.lock().clone()
    }
}

/// A login that is granted.
pub(crate) fn login() -> Reply {
    json(
        200,
        r#"{"request_id":"r-login","auth":{"client_token":"s.fake-token","lease_duration":60,
            "renewable":true,"num_uses":0,"policies":["default"]}}"#,
    )
}

pub(crate) fn json(status: u16, body: &str) -> Reply {
    Reply::With(
        format!("HTTP/1.1 {status} Status\r\nContent-Type: application/json\r\n"),
        body.to_owned(),
    )
}

/// Adds whole header lines to a reply.
pub(crate) fn with_headers(reply: Reply, headers: &str) -> Reply {
    match reply {
        Reply::With(head, body) => Reply::With(format!("{head}{headers}"), body),
        Reply::HangUp => Reply::HangUp,
    }
}

pub(crate) fn redirect(to: &str) -> Reply {
    let head = format!("HTTP/1.1 307 Temporary Redirect\r\nLocation: {to}\r\n");
    Reply::With(head, String::new())
}

fn answer(mut stream: TcpStream, reply: Option<Reply>, log: &Mutex<Vec<String>>) -> Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let request = read_request(&mut stream)?;
    log.lock().push(request);
    if let Some(Reply::With(head, body)) = reply {
        let length = body.len();
        let head = format!("{head}Content-Length: {length}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())?;
    }
    Ok(())
}

pub(crate) fn read_request(stream: &mut TcpStream) -> Result<String> {
    let mut request = Vec::new();
    let mut chunk = [0; 4096];
    while !is_complete(&request) {
        let length = stream.read(&mut chunk)?;
        if length == 0 {
            break;
        }
        request.extend(chunk.iter().take(length));
    }
    Ok(String::from_utf8_lossy(&request).into_owned())
}

fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|it| it.strip_prefix("content-length: "));
    length.is_none_or(|length| length.trim().parse() == Ok(body.len()))
}
