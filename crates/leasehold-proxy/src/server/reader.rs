use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use leasehold_model::Clock;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::task::yield_now;
use tokio_rustls::server::TlsStream;

use super::wire::Wire;
use super::write_limit::WriteLimit;
use crate::via::{Link, Talk};

/// What the bytes of a consumer's connection go through.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(Wire),
    Tls(Box<TlsStream<Wire>>),
}

impl Stream {
    /// Returns the protocol that was agreed on.
    pub(super) fn speaks_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// Returns the certificate that the client has shown and that was found good.
    pub(super) fn certificate(&self) -> Option<CertificateDer<'static>> {
        let Self::Tls(stream) = self else {
            return None;
        };
        let chain = stream.get_ref().1.peer_certificates()?;
        chain.first().map(|leaf| leaf.clone().into_owned())
    }

    /// Returns what is below TLS.
    pub(super) fn wire(&mut self) -> &mut Wire {
        match self {
            Self::Plain(wire) => wire,
            Self::Tls(stream) => stream.get_mut().0,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(wire) => Pin::new(wire).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

/// A consumer's connection that fails where the consumer takes nothing for too long, or less than it
/// must: an answer that nobody reads would hold its upstream's connection and its generation for good.
#[derive(Debug)]
pub(super) struct ConsumerIo {
    pub(super) stream: Stream,
    link: Arc<Link>,
    clock: Arc<dyn Clock>,
    limit: WriteLimit,
    turn: Option<Turn>,
}

impl ConsumerIo {
    pub(super) fn new(stream: Stream, link: &Arc<Link>, clock: &Arc<dyn Clock>) -> Self {
        Self {
            stream,
            limit: WriteLimit::new(&link.via.limits, clock),
            link: Arc::clone(link),
            clock: Arc::clone(clock),
            turn: None,
        }
    }

    /// Reads a little at a time and lets others have their turn then: frames that ask for nothing but an
    /// answer to each are worked off for as long as there are any to read.
    pub(super) fn in_turns(self) -> Self {
        Self {
            turn: Some(Turn::default()),
            ..self
        }
    }

    pub(super) const fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

impl AsyncRead for ConsumerIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.turn.as_mut().is_some_and(|it| it.is_over(cx)) {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let talk = this.turn.as_ref().map(|_| this.link.talk());
        let polled = match talk {
            Some(Talk::Flood) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            Some(Talk::Idle) => pin!((&mut this.stream).take(LITTLE)).poll_read(cx, buffer),
            Some(Talk::Useful) | None => Pin::new(&mut this.stream).poll_read(cx, buffer),
        };
        if buffer.filled().len() > before {
            this.link.hear(|| this.clock.boot());
        }
        this.link.wants_more(polled.is_pending());
        if let Some(turn) = &mut this.turn {
            turn.count(polled.is_ready());
            this.link.receive((buffer.filled().len() - before) as u64);
        }
        polled
    }
}

impl AsyncWrite for ConsumerIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.link.wrote();
        let written = match &mut self.stream {
            Stream::Plain(wire) => Pin::new(wire).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        self.limit.in_time(cx, written, |written| *written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.link.wrote();
        let written = match &mut self.stream {
            Stream::Plain(wire) => Pin::new(wire).poll_write_vectored(cx, slices),
            Stream::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        };
        self.limit.in_time(cx, written, |written| *written)
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(wire) => wire.is_write_vectored(),
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = match &mut self.stream {
            // The system flushes by itself.
            Stream::Plain(wire) => Pin::new(wire).poll_flush(cx),
            Stream::Tls(stream) => {
                let flushed = Pin::new(stream).poll_flush(cx);
                self.limit.in_time(cx, flushed, |()| 0)
            }
        };
        if flushed.is_ready() {
            self.link.flushed();
        }
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = match &mut self.stream {
            Stream::Plain(wire) => Pin::new(wire).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        };
        self.limit.in_time(cx, shut, |()| 0)
    }
}

/// How often a connection has been read without a rest.
#[derive(Debug, Default)]
struct Turn(u32);

impl Turn {
    const fn count(&mut self, read: bool) {
        self.0 = if read { self.0 + 1 } else { 0 };
    }

    /// Tells whether it is others' turn. The task is woken again, once all that is ready has been polled
    /// and the sockets were looked at: being woken at once would come before those.
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        if self.0 < READS {
            return false;
        }
        self.0 = 0;
        pin!(yield_now()).poll(cx).is_pending()
    }
}

/// What is read at once of a client that asks for nothing: sixty frames that are to be answered.
const LITTLE: u64 = 1024;
/// Some ten KiB each.
const READS: u32 = 2;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;

    #[tokio::test]
    async fn after_some_reads_it_is_others_turn() {
        let mut turn = Turn::default();
        let mut others = 0;
        for _ in 0..10 * READS {
            poll_fn(|cx| {
                if turn.is_over(cx) {
                    others += 1;
                    return Poll::Pending;
                }
                turn.count(true);
                Poll::Ready(())
            })
            .await;
        }
        assert_eq!(others, 9);
        // Who had to wait for something to read begins anew.
        turn.count(false);
        assert!(!poll_fn(|cx| Poll::Ready(turn.is_over(cx))).await);
    }
}
