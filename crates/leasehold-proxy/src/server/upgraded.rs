//! Connections and streams on which HTTP is not spoken any more.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use leasehold_model::{Clock, ReasonCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;

use super::reader::ConsumerIo;
use super::strict::Strict;
use super::worker::Phase;
use super::write_limit::WriteLimit;
use crate::via::Link;
use crate::websocket::Tunnel;

/// Serves what a connection of HTTP/1.1 has become, until it is closed or cut.
pub(super) async fn serve(mut tunnel: Box<Tunnel>, phase: &mut watch::Receiver<Phase>) {
    let Some(upgraded) = tunnel.consumer().await else {
        // The connection was gone before the answer was: the tunnel's account says so.
        return;
    };
    let Ok(parts) = upgraded.downcast::<TokioIo<Strict<ConsumerIo>>>() else {
        return tunnel.refuse(ReasonCode::Internal);
    };
    // It came before the answer had gone out, and can't have been meant for what comes after it.
    if !parts.read_buf.is_empty() {
        return tunnel.refuse(ReasonCode::BadRequest);
    }
    run(tunnel, parts.io.into_inner(), phase).await;
}

/// Serves what a stream of HTTP/2 has become, until it is closed or cut.
pub(super) async fn serve_stream(
    mut tunnel: Box<Tunnel>,
    link: Arc<Link>,
    clock: Arc<dyn Clock>,
    mut phase: watch::Receiver<Phase>,
) {
    let Some(upgraded) = tunnel.consumer().await else {
        return;
    };
    let stream = StreamIo {
        io: TokioIo::new(upgraded),
        limit: WriteLimit::new(&link.via.limits, &clock),
        link,
    };
    run(tunnel, stream, &mut phase).await;
}

async fn run<C>(tunnel: Box<Tunnel>, consumer: C, phase: &mut watch::Receiver<Phase>)
where
    C: AsyncRead + AsyncWrite + Unpin,
{
    let mut told = phase.clone();
    let draining = async {
        // Also where the worker is gone.
        drop(told.wait_for(|phase| *phase >= Phase::Draining).await);
    };
    tokio::select! {
        () = tunnel.run(consumer, draining) => {}
        _ = phase.wait_for(|phase| *phase == Phase::Cut) => {}
    }
}

/// A consumer's stream, which fails like a [`ConsumerIo`] where the consumer makes no room on it: the
/// connection may go on well for others.
struct StreamIo {
    io: TokioIo<Upgraded>,
    limit: WriteLimit,
    link: Arc<Link>,
}

impl AsyncRead for StreamIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        self.link.carry((buffer.filled().len() - before) as u64);
        polled
    }
}

impl AsyncWrite for StreamIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        if let Poll::Ready(Ok(length)) = &written {
            self.link.carry(*length as u64);
        }
        self.limit.in_time(cx, written, |written| *written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
