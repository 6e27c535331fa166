//! The requests of one HTTP/2 connection: each a task, which ends with the connection at the latest.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use leasehold_model::Clock;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::spec::Limits;
use crate::body::{BodyError, ResponseBody};
use crate::credit::Credit;
use crate::patience::Patience;

/// Runs the requests of one connection.
#[derive(Clone)]
pub(super) struct Streams(Arc<Shared>);

struct Shared {
    tasks: TaskTracker,
    end: CancellationToken,
    limits: Arc<Limits>,
    clock: Arc<dyn Clock>,
    /// How the answer fares of the request that was taken up last: hyper begins its task next, and
    /// says no more of it than what there is to do.
    next: Mutex<Option<Arc<Flow>>>,
}

impl Streams {
    pub(super) fn new(limits: &Arc<Limits>, clock: &Arc<dyn Clock>) -> Self {
        Self(Arc::new(Shared {
            tasks: TaskTracker::new(),
            end: CancellationToken::new(),
            limits: Arc::clone(limits),
            clock: Arc::clone(clock),
            next: Mutex::new(None),
        }))
    }

    /// Takes up a request, and returns what tells how its answer fares.
    pub(super) fn begin(&self) -> Arc<Flow> {
        let flow = Arc::new(Flow::default());
        *self.0.next.lock() = Some(Arc::clone(&flow));
        flow
    }

    /// Ends all that are left, and waits until they have left their records.
    pub(super) async fn end(&self) {
        self.0.end.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    /// Runs what belongs to a stream: no longer than the connection.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let ended = self.0.end.clone();
        self.0.tasks.spawn(async move {
            tokio::select! {
                biased;
                () = ended.cancelled() => {}
                () = work => {}
            }
        });
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let limits = &self.0.limits;
        self.spawn(Task {
            work: Box::pin(future),
            flow: self.0.next.lock().take(),
            patience: Patience::new(limits.body_timeout),
            credit: Credit::new(limits.pace),
            clock: Arc::clone(&self.0.clock),
        });
    }
}

/// How an answer goes to a client.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Whether the client has not made room for what comes next.
    owed: AtomicBool,
    bytes: AtomicU64,
}

/// A request with its answer. It is given up where the client makes no room for the answer, or too
/// slowly: the rest of the connection goes on.
struct Task<F> {
    work: Pin<Box<F>>,
    flow: Option<Arc<Flow>>,
    patience: Patience,
    credit: Credit,
    clock: Arc<dyn Clock>,
}

impl<F: Future<Output = ()>> Future for Task<F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.work.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(flow) = &this.flow else {
            return Poll::Pending;
        };
        let clock = &this.clock;
        let bytes = flow.bytes.swap(0, Ordering::Relaxed);
        if bytes > 0 || !flow.owed.load(Ordering::Relaxed) {
            this.patience.end();
            this.credit.earn(bytes, || clock.boot());
        }
        if !flow.owed.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        let left = this.credit.wait(|| clock.boot());
        ready!(this.patience.poll_over_within(cx, left));
        // hyper resets the stream when this is dropped, and the record says who broke off.
        Poll::Ready(())
    }
}

/// The body of an answer that goes out on a stream.
#[derive(Debug)]
pub(super) struct StreamBody {
    body: ResponseBody,
    flow: Arc<Flow>,
}

impl StreamBody {
    pub(super) const fn new(body: ResponseBody, flow: Arc<Flow>) -> Self {
        Self { body, flow }
    }
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // hyper asks for more once the client has made room.
        self.flow.owed.store(false, Ordering::Relaxed);
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            let length = frame.data_ref().map_or(0, Bytes::len) as u64;
            self.flow.bytes.fetch_add(length, Ordering::Relaxed);
            self.flow.owed.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
