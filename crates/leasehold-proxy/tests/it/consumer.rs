//! The consumer's side of a connection, byte by byte.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};

use crate::rig::LIMIT;

/// A connection that is spoken on in bytes.
#[derive(Debug)]
pub(crate) struct Consumer {
    pub(crate) stream: TcpStream,
    /// Read, and not yet made use of.
    ahead: Vec<u8>,
}

/// A message as it stood on the wire.
#[derive(Debug)]
pub(crate) struct Message {
    /// The head, without the empty line at its end.
    pub(crate) head: String,
    /// The body, without its framing.
    pub(crate) body: Vec<u8>,
    /// The trailers, one on a line.
    pub(crate) trailers: String,
}

impl Message {
    pub(crate) fn status(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// Returns the values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let fields = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'));
        let named = fields.filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim()).collect()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("text")
    }
}

impl Consumer {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).expect("somebody listens"))
    }

    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(LIMIT)).expect("a timeout");
        stream.set_write_timeout(Some(LIMIT)).expect("a timeout");
        stream.set_nodelay(true).expect("no delay");
        Self {
            stream,
            ahead: Vec::new(),
        }
    }

    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("sent");
        self
    }

    /// Sends a request without a body, and with more header lines where they are given.
    pub(crate) fn get(&mut self, path: &str, more: &str) -> Message {
        self.send(format!(
            "GET {path} HTTP/1.1\r\nHost: api.example\r\n{more}\r\n"
        ));
        self.receive()
    }

    pub(crate) fn receive(&mut self) -> Message {
        self.try_receive().expect("a whole message")
    }

    /// Reads one message: as long as its head says, or to the end of the connection.
    pub(crate) fn try_receive(&mut self) -> io::Result<Message> {
        let head = self.head()?;
        let mut message = Message {
            head,
            body: Vec::new(),
            trailers: String::new(),
        };
        let interim = message.status().starts_with('1');
        let empty = interim || ["204", "304"].contains(&message.status());
        let request = !message.head.starts_with("HTTP/");
        if !message.all("transfer-encoding").is_empty() {
            while let Some(chunk) = self.chunk()? {
                message.body.extend(chunk);
            }
            while let Some(line) = Some(self.line()?).filter(|line| !line.is_empty()) {
                message.trailers.push_str(&line);
            }
        } else if let Some(length) = message.all("content-length").first() {
            message.body = self.exactly(length.parse().expect("a number"))?;
        } else if !(empty || request) {
            message.body = self.rest()?;
        }
        Ok(message)
    }

    /// Reads a head, without the empty line at its end.
    pub(crate) fn head(&mut self) -> io::Result<String> {
        self.through(b"\r\n\r\n")
    }

    /// Reads one chunk; `None` for the last.
    pub(crate) fn chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        let size = self.line()?;
        let size = usize::from_str_radix(&size, 16).expect("a chunk's size");
        if size == 0 {
            return Ok(None);
        }
        let chunk = self.exactly(size)?;
        self.line()?;
        Ok(Some(chunk))
    }

    pub(crate) fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < length {
            self.more()?;
        }
        Ok(self.ahead.drain(..length).collect())
    }

    /// Reads to the end of the connection.
    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        self.stream.read_to_end(&mut self.ahead)?;
        Ok(std::mem::take(&mut self.ahead))
    }

    /// Waits for the other side to close, which it must do without another byte.
    pub(crate) fn expect_closed(&mut self) {
        match self.rest() {
            Ok(rest) => assert_eq!(String::from_utf8_lossy(&rest), ""),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionReset),
        }
    }

    /// Says that no more is sent.
    pub(crate) fn end(&self) {
        self.stream
            .shutdown(Shutdown::Write)
            .expect("open until now");
    }

    fn line(&mut self) -> io::Result<String> {
        self.through(b"\r\n")
    }

    fn through(&mut self, end: &[u8]) -> io::Result<String> {
        loop {
            let found = self
                .ahead
                .windows(end.len())
                .position(|window| window == end);
            if let Some(length) = found {
                let text = self.exactly(length)?;
                self.exactly(end.len())?;
                return Ok(String::from_utf8(text).expect("text"));
            }
            self.more()?;
        }
    }

    fn more(&mut self) -> io::Result<()> {
        let mut buffer = [0; 16384];
        match self.stream.read(&mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => {
                self.ahead.extend_from_slice(&buffer[..length]);
                Ok(())
            }
        }
    }
}
