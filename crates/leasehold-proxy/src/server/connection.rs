use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use leasehold_audit::AccessRecord;
use leasehold_model::{Chain, ReasonCode};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::linger::close_gently;
use super::reader::ConsumerIo;
use super::strict::Strict;
use super::worker::Phase;
use crate::pool::keep_alive;
use crate::service::{Worker, answer};
use crate::trace::Trace;
use crate::via::Via;

/// Serves the requests on one connection, until it is closed or cut.
pub(super) async fn serve(
    worker: Arc<Worker>,
    via: Via,
    mut stream: TcpStream,
    mut phase: watch::Receiver<Phase>,
) {
    let _counted = Counted::new(&worker);
    if let Err(error) = stream.set_nodelay(true).and_then(|()| keep_alive(&stream)) {
        let error = Chain(&error);
        tracing::debug!(%error, "connection was gone before it was served");
        return;
    }
    let via = Arc::new(via);
    let unread = Arc::new(AtomicBool::new(false));
    let ended = requests(&worker, &via, &mut stream, &unread, &mut phase).await;
    if let Ended::Failed(error) = &ended {
        tracing::debug!(error = %Chain(error), "connection failed");
        if error.is_parse() {
            record(error, &worker, &via);
            unread.store(true, Ordering::Relaxed);
        }
    }
    let gently = unread.load(Ordering::Relaxed) && !matches!(ended, Ended::Cut);
    if gently {
        tokio::select! {
            () = close_gently(&mut stream) => {}
            // Also where the worker is gone.
            _ = phase.wait_for(|phase| *phase == Phase::Cut) => {}
        }
    }
}

/// Takes requests off a connection; sets `unread` where not all of one was read.
async fn requests(
    worker: &Arc<Worker>,
    via: &Arc<Via>,
    stream: &mut TcpStream,
    unread: &Arc<AtomicBool>,
    phase: &mut watch::Receiver<Phase>,
) -> Ended {
    let service = service_fn(|request: Request<Incoming>| {
        let (worker, via, unread) = (Arc::clone(worker), Arc::clone(via), Arc::clone(unread));
        let answered = answer(worker, via, unread, request);
        async { Ok::<_, Infallible>(answered.await) }
    });
    // One that was accepted while draining has sent its request, or has a moment to do so.
    let late = *phase.borrow_and_update() != Phase::Serving;
    let io = Strict::new(ConsumerIo::new(stream, worker.patience));
    let mut connection = pin!(protocol(late).serve_connection(TokioIo::new(io), service));
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => return ended.map_or_else(Ended::Failed, |()| Ended::Closed),
            changed = phase.changed() => {
                let now = *phase.borrow_and_update();
                if changed.is_err() || now == Phase::Cut {
                    return Ended::Cut;
                }
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// How a connection ended.
enum Ended {
    Closed,
    Failed(hyper::Error),
    Cut,
}

/// Returns the settings of the protocol.
///
/// A consumer that closes its half of the connection is taken to have gone away, as common servers
/// do: it is the only sign that there is, and the upstream need not work for nobody.
fn protocol(late: bool) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(if late { LATE_HEAD_LIMIT } else { HEAD_LIMIT })
        .keep_alive(!late)
        .max_header_size(LARGEST_HEAD)
        // What has no end yet is refused too, before it has used up more memory.
        .max_buf_size(LARGEST_HEAD);
    builder
}

/// Records what could not be read as a request, and was answered by hyper.
fn record(error: &hyper::Error, worker: &Worker, via: &Via) {
    let status = if error.is_parse_too_large() {
        Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    } else if error.is_parse_version_h2() {
        // There is no answer in HTTP/1.1 to what is HTTP/2.
        None
    } else {
        Some(StatusCode::BAD_REQUEST)
    };
    let trace = Trace::begin();
    let mut record = AccessRecord::begin(
        worker.clock.wall(),
        via.listener.clone(),
        "",
        "",
        trace.id(),
    );
    record.status = status.as_ref().map(StatusCode::as_u16);
    record.reason = Some(ReasonCode::BadRequest);
    let record = worker.recorder.open(record);
    worker.metrics.in_flight.inc();
    worker.plan().meters.count(None, &record);
    record.close();
}

/// Counts a connection for as long as it lives.
struct Counted<'a>(&'a Worker);

impl<'a> Counted<'a> {
    fn new(worker: &'a Worker) -> Self {
        worker.metrics.connections.inc();
        Self(worker)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.metrics.connections.dec();
    }
}

/// How long a head may take to arrive, and how long a connection may be idle.
///
/// Longer than the minute that balancers keep a connection idle: whoever closes first must be the side
/// that sends, or a request crosses the end of its connection.
const HEAD_LIMIT: Duration = Duration::from_secs(75);
const LATE_HEAD_LIMIT: Duration = Duration::from_secs(1);
const LARGEST_HEAD: usize = 64 * 1024;
