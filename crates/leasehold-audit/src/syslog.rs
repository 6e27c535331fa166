//! Access records to a syslog server, as RFC 5424 has them.

use std::fmt;
use std::io::{self, Write};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use leasehold_model::{Clock as _, SystemClock};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Where a syslog server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyslogAddress {
    /// A Unix socket, of datagrams or a stream.
    Unix(PathBuf),
    /// A name or an address with a port, over TCP without TLS.
    Tcp(String),
}

/// A sink that sends each line as one message of facility `local0` and severity `info`.
///
/// It connects when it has something to send, and again after a failure. A message whose sending has
/// failed is sent once more as a whole, so that the server may see it twice.
pub struct Syslog {
    address: SyslogAddress,
    origin: String,
    connection: Option<Connection>,
    frame: Vec<u8>,
}

enum Connection {
    Datagrams(UnixDatagram),
    /// Messages end with a line feed there.
    Lines(UnixStream),
    /// Messages are preceded by their length there, as RFC 6587 has it.
    Counted(TcpStream),
}

impl Syslog {
    /// Makes a sink. Nothing is connected yet: a server that is down is no reason not to start.
    #[must_use]
    pub fn new(address: SyslogAddress) -> Self {
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy();
        let host: String = host.chars().filter(char::is_ascii_graphic).collect();
        let host = if host.is_empty() { "-" } else { host.as_str() };
        Self {
            address,
            origin: format!("{host} leasehold {} access -", std::process::id()),
            connection: None,
            frame: Vec::new(),
        }
    }

    fn send(&mut self, line: &[u8]) -> io::Result<()> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => connect(&self.address)?,
        };
        let head = format!("<{PRIORITY}>1 {} {} ", now()?, self.origin);
        connection.send(head.as_bytes(), line, &mut self.frame)?;
        // One that has failed is not kept: part of a message may be on its way.
        self.connection = Some(connection);
        Ok(())
    }
}

impl Write for Syslog {
    /// Sends the first line of `bytes` whole.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let end = end.unwrap_or(bytes.len());
        let line = bytes.get(..end).unwrap_or_default();
        if !line.is_empty() {
            self.send(line)?;
        }
        Ok(bytes.len().min(end.saturating_add(1)))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Connection {
    fn send(&mut self, head: &[u8], line: &[u8], frame: &mut Vec<u8>) -> io::Result<()> {
        frame.clear();
        if let Self::Counted(_) = self {
            let length = head.len().saturating_add(line.len());
            frame.extend_from_slice(format!("{length} ").as_bytes());
        }
        frame.extend_from_slice(head);
        frame.extend_from_slice(line);
        match self {
            Self::Datagrams(socket) => socket.send(frame).map(drop),
            Self::Lines(stream) => {
                frame.push(b'\n');
                stream.write_all(frame)
            }
            Self::Counted(stream) => stream.write_all(frame),
        }
    }
}

fn connect(address: &SyslogAddress) -> io::Result<Connection> {
    match address {
        SyslogAddress::Unix(path) => connect_unix(path),
        SyslogAddress::Tcp(server) => {
            let mut failure = io::Error::from(io::ErrorKind::AddrNotAvailable);
            for address in server.to_socket_addrs()? {
                match TcpStream::connect_timeout(&address, LIMIT) {
                    Ok(stream) => {
                        stream.set_write_timeout(Some(LIMIT))?;
                        return Ok(Connection::Counted(stream));
                    }
                    Err(error) => failure = error,
                }
            }
            Err(failure)
        }
    }
}

/// Connects to what listens there, which the path does not tell.
fn connect_unix(path: &Path) -> io::Result<Connection> {
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(LIMIT))?;
    match socket.connect(path) {
        Ok(()) => return Ok(Connection::Datagrams(socket)),
        // Something else than datagrams is spoken there.
        Err(error) if is_other_type(&error) => {}
        Err(error) => return Err(error),
    }
    let stream = UnixStream::connect(path)?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(Connection::Lines(stream))
}

fn is_other_type(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::PROTOTYPE.raw_os_error())
}

fn now() -> io::Result<String> {
    let now = OffsetDateTime::from(SystemClock.wall());
    // RFC 5424 has no more than six digits of a second.
    let micros = now.microsecond();
    let now = now.replace_microsecond(micros).map_err(io::Error::other)?;
    now.format(&Rfc3339).map_err(io::Error::other)
}

impl fmt::Debug for Syslog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Syslog")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Facility 16, `local0`, and severity 6, `info`.
const PRIORITY: u8 = 16 * 8 + 6;
/// How long the writer waits for a server; what the queue can't take meanwhile is dropped and counted.
const LIMIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_datagram_socket_gets_one_message_a_line() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        let server = UnixDatagram::bind(&path).expect("a socket");
        let mut sink = Syslog::new(SyslogAddress::Unix(path));
        sink.write_all(b"{\"a\":1}\n{\"b\":2}\n").expect("sent");
        let mut buffer = [0; 1024];
        for line in ["{\"a\":1}", "{\"b\":2}"] {
            let length = server.recv(&mut buffer).expect("a message");
            let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
            assert_message(&text, line);
        }
    }

    #[test]
    fn a_stream_socket_gets_lines() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("log");
        let server = UnixListener::bind(&path).expect("a socket");
        let mut sink = Syslog::new(SyslogAddress::Unix(path));
        sink.write_all(b"{\"a\":1}\n").expect("sent");
        drop(sink);
        let mut text = String::new();
        let (mut stream, _) = server.accept().expect("a connection");
        stream.read_to_string(&mut text).expect("text");
        assert_message(text.strip_suffix('\n').expect("a line"), "{\"a\":1}");
    }

    #[test]
    fn over_tcp_each_message_tells_its_length_and_a_lost_server_is_found_again() {
        let server = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = server.local_addr().expect("an address");
        let mut sink = Syslog::new(SyslogAddress::Tcp(address.to_string()));
        sink.write_all(b"{\"a\":1}\n").expect("sent");
        let (stream, _) = server.accept().expect("a connection");
        drop((stream, server));
        // What the system has taken before it heard of the end is lost; then it is told.
        let failed = (0..100).any(|_| sink.write_all(b"{\"lost\":1}\n").is_err());
        assert!(failed, "a dead server is noticed");
        let server = TcpListener::bind(address).expect("the port");
        sink.write_all(b"{\"b\":2}\n").expect("sent");
        drop(sink);
        let (mut stream, _) = server.accept().expect("a connection");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("text");
        let (length, message) = text.split_once(' ').expect("a length");
        assert_eq!(length.parse(), Ok(message.len()));
        assert_message(message, "{\"b\":2}");
    }

    fn assert_message(text: &str, line: &str) {
        let mut parts = text.splitn(8, ' ');
        assert_eq!(parts.next(), Some("<134>1"));
        let time = parts.next().expect("a time");
        assert!(time.len() > 19 && time.ends_with('Z'), "{time}");
        let fraction = time.split(['.', 'Z']).nth(1).unwrap_or("");
        assert!(fraction.len() <= 6, "{time}");
        let rest: Vec<_> = parts.skip(1).collect();
        let process = std::process::id().to_string();
        assert_eq!(rest, ["leasehold", process.as_str(), "access", "-", line]);
    }
}
