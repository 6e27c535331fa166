use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use http::header::TE;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use leasehold_audit::Recorder;
use leasehold_model::{Clock, ReasonCode};

use crate::body::{Demands, RequestBody, ResponseBody, Room};
use crate::gateway::{Gateway, Route};
use crate::metrics::ProxyMetrics;
use crate::plan::Plan;
use crate::pool::Pool;
use crate::spare::Spare;
use crate::steps::admit::admit;
use crate::steps::close::Exchange;
use crate::steps::forward::{Forwarded, forward};
use crate::steps::identify::identify;
use crate::steps::inject;
use crate::steps::observe::observe;
use crate::steps::refuse::{Refusal, is_grpc, respond};
use crate::steps::streams;
use crate::trace::Trace;
use crate::via::Link;
use crate::{hop, trailers, version};

/// What the requests of one core share. No other core touches its connections.
#[derive(Debug)]
pub(crate) struct Worker {
    plan: ArcSwap<Plan>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: ProxyMetrics,
    pub(crate) clock: Arc<dyn Clock>,
    cuts: AtomicBool,
    /// What copies of request bodies may take up.
    copies: Arc<Room>,
}

impl Worker {
    pub(crate) fn new(
        gateway: Arc<Gateway>,
        recorder: Recorder,
        metrics: ProxyMetrics,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            plan: ArcSwap::from_pointee(Plan::new(gateway, &metrics)),
            pool: Arc::new(Pool::new(Arc::clone(&clock))),
            cuts: AtomicBool::new(false),
            copies: Arc::new(Room::of(COPIES)),
            recorder,
            metrics,
            clock,
        }
    }

    /// Returns what a request that begins now is served by.
    pub(crate) fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// Serves the requests that begin from now on by another gateway.
    pub(crate) fn replace(&self, gateway: Arc<Gateway>) {
        self.plan.store(Arc::new(Plan::new(gateway, &self.metrics)));
    }

    /// Says that from now on it is the gateway that breaks off requests.
    pub(crate) fn cut(&self) {
        self.cuts.store(true, Ordering::Relaxed);
    }

    pub(crate) fn cuts(&self) -> bool {
        self.cuts.load(Ordering::Relaxed)
    }
}

/// Takes a request through the steps, and returns its answer: the upstream's, or a refusal.
pub(crate) async fn answer(
    worker: Arc<Worker>,
    link: Arc<Link>,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let trace = Trace::of(request.headers());
    let grpc = is_grpc(&request);
    let version = request.version();
    let mut exchange = Exchange::open(&worker, &link, &request, &trace);
    match pass(&worker, &link, request, &trace, &mut exchange).await {
        Ok(forwarded) => hand_on(forwarded, exchange),
        Err(refusal) => refuse(refusal, (version, grpc), &trace, exchange),
    }
}

async fn pass(
    worker: &Worker,
    link: &Link,
    request: Request<Incoming>,
    trace: &Trace,
    exchange: &mut Exchange,
) -> Result<Forwarded, Refusal> {
    let (mut head, incoming) = request.into_parts();
    let limits = &link.via.limits;
    if head.version == Version::HTTP_2 {
        let has_body = !incoming.is_end_stream();
        streams::translate(&mut head, has_body, limits.headers)?;
    }
    let demands = Demands::of(limits, &head.headers);
    let (body, upload) = RequestBody::new(incoming, &worker.clock, demands);
    exchange.follow(upload);
    if body.size_hint().lower() > limits.body_size {
        return Err(ReasonCode::BodyTooLarge.into());
    }
    let plan = Arc::clone(exchange.plan());
    let gateway = &plan.gateway;
    let number = {
        let host = admit(&head)?;
        gateway.routes.find(&host, head.uri.path())?
    };
    let route = gateway.route(number).ok_or(ReasonCode::NoRoute)?;
    exchange.enter(number, route);
    let consumer = identify(&gateway.consumers, &route.admission, &head.headers)?;
    exchange.note(|record| record.consumer = consumer);
    prepare(worker, &plan, route, &mut head.headers, trace, exchange).await?;
    let mut request = Request::from_parts(outgoing(head), body);
    let upstream = &*route.upstream;
    let spare = Spare::of(&mut request, upstream.retries_refused(), &worker.copies);
    let forwarded = forward(worker, upstream, request, spare.as_ref(), exchange).await?;
    observe(worker, upstream, forwarded, spare, exchange).await
}

/// Makes the head of the request into what the upstream may see.
async fn prepare(
    worker: &Worker,
    plan: &Plan,
    route: &Route,
    headers: &mut HeaderMap,
    trace: &Trace,
    exchange: &mut Exchange,
) -> Result<(), Refusal> {
    let consumers = &plan.gateway.consumers;
    let takes_trailers = route.upstream.may_share() && version::accepts_trailers(headers);
    // Whatever `Connection` names goes first, so that it can't take away what is put in below.
    hop::strip_request(headers);
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    consumers.strip(headers);
    trace.pass_on(headers);
    let Some(credential) = &route.upstream.credential else {
        trailers::restrict(headers, &[consumers.header()]);
        return Ok(());
    };
    exchange.note(|record| record.credential = Some(credential.held.credential().clone()));
    let (now, limit) = (worker.clock.boot(), route.upstream.longest_acquisition());
    let generation = inject::take(credential, exchange.consumer(), now, limit).await?;
    inject::place(credential, &generation, headers)?;
    let place = generation.prepared().header(credential.injection);
    let place = place.map_err(|_unknown| ReasonCode::Internal)?;
    match place {
        Some(place) => trailers::restrict(headers, &[consumers.header(), place]),
        None => trailers::restrict(headers, &[consumers.header()]),
    }
    exchange.hold(generation);
    Ok(())
}

/// Keeps of the head only what is sent: the received path and query, byte by byte.
fn outgoing(mut head: Parts) -> Parts {
    let target = head.uri.path_and_query().cloned();
    head.uri = Uri::from(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
    head.version = Version::HTTP_11;
    head.extensions.clear();
    head
}

fn hand_on(forwarded: Forwarded, mut exchange: Exchange) -> Response<ResponseBody> {
    let (mut head, incoming) = forwarded.response.into_parts();
    hop::strip_response(&mut head.headers);
    head.version = Version::HTTP_11;
    exchange.note(|record| record.status = Some(head.status.as_u16()));
    let from = (forwarded.connection, forwarded.flight);
    let body = ResponseBody::upstream(incoming, from, forwarded.limit, exchange);
    Response::from_parts(head, body)
}

fn refuse(
    refusal: Refusal,
    (version, grpc): (Version, bool),
    trace: &Trace,
    mut exchange: Exchange,
) -> Response<ResponseBody> {
    let unread = exchange
        .upload()
        .is_some_and(|upload| !upload.is_complete());
    if unread {
        exchange.leave_unread();
    }
    let challenge = &exchange.plan().gateway.challenge;
    // In HTTP/2 only the stream ends, and no header says so.
    let close = unread && version != Version::HTTP_2;
    let response = respond(refusal, trace.id(), challenge, close, grpc);
    exchange.note(|record| {
        record.status = Some(response.status().as_u16());
        record.reason = Some(refusal.reason);
    });
    response.map(|text| ResponseBody::own(text, exchange))
}

/// Copies of 512 of the largest bodies that are kept at all.
const COPIES: usize = 32 * 1024 * 1024;
