//! The origin's side: what a test lets an upstream do, byte by byte.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use socket2::{Domain, Socket, Type};

use crate::consumer::{Consumer, Message};
use crate::rig::LIMIT;

/// An origin that deals with each connection on a thread of its own.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Origin {
    /// Starts an origin that does `serve` with each connection.
    pub(crate) fn start(serve: impl Fn(Consumer) + Send + Sync + 'static) -> Self {
        Self::on(
            TcpListener::bind("127.0.0.1:0").expect("a free port"),
            serve,
        )
    }

    /// Starts one where a listener is there already.
    pub(crate) fn on(
        listener: TcpListener,
        serve: impl Fn(Consumer) + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("an address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let serve = Arc::new(serve);
        // Ends with the process: a listener can't be woken.
        thread::spawn(move || {
            for stream in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
                let serve = Arc::clone(&serve);
                let connection = Consumer::new(stream.expect("a connection"));
                thread::spawn(move || serve(connection));
            }
        });
        Self {
            address,
            connections,
        }
    }

    /// Starts an origin that answers every request with `answer` and shows the requests.
    pub(crate) fn answering(answer: &'static str) -> (Self, Seen) {
        let (show, seen) = seen();
        let origin = Self::start(move |mut connection| {
            while let Ok(request) = connection.try_receive() {
                show.send(request).expect("the test goes on");
                connection.send(answer);
            }
        });
        (origin, seen)
    }

    /// Starts an origin that answers every request with `answer`.
    pub(crate) fn saying(answer: &'static str) -> Self {
        Self::start(move |mut connection| {
            while connection.try_receive().is_ok() {
                connection.send(answer);
            }
        })
    }

    /// Starts an origin that answers each request as `answer` says, and shows the requests.
    pub(crate) fn answering_each(
        answer: impl Fn(&Message) -> &'static str + Send + Sync + 'static,
    ) -> (Self, Seen) {
        let (show, seen) = seen();
        let origin = Self::start(move |mut connection| {
            while let Ok(request) = connection.try_receive() {
                let answer = answer(&request);
                show.send(request).expect("the test goes on");
                connection.send(answer);
            }
        });
        (origin, seen)
    }

    /// Starts an origin that answers 200 where `accepts` does so with the value of `X-Api-Key`, and with
    /// `refusal` otherwise, and shows the requests.
    pub(crate) fn judging(
        refusal: &'static str,
        accepts: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> (Self, Seen) {
        let (show, seen) = seen();
        let origin = Self::start(move |mut connection| {
            while let Ok(request) = connection.try_receive() {
                let accepted = request.all("x-api-key").into_iter().all(&accepts);
                show.send(request).expect("the test goes on");
                connection.send(if accepted { OK } else { refusal });
            }
        });
        (origin, seen)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

/// The requests that an origin has seen.
pub(crate) struct Seen(Receiver<Message>);

impl Seen {
    pub(crate) fn next(&self) -> Message {
        self.0.recv_timeout(LIMIT).expect("a request")
    }

    /// Returns the next one that is there already.
    pub(crate) fn any(&self) -> Option<Message> {
        self.0.try_recv().ok()
    }

    pub(crate) fn nothing(&self) {
        assert!(self.0.try_recv().is_err(), "the origin saw a request");
    }
}

pub(crate) fn seen() -> (Sender<Message>, Seen) {
    let (show, seen) = channel();
    (show, Seen(seen))
}

/// An address that nobody listens at, nor can while this lives.
pub(crate) struct Nowhere(Socket);

impl Nowhere {
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(&address.into()).expect("a free port");
        Self(socket)
    }

    /// Begins to listen there after all.
    pub(crate) fn listen(self) -> TcpListener {
        self.0.listen(16).expect("a listener");
        self.0.into()
    }

    pub(crate) fn url(&self) -> String {
        let address = self.0.local_addr().expect("an address").as_socket();
        format!("http://{}", address.expect("an internet address"))
    }
}

/// An answer with a body.
pub(crate) const UNAUTHORIZED: &str =
    "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Key\r\ncontent-length: 2\r\n\r\nno";
pub(crate) const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n";
pub(crate) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
