use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use leasehold_audit::AccessRecord;
use leasehold_model::{Chain, ReasonCode};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use super::door::{Door, Opened};
use super::linger::close_gently;
use super::reader::ConsumerIo;
use super::resting::{self, Resting};
use super::spec::Limits;
use super::streams::{StreamBody, Streams};
use super::upgraded;
use super::wire::Wire;
use super::worker::Phase;
use crate::service::{Worker, answer};
use crate::trace::Trace;
use crate::via::{Link, Talk, Wait};
use crate::websocket::{Begun, Tunnel};

/// Serves the requests on one connection, until it is closed or cut.
pub(super) async fn serve(
    worker: Arc<Worker>,
    door: Arc<Door>,
    _seat: Arc<()>,
    wire: Wire,
    mut phase: watch::Receiver<Phase>,
) {
    let _counted = Counted::new(&worker);
    // Boxed, since it is large and soon over.
    let opened = tokio::select! {
        opened = Box::pin(door.open(wire)) => opened,
        // Also where the worker is gone.
        _ = phase.wait_for(|phase| *phase == Phase::Cut) => return,
    };
    let Opened { stream, via, http2 } = match opened {
        Ok(opened) => opened,
        Err(error) => {
            worker.metrics.connections_failed.inc();
            tracing::debug!(listener = %door.name, error = %Chain(&error), "connection did not begin");
            return;
        }
    };
    let link = Arc::new(Link::new(via, worker.clock.boot()));
    let io = ConsumerIo::new(stream, &link, &worker.clock);
    if http2 {
        Box::pin(serve_http2(&worker, &link, io.in_turns(), phase)).await;
    } else {
        serve_http1(&worker, &link, io, phase).await;
    }
}

/// Serves HTTP/1.1. A connection on which nothing happens is taken apart, and put together again for
/// its next request: most of what it takes up is what hyper keeps ready for that.
async fn serve_http1(
    worker: &Arc<Worker>,
    link: &Arc<Link>,
    io: ConsumerIo,
    mut phase: watch::Receiver<Phase>,
) {
    let late = *phase.borrow_and_update() != Phase::Serving;
    let mut next = Some(Resting::new(io));
    while let Some(begun) = next {
        // Boxed, so that nothing of it is left while the connection rests.
        let talk = Box::pin(talk_http1(worker, link, begun, late, &mut phase));
        let Some(rests) = talk.await else {
            return;
        };
        next = rests.wait(worker, link, &mut phase).await;
    }
}

/// Serves requests until the connection ends, or may rest.
async fn talk_http1(
    worker: &Arc<Worker>,
    link: &Arc<Link>,
    Resting { io, ends }: Resting,
    late: bool,
    phase: &mut watch::Receiver<Phase>,
) -> Option<Resting> {
    let told = phase.clone();
    let begun = Mutex::new(None);
    let tunnel = &begun;
    let service = service_fn(|request: Request<Incoming>| {
        let (worker, link) = (Arc::clone(worker), Arc::clone(link));
        let told = told.clone();
        async move {
            let last = link.is_last();
            if late || *told.borrow() >= Phase::Draining {
                link.leave();
            }
            let mut response = answer(worker, link, request).await;
            if let Some(begun) = response.extensions_mut().remove::<Begun>() {
                *tunnel.lock() = begun.take();
            } else if last || *told.borrow() != Phase::Serving {
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(CONNECTION, close);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let protocol = http1_protocol(late, &link.via.limits);
    let connection = protocol.serve_connection(TokioIo::new(io), service);
    let mut connection = connection.with_upgrades();
    if ends {
        Pin::new(&mut connection).graceful_shutdown();
    }
    let conversation = Conversation {
        worker,
        link,
        late,
        enough: None,
        rests: (!late && !ends).then(|| resting::look(&link.via.limits)),
    };
    let ended = conversation
        .lead(Pin::new(&mut connection), phase, |it| {
            it.graceful_shutdown();
        })
        .await;
    if let Ended::Failed(error) = &ended {
        tracing::debug!(error = %Chain(error), "connection failed");
        if error.is_parse() {
            record(error, worker, link);
            link.leave_unread();
        }
    }
    let tunnel = begun.lock().take();
    if let Some(tunnel) = tunnel {
        // Where it did not get as far as its answer, the tunnel is told so by this.
        drop(connection);
        upgraded::serve(tunnel, phase).await;
        return None;
    }
    let parts = connection.into_parts()?;
    let mut io = parts.io.into_inner();
    if matches!(ended, Ended::Quiet) {
        return Resting::again(io, parts.read_buf);
    }
    if link.is_unread() && !matches!(ended, Ended::Cut) {
        tokio::select! {
            () = close_gently(io.get_mut().stream.wire()) => {}
            // Also where the worker is gone.
            _ = phase.wait_for(|phase| *phase == Phase::Cut) => {}
        }
    }
    None
}

async fn serve_http2(
    worker: &Arc<Worker>,
    link: &Arc<Link>,
    io: ConsumerIo,
    mut phase: watch::Receiver<Phase>,
) {
    let streams = Streams::new(&link.via.limits, &worker.clock);
    let shared = Arc::new(Shared {
        worker: Arc::clone(worker),
        link: Arc::clone(link),
        streams: streams.clone(),
        abuse: Notify::new(),
        phase: phase.clone(),
    });
    let enough = Notify::new();
    let service = service_fn(|request: Request<Incoming>| {
        let (worker, link) = (Arc::clone(worker), Arc::clone(link));
        if link.is_last() {
            enough.notify_one();
        }
        let flow = streams.begin();
        let kept = Kept(Some(Arc::clone(&shared)));
        async move {
            let mut response = answer(worker, link, request).await;
            let begun = response.extensions_mut().remove::<Begun>();
            kept.keep(begun.and_then(Begun::take));
            Ok::<_, Infallible>(response.map(|body| StreamBody::new(body, flow)))
        }
    });
    let late = *phase.borrow_and_update() != Phase::Serving;
    let protocol = http2_protocol(streams.clone(), &link.via.limits);
    let connection = protocol.serve_connection(TokioIo::new(io), service);
    let mut connection = pin!(connection);
    if late {
        // It may never be idle. What it has sent by the time that it is told is answered still.
        connection.as_mut().graceful_shutdown();
    }
    let conversation = Conversation {
        worker,
        link,
        late,
        enough: Some(&enough),
        rests: None,
    };
    let ended = tokio::select! {
        ended = conversation.lead(connection.as_mut(), &mut phase, |it| {
            it.graceful_shutdown();
        }) => ended,
        () = shared.abuse.notified() => {
            worker.metrics.connections_abused.inc();
            Ended::Cut
        }
    };
    if let Ended::Failed(error) = &ended {
        tracing::debug!(error = %Chain(error), "connection failed");
        if link.talk() == Talk::Flood {
            worker.metrics.connections_abused.inc();
        }
    }
    streams.end().await;
}

/// What a connection is led by while requests come.
struct Conversation<'a> {
    worker: &'a Worker,
    link: &'a Link,
    /// It was accepted while draining: it has sent its request, or has a moment to do so.
    late: bool,
    /// Told when the connection has carried as many requests as it may.
    enough: Option<&'a Notify>,
    /// How often to look whether it may rest, where it may.
    rests: Option<Duration>,
}

impl Conversation<'_> {
    async fn lead<C>(
        &self,
        mut connection: Pin<&mut C>,
        phase: &mut watch::Receiver<Phase>,
        end_in_order: impl Fn(Pin<&mut C>),
    ) -> Ended
    where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut alarm = pin!(sleep(self.left().1));
        let mut ends = false;
        loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => {
                    return ended.map_or_else(Ended::Failed, |()| Ended::Closed);
                }
                changed = phase.changed() => {
                    let now = *phase.borrow_and_update();
                    if changed.is_err() || now == Phase::Cut {
                        return Ended::Cut;
                    }
                    // Where there is no way to say so but by an answer, one is waited for.
                    if now == Phase::Draining || self.enough.is_some() {
                        end_in_order(connection.as_mut());
                    }
                }
                () = told(self.enough) => end_in_order(connection.as_mut()),
                () = alarm.as_mut() => {
                    if !ends && *phase.borrow() == Phase::Serving && self.may_rest() {
                        return Ended::Quiet;
                    }
                    let (wait, left) = self.left();
                    let next = match (wait, left.is_zero()) {
                        (_, false) => left,
                        (Wait::Request, true) if !ends => {
                            ends = true;
                            end_in_order(connection.as_mut());
                            GOODBYE
                        }
                        _ => return Ended::Late,
                    };
                    alarm.as_mut().reset(Instant::now() + next);
                }
            }
        }
    }

    /// Tells what is waited for, and after how much time that is to be looked at again.
    fn left(&self) -> (Wait, Duration) {
        let Limits {
            idle_timeout,
            head_timeout,
            ..
        } = &*self.link.via.limits;
        let at_most = if self.late { LATE_LIMIT } else { Duration::MAX };
        let (idle, head) = (at_most.min(*idle_timeout), at_most.min(*head_timeout));
        let (wait, left) = self.link.wait(self.worker.clock.boot(), idle, head);
        // A head that begins in the meantime must not have more than its time.
        let look = self.rests.map_or(head, |look| look.min(head));
        let left = if left.is_zero() { left } else { left.min(look) };
        (wait, left)
    }

    /// Tells whether nothing has happened for a while, and nothing is on the way.
    fn may_rest(&self) -> bool {
        let look = self.rests;
        look.is_some_and(|look| self.link.is_quiet(self.worker.clock.boot(), look / 2))
    }
}

async fn told(enough: Option<&Notify>) {
    match enough {
        Some(enough) => enough.notified().await,
        None => std::future::pending().await,
    }
}

/// How a connection ended.
enum Ended {
    Closed,
    Failed(hyper::Error),
    /// The client kept the gateway waiting.
    Late,
    Cut,
    /// It has not, but nothing happens on it.
    Quiet,
}

/// What the requests of one connection of HTTP/2 share.
struct Shared {
    worker: Arc<Worker>,
    link: Arc<Link>,
    streams: Streams,
    /// Told when a client takes back too many requests.
    abuse: Notify,
    phase: watch::Receiver<Phase>,
}

/// A request that the client has not taken back yet.
struct Kept(Option<Arc<Shared>>);

impl Kept {
    /// The request was answered; its stream may go on as a tunnel.
    fn keep(mut self, tunnel: Option<Box<Tunnel>>) {
        let shared = self.0.take();
        if let Some((shared, tunnel)) = shared.zip(tunnel) {
            let link = Arc::clone(&shared.link);
            let clock = Arc::clone(&shared.worker.clock);
            let phase = shared.phase.clone();
            let work = upgraded::serve_stream(tunnel, link, clock, phase);
            shared.streams.spawn(work);
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if let Some(shared) = self.0.take().filter(|it| it.link.is_abuse()) {
            shared.abuse.notify_one();
        }
    }
}

/// Returns the settings of HTTP/1.
///
/// A consumer that closes its half of the connection is taken to have gone away, as common servers
/// do: it is the only sign that there is, and the upstream need not work for nobody.
fn http1_protocol(late: bool, limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .keep_alive(!late)
        .max_header_size(limits.head_size)
        // What has no end yet is refused too, before it has used up more memory.
        .max_buf_size(limits.head_size.max(LEAST_BUFFER));
    if limits.headers != HYPERS_HEADERS {
        builder.max_headers(limits.headers);
    }
    builder
}

/// Returns the settings of HTTP/2.
fn http2_protocol(streams: Streams, limits: &Limits) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .initial_stream_window_size(limits.stream_window)
        .initial_connection_window_size(limits.connection_window)
        .max_header_list_size(u32::try_from(limits.head_size).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(OWN_RESETS)
        // RFC 8441: which routes take WebSockets is not known yet.
        .enable_connect_protocol()
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_LIMIT);
    builder
}

/// Records what could not be read as a request, and was answered by hyper.
fn record(error: &hyper::Error, worker: &Worker, link: &Link) {
    let status = if error.is_parse_too_large() {
        Some(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE)
    } else if error.is_parse_version_h2() {
        // There is no answer in HTTP/1.1 to what is HTTP/2.
        None
    } else {
        Some(StatusCode::BAD_REQUEST)
    };
    let trace = Trace::begin(worker.recorder.sampling());
    let mut record = AccessRecord::begin(
        worker.clock.wall(),
        link.via.listener.clone(),
        "",
        "",
        trace.id(),
    );
    record.client = link.via.client;
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

const LATE_LIMIT: Duration = Duration::from_secs(1);
/// How long a client may take to see the end of a connection that was idle.
const GOODBYE: Duration = Duration::from_secs(5);
/// What hyper's parser takes without memory of its own.
const HYPERS_HEADERS: usize = 100;
/// hyper takes no smaller one.
const LEAST_BUFFER: usize = 8192;
/// What may wait on one stream for a client to take it.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that a client may reset before they were looked at.
const PENDING_RESETS: usize = 20;
/// Streams that a client may make the gateway reset.
const OWN_RESETS: usize = 100;
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_LIMIT: Duration = Duration::from_secs(20);
