use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Request, Response, Uri, Version};
use hyper::body::Incoming;
use leasehold_audit::Recorder;
use leasehold_model::{Clock, ReasonCode, is_header_alias};

use crate::body::{RequestBody, ResponseBody, Room};
use crate::gateway::{Gateway, Route};
use crate::metrics::ProxyMetrics;
use crate::plan::Plan;
use crate::pool::Pool;
use crate::spare::Spare;
use crate::steps::admit::{admit, refuse_alias};
use crate::steps::close::Exchange;
use crate::steps::forward::{Forwarded, forward};
use crate::steps::identify::identify;
use crate::steps::inject;
use crate::steps::observe::observe;
use crate::steps::refuse::{Refusal, respond};
use crate::trace::Trace;
use crate::via::Via;
use crate::{hop, trailers};

/// What the requests of one core share. No other core touches its connections.
#[derive(Debug)]
pub(crate) struct Worker {
    plan: ArcSwap<Plan>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: ProxyMetrics,
    pub(crate) clock: Arc<dyn Clock>,
    /// How long a consumer may keep the gateway waiting.
    pub(crate) patience: Duration,
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
        patience: Duration,
    ) -> Self {
        Self {
            plan: ArcSwap::from_pointee(Plan::new(gateway, &metrics)),
            pool: Arc::new(Pool::new(Arc::clone(&clock))),
            cuts: AtomicBool::new(false),
            copies: Arc::new(Room::of(COPIES)),
            recorder,
            metrics,
            clock,
            patience,
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
///
/// `unread` is set where a part of the request was left unread, so that the connection is closed
/// gently.
pub(crate) async fn answer(
    worker: Arc<Worker>,
    via: Arc<Via>,
    unread: Arc<AtomicBool>,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let trace = Trace::of(request.headers());
    let mut exchange = Exchange::open(&worker, &via, &unread, &request, &trace);
    match pass(&worker, request, &trace, &mut exchange).await {
        Ok(forwarded) => hand_on(forwarded, exchange),
        Err(refusal) => refuse(refusal, &trace, exchange),
    }
}

async fn pass(
    worker: &Worker,
    request: Request<Incoming>,
    trace: &Trace,
    exchange: &mut Exchange,
) -> Result<Forwarded, Refusal> {
    let (mut head, incoming) = request.into_parts();
    let (body, upload) = RequestBody::new(incoming, &worker.clock, worker.patience);
    exchange.follow(upload);
    let plan = Arc::clone(exchange.plan());
    let gateway = &plan.gateway;
    let number = {
        let host = admit(&head, gateway.consumers.header())?;
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
    // Whatever `Connection` names goes first, so that it can't take away what is put in below.
    let named = hop::strip_request(headers);
    consumers.strip(headers);
    trace.pass_on(headers);
    let Some(credential) = &route.upstream.credential else {
        trailers::restrict(headers, &[consumers.header()]);
        return Ok(());
    };
    exchange.note(|record| record.credential = Some(credential.held.credential().clone()));
    let (now, limit) = (worker.clock.boot(), route.upstream.longest_acquisition());
    let generation = inject::take(credential, exchange.consumer(), now, limit).await?;
    let place = generation.prepared().header(credential.injection);
    let place = place.map_err(|_unknown| ReasonCode::Internal)?;
    refuse_alias(headers, place)?;
    let is_place = |it: &HeaderName| is_header_alias(it.as_str(), place.as_str());
    if named.iter().any(is_place) {
        return Err(Refusal::bad_request(
            "the place of a credential is named in `Connection`",
        ));
    }
    inject::place(credential, &generation, headers)?;
    trailers::restrict(headers, &[consumers.header(), place]);
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
    let body = ResponseBody::upstream(incoming, forwarded.connection, forwarded.limit, exchange);
    Response::from_parts(head, body)
}

fn refuse(refusal: Refusal, trace: &Trace, mut exchange: Exchange) -> Response<ResponseBody> {
    let unread = exchange
        .upload()
        .is_some_and(|upload| !upload.is_complete());
    // Whoever breaks a rule may mean by what follows something else than we would.
    let ends = unread || refusal.reason == ReasonCode::BadRequest;
    if ends {
        exchange.leave_unread();
    }
    let challenge = &exchange.plan().gateway.challenge;
    let response = respond(refusal, trace.id(), challenge, ends);
    exchange.note(|record| {
        record.status = Some(response.status().as_u16());
        record.reason = Some(refusal.reason);
    });
    response.map(|text| ResponseBody::own(text, exchange))
}

/// Copies of 512 of the largest bodies that are kept at all.
const COPIES: usize = 32 * 1024 * 1024;
