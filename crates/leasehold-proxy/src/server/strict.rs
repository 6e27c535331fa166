use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::framing::{Fault, Framing, Place};

/// A consumer's connection of HTTP/1.1 that is read strictly: what is ambiguous does not reach hyper.
///
/// A head that breaks a rule is cut off there, gets a NUL, which may stand nowhere in a head, and is
/// brought to an end, since hyper looks only at whole ones. So hyper finds it malformed, in its turn
/// behind the requests before it, answers 400 and closes. In a body, reading fails.
#[derive(Debug)]
pub(super) struct Strict<T> {
    io: T,
    framing: Framing,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Http,
    /// Something else is spoken from now on, in which the gateway has no say.
    Upgraded,
    /// Nothing more is passed on but this.
    Ending(&'static [u8]),
    /// Nothing more is passed on, and that is to be told.
    Broken(&'static str),
}

impl<T> Strict<T> {
    pub(super) fn new(io: T) -> Self {
        Self {
            io,
            framing: Framing::default(),
            state: State::Http,
        }
    }

    pub(super) const fn get_mut(&mut self) -> &mut T {
        &mut self.io
    }

    /// Cuts off what must not go on of the bytes that were read, which begin at `from`.
    fn cut(&mut self, fault: &Fault, buffer: &mut ReadBuf<'_>, from: usize) -> io::Result<()> {
        tracing::debug!(
            rule = fault.rule,
            "a request is cut off where it breaks a rule"
        );
        let end = from + fault.at;
        match (fault.place, buffer.filled_mut().get_mut(end)) {
            (Place::Head, Some(byte)) => {
                *byte = 0;
                buffer.set_filled(end + 1);
                self.state = State::Ending(b"\r\n\r\n");
                Ok(())
            }
            // No byte at all would be the end of the connection.
            _ if fault.at == 0 => {
                buffer.set_filled(from);
                self.state = State::Ending(b"");
                Err(malformed(fault.rule))
            }
            _ => {
                buffer.set_filled(end);
                self.state = State::Broken(fault.rule);
                Ok(())
            }
        }
    }

    /// Notices the answer that ends HTTP on the connection: nothing else begins like that, and a
    /// request that was sent behind one for an upgrade is not answered in the same breath.
    fn notice_upgrade(&mut self, written: &[u8]) {
        if self.framing.asks_for_upgrade()
            && matches!(self.state, State::Http)
            && written.starts_with(SWITCHING)
        {
            self.state = State::Upgraded;
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Strict<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        match this.state {
            State::Http => {}
            State::Upgraded => return Pin::new(&mut this.io).poll_read(cx, buffer),
            State::Ending(end) => {
                let (now, later) = end.split_at(end.len().min(buffer.remaining()));
                buffer.put_slice(now);
                this.state = State::Ending(later);
                return Poll::Ready(Ok(()));
            }
            State::Broken(rule) => {
                this.state = State::Ending(b"");
                return Poll::Ready(Err(malformed(rule)));
            }
        }
        let from = buffer.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buffer))?;
        let read = buffer.filled().get(from..).unwrap_or_default();
        Poll::Ready(match this.framing.follow(read) {
            Ok(()) => Ok(()),
            Err(fault) => this.cut(&fault, buffer, from),
        })
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Strict<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.notice_upgrade(bytes);
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.notice_upgrade(slices.first().map_or(&[], |slice| slice));
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

fn malformed(rule: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, rule)
}

const SWITCHING: &[u8] = b"HTTP/1.1 101 ";

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test]
    async fn a_bad_head_is_cut_off_behind_a_good_request() {
        let good = "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi";
        let sent = format!("{good}GET / HTTP/1.1\r\nA: b\nC: d\r\n\r\n");
        let (read, error) = read_all(&sent).await;
        assert_eq!(read, format!("{good}GET / HTTP/1.1\r\nA: b\0\r\n\r\n"));
        assert_eq!(error, None);
    }

    #[tokio::test]
    async fn a_bad_body_goes_on_to_where_it_is_bad_and_fails_there() {
        let good = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n3";
        let (read, error) = read_all(&format!("{good}\nabc\r\n")).await;
        assert_eq!(read, good);
        assert_eq!(error, Some(io::ErrorKind::InvalidData));
    }

    #[tokio::test]
    async fn after_an_upgrade_anything_may_be_said() {
        let (mut consumer, gateway) = duplex(1024);
        let mut strict = Strict::new(gateway);
        let asks = b"GET / HTTP/1.1\r\nUpgrade: x\r\n\r\n";
        consumer.write_all(asks).await.expect("sent");
        let mut buffer = [0; 64];
        assert_eq!(strict.read(&mut buffer).await.ok(), Some(asks.len()));
        let answer = b"HTTP/1.1 101 Switching Protocols\r\n\r\n";
        strict.write_all(answer).await.expect("written");
        consumer.write_all(b"\n\0\r").await.expect("sent");
        assert_eq!(strict.read(&mut buffer).await.ok(), Some(3));
        assert_eq!(buffer.first_chunk(), Some(b"\n\0\r"));
    }

    async fn read_all(sent: &str) -> (String, Option<io::ErrorKind>) {
        let (mut consumer, gateway) = duplex(1024);
        consumer.write_all(sent.as_bytes()).await.expect("sent");
        let mut strict = Strict::new(gateway);
        let mut read = Vec::new();
        let error = strict.read_to_end(&mut read).await.err();
        (
            String::from_utf8(read).expect("text"),
            error.map(|error| error.kind()),
        )
    }
}
