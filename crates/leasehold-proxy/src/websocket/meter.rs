use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use leasehold_model::{BootTime, Clock};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;

/// When something last moved in a tunnel, on either side and in either direction.
#[derive(Debug)]
pub(super) struct Pulse {
    clock: Arc<dyn Clock>,
    last: AtomicU64,
}

impl Pulse {
    pub(super) fn new(clock: &Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            last: AtomicU64::new(clock.boot().as_nanos()),
            clock: Arc::clone(clock),
        })
    }

    /// Waits until nothing has moved for so long.
    pub(super) async fn still(&self, limit: Duration) {
        loop {
            let last = BootTime::from_nanos(self.last.load(Ordering::Relaxed));
            let left = limit.saturating_sub(self.clock.boot().since(last));
            if left.is_zero() {
                return;
            }
            sleep(left).await;
        }
    }

    fn beat(&self) {
        self.last
            .store(self.clock.boot().as_nanos(), Ordering::Relaxed);
    }
}

/// How many bytes went over one side of a tunnel.
#[derive(Debug, Default)]
pub(super) struct Count {
    read: AtomicU64,
    written: AtomicU64,
}

impl Count {
    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }
}

/// One side of a tunnel, which takes note of how it fares.
#[derive(Debug)]
pub(super) struct Metered<T> {
    io: T,
    pulse: Arc<Pulse>,
    count: Arc<Count>,
    has_failed: bool,
}

impl<T> Metered<T> {
    pub(super) fn new(io: T, pulse: &Arc<Pulse>, count: &Arc<Count>) -> Self {
        Self {
            io,
            pulse: Arc::clone(pulse),
            count: Arc::clone(count),
            has_failed: false,
        }
    }

    /// Tells whether this side broke off.
    pub(super) const fn has_failed(&self) -> bool {
        self.has_failed
    }

    fn wrote(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(length)) = &written {
            self.count
                .written
                .fetch_add(*length as u64, Ordering::Relaxed);
            self.pulse.beat();
        }
        self.checked(written)
    }

    fn checked<U>(&mut self, polled: Poll<io::Result<U>>) -> Poll<io::Result<U>> {
        self.has_failed |= matches!(polled, Poll::Ready(Err(_)));
        polled
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Metered<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = match Pin::new(&mut self.io).poll_read(cx, buffer) {
            // TLS that ends without saying so: frames say for themselves whether they are whole.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Poll::Ready(Ok(()))
            }
            polled => polled,
        };
        let length = buffer.filled().len() - before;
        if length > 0 {
            self.count.read.fetch_add(length as u64, Ordering::Relaxed);
            self.pulse.beat();
        }
        self.checked(polled)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Metered<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(cx);
        self.checked(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.io).poll_shutdown(cx);
        self.checked(shut)
    }
}
