use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};

use crate::pool::keep_alive;

/// A connection from a consumer, as bytes: what was read ahead of it comes first.
pub(super) struct Wire {
    socket: Socket,
    ahead: Bytes,
}

/// What was read ahead may be a consumer's key.
impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl From<TcpStream> for Wire {
    fn from(stream: TcpStream) -> Self {
        Self::new(Socket::Tcp(stream))
    }
}

impl From<UnixStream> for Wire {
    fn from(stream: UnixStream) -> Self {
        Self::new(Socket::Unix(stream))
    }
}

impl Wire {
    const fn new(socket: Socket) -> Self {
        let ahead = Bytes::new();
        Self { socket, ahead }
    }

    /// Makes the connection ready to be served on. Fails where it is gone already.
    pub(super) fn prepare(&self) -> io::Result<()> {
        let Socket::Tcp(stream) = &self.socket else {
            return Ok(());
        };
        stream.set_nodelay(true)?;
        limit_unsent(stream)?;
        keep_alive(stream)
    }

    pub(super) fn peer(&self) -> Option<SocketAddr> {
        match &self.socket {
            Socket::Tcp(stream) => stream.peer_addr().ok(),
            Socket::Unix(_) => None,
        }
    }

    /// Reads what `enough` wants to see at the beginning, and returns what that makes of it; all that is
    /// not its own is read again later.
    ///
    /// `enough` says how much is its own of what was read so far, once it can tell.
    pub(super) async fn begin_with<T>(
        &mut self,
        most: usize,
        mut enough: impl FnMut(&[u8]) -> Option<(usize, T)>,
    ) -> io::Result<T> {
        let mut read = Vec::with_capacity(most);
        loop {
            if let Some((own, taken)) = enough(&read) {
                read.drain(..own.min(read.len()));
                read.extend_from_slice(&self.ahead);
                self.ahead = Bytes::from(read);
                return Ok(taken);
            }
            let room = most.saturating_sub(read.len());
            if room == 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut rest = (&mut *self).take(room as u64);
            if rest.read_buf(&mut read).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Waits until there is something to read, or the connection has ended.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.ahead.is_empty() {
            return Poll::Ready(());
        }
        let ready = match &self.socket {
            Socket::Tcp(stream) => stream.poll_read_ready(cx),
            Socket::Unix(stream) => stream.poll_read_ready(cx),
        };
        // Who reads is told what is wrong.
        ready.map(drop)
    }

    fn io(&mut self) -> Pin<&mut (dyn Duplex + Send)> {
        let io: &mut (dyn Duplex + Send) = match &mut self.socket {
            Socket::Tcp(stream) => stream,
            Socket::Unix(stream) => stream,
        };
        Pin::new(io)
    }
}

/// Lets the kernel take no more of an answer than the client is about to be sent. It would take
/// a megabyte and more for each client that reads slowly, and a thousand of those would keep a worker
/// copying while others wait.
fn limit_unsent(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_tcp_notsent_lowat(MOST_UNSENT)
}

trait Duplex: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Duplex for T {}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return self.io().poll_read(cx, buffer);
        }
        let length = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead.split_to(length));
        if self.ahead.is_empty() {
            // The memory is not needed for as long as the connection lives.
            self.ahead = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.io().poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.io().poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_shutdown(cx)
    }
}

/// Enough to keep a fast client busy until its task has its next turn.
const MOST_UNSENT: u32 = 128 * 1024;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use socket2::{Domain, Socket as System, Type};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    const LIMIT: usize = MOST_UNSENT as usize;
    /// The last write, and what the client has room for. Without the limit the kernel took 1.1 MB.
    const MARGIN: usize = 128 * 1024;
    /// How long the kernel is silent when it takes no more.
    const STILL: Duration = Duration::from_millis(500);

    #[tokio::test]
    async fn the_kernel_takes_little_for_a_client_that_reads_nothing() {
        let (client, wire) = slow_client().await;
        wire.prepare().expect("an open connection");
        let Socket::Tcp(stream) = &wire.socket else {
            panic!("it is one of TCP");
        };
        let mut taken = 0;
        let part = [0; 16 * 1024];
        // The kernel says again that there is room for as long as it can send.
        while let Ok(Ok(())) = timeout(STILL, stream.writable()).await {
            taken += stream.try_write(&part).unwrap_or_default();
        }
        assert!(taken > 0 && taken < LIMIT + MARGIN, "{taken}");
        drop(client);
    }

    /// Returns a client with the smallest of windows, and the gateway's end of its connection.
    async fn slow_client() -> (System, Wire) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let client = System::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        client.set_recv_buffer_size(1024).expect("an open socket");
        client.connect(&address.into()).expect("a connection");
        let (stream, _from) = listener.accept().await.expect("a client");
        (client, Wire::from(stream))
    }
}
