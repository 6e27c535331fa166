use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

/// An origin that keeps each byte of each connection.
pub(super) struct Origin {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Vec<u8>>>,
}

impl Origin {
    /// Starts an origin that answers 200, but 401 where the credential is the first and refused.
    pub(super) fn start(refuses_the_first: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let ended = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ended);
        let thread = thread::spawn(move || {
            let mut connections = Vec::new();
            for stream in listener.incoming() {
                if told.load(Ordering::SeqCst) {
                    break;
                }
                let stream = stream.expect("a connection");
                connections.push(thread::spawn(move || record(stream, refuses_the_first)));
            }
            let seen = connections.into_iter();
            seen.map(|it| it.join().expect("it ends")).collect()
        });
        Self {
            address,
            ended,
            thread,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until every connection has ended, and returns what came over each.
    pub(super) fn finish(self) -> Vec<Vec<u8>> {
        self.ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        self.thread.join().expect("it ends")
    }
}

fn record(mut stream: TcpStream, refuses_the_first: bool) -> Vec<u8> {
    let mut seen = Vec::new();
    let mut answered = 0;
    let mut buffer = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut buffer) {
        seen.extend_from_slice(&buffer[..length]);
        let text = String::from_utf8_lossy(&seen[answered..]);
        if !text.ends_with("\r\n\r\nhello") {
            continue;
        }
        let refused = refuses_the_first && text.contains("canary-1\r\n");
        let answer = if refused { REFUSED } else { OK };
        answered = seen.len();
        // Whoever asked may be gone.
        drop(stream.write_all(answer.as_bytes()));
    }
    seen
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const REFUSED: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
