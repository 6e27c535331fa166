use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::reader::ConsumerIo;
use crate::framing::{Fault, Framing, Place};

/// A consumer's connection of HTTP/1.1 that is read strictly: what is ambiguous does not reach hyper.
///
/// A head that breaks a rule is cut off there, gets a NUL, which may stand nowhere in a head, and is
/// brought to an end, since hyper looks only at whole ones. So hyper finds it malformed, in its turn
/// behind the requests before it, answers 400 and closes. In a body, reading fails.
pub(super) struct Strict<T> {
    io: T,
    framing: Framing,
    state: State,
    /// What was passed on before, and has come back.
    ahead: Bytes,
}

/// What has come back may be a consumer's key.
impl<T> fmt::Debug for Strict<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Strict")
            .field("framing", &self.framing)
            .finish_non_exhaustive()
    }
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
            ahead: Bytes::new(),
        }
    }

    /// Has bytes read again that were read, and not looked at. Fails where they are not all that came
    /// after the last whole request: who reads them must begin with one.
    pub(super) fn put_back(&mut self, bytes: Bytes) -> Result<(), Misplaced> {
        let mut again = Framing::default();
        let begins = again.follow(&bytes).is_ok() && again.is_at_the_place_of(&self.framing);
        if !begins || !self.ahead.is_empty() || !matches!(self.state, State::Http) {
            return Err(Misplaced);
        }
        // An empty one may still hold on to all of its memory.
        self.ahead = if bytes.is_empty() {
            Bytes::new()
        } else {
            bytes
        };
        Ok(())
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

impl Strict<ConsumerIo> {
    /// Waits until there is something to read, or the connection has ended.
    pub(super) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ahead.is_empty() {
            return self.io.stream.wire().poll_readable(cx);
        }
        Poll::Ready(())
    }
}

/// Bytes stand in the middle of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misplaced;

/// What is told how far its bytes go.
pub(super) trait Told {
    /// Says behind which request bytes were read, counted from one; zero where there was none.
    fn read_behind(&self, request: u64);
}

impl Told for ConsumerIo {
    fn read_behind(&self, request: u64) {
        self.link().read_behind(request);
    }
}

impl<T: AsyncRead + Told + Unpin> AsyncRead for Strict<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.ahead.is_empty() {
            let length = this.ahead.len().min(buffer.remaining());
            buffer.put_slice(&this.ahead.split_to(length));
            return Poll::Ready(Ok(()));
        }
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
        let followed = this.framing.follow(read);
        this.io.read_behind(this.framing.behind());
        Poll::Ready(match followed {
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    use super::*;

    impl Told for DuplexStream {
        fn read_behind(&self, _request: u64) {}
    }

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

    #[tokio::test]
    async fn what_is_put_back_is_read_again_where_a_request_begins() {
        let (mut consumer, gateway) = duplex(1024);
        let mut strict = Strict::new(gateway);
        let body = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nh";
        let rest = b"iGET / HT";
        let mut buffer = [0; 64];
        for (sent, misplaced) in [(&body[..], &b"h"[..]), (rest, b""), (b"", b"ET / HT")] {
            consumer.write_all(sent).await.expect("sent");
            let read = buffer.get_mut(..sent.len()).expect("room");
            strict.read_exact(read).await.expect("read");
            let misplaced = Bytes::from_static(misplaced);
            assert_eq!(strict.put_back(misplaced), Err(Misplaced));
        }
        let begun = Bytes::from_static(b"GET / HT");
        assert_eq!(strict.put_back(begun), Ok(()));
        consumer.write_all(b"TP/1.1\r\n\r\n").await.expect("sent");
        drop(consumer);
        let mut read = Vec::new();
        strict.read_to_end(&mut read).await.expect("read");
        assert_eq!(read, b"GET / HTTP/1.1\r\n\r\n");
        assert_eq!(strict.put_back(Bytes::new()), Ok(()));
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
