#[cfg(test)]
mod fail_open;

use std::borrow::Cow;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{CONNECTION, HOST, ORIGIN, TE, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use leasehold_audit::Recorder;
use leasehold_consumer::{Caller, strip};
use leasehold_limit::Caller as Counted;
use leasehold_model::{Clock, ReasonCode, is_header_alias};
use tokio::time::timeout;

use crate::body::{Demands, RequestBody, ResponseBody, Room, Seal};
use crate::cors::is_preflight;
use crate::gateway::{Asking, Gateway, HostRewrite, Loan, Route, Target, Upstream};
use crate::metrics::ProxyMetrics;
use crate::mirror::{Copy, Mirrors};
use crate::plan::Plan;
use crate::pool::Pool;
use crate::reflection::{Reflection, ask_for_plain};
use crate::rewrite::{rewritten, with_path};
use crate::spare::Spare;
use crate::steps::admit::{admit, refuse_alias};
use crate::steps::challenge::challenge;
use crate::steps::close::Exchange;
use crate::steps::forward::{Forwarded, forward};
use crate::steps::identify::identify;
use crate::steps::limit;
use crate::steps::observe::observe;
use crate::steps::path::settle;
use crate::steps::refuse::{Refusal, is_grpc, respond};
use crate::steps::route::Ask;
use crate::steps::seal::seal;
use crate::steps::{inject, retry, sign, streams};
use crate::trace::Trace;
use crate::via::Link;
use crate::websocket::Handshake;
use crate::{hop, trailers, version, websocket};

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
    pub(crate) copies: Arc<Room>,
    pub(crate) mirrors: Mirrors,
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
            mirrors: Mirrors::new(),
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

/// Takes a request through the steps, and returns its answer: the upstream's, the gateway's own, or a
/// refusal.
pub(crate) async fn answer(
    worker: Arc<Worker>,
    link: Arc<Link>,
    request: Request<Incoming>,
) -> Response<ResponseBody> {
    let trace = Trace::of(request.headers(), worker.recorder.sampling());
    let grpc = is_grpc(&request);
    let version = request.version();
    let mut exchange = Exchange::open(&worker, &link, &request, &trace);
    match pass(&worker, &link, request, &trace, &mut exchange).await {
        Ok(Answer::Upstream(mut forwarded)) => match seal(&mut forwarded, &mut exchange) {
            Ok(_) if forwarded.response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                match exchange.switch() {
                    Ok(asked) => websocket::begin(forwarded, asked, exchange),
                    Err(refusal) => refuse(refusal, (version, grpc), &trace, exchange),
                }
            }
            Ok(seal) => hand_on(forwarded, seal, exchange),
            Err(refusal) => refuse(refusal, (version, grpc), &trace, exchange),
        },
        Ok(Answer::Own(response)) => hand_out(response, version, None, exchange),
        Err(refusal) => refuse(refusal, (version, grpc), &trace, exchange),
    }
}

enum Answer {
    Upstream(Forwarded),
    /// The gateway needs no upstream for it.
    Own(Response<Bytes>),
}

async fn pass(
    worker: &Arc<Worker>,
    link: &Arc<Link>,
    request: Request<Incoming>,
    trace: &Trace,
    exchange: &mut Exchange,
) -> Result<Answer, Refusal> {
    let (mut head, incoming) = request.into_parts();
    let limits = &link.via.limits;
    if head.version == Version::HTTP_2 {
        link.carry(size(&head));
        let has_body = !incoming.is_end_stream();
        streams::translate(&mut head, has_body, limits.headers)?;
    }
    let demands = Demands::of(limits, &head.headers);
    let (mut body, upload) = RequestBody::new(incoming, &worker.clock, demands, link);
    exchange.follow(upload);
    if body.size_hint().lower() > limits.body_size {
        return Err(ReasonCode::BodyTooLarge.into());
    }
    let plan = Arc::clone(exchange.plan());
    let gateway = &plan.gateway;
    let number = find(gateway, &mut head)?;
    let route = gateway.route(number).ok_or(ReasonCode::NoRoute)?;
    exchange.enter(number, route);
    if let Some(cors) = &route.cors {
        exchange.set_origin(head.headers.get(ORIGIN).cloned());
        if is_preflight(&head) {
            return Ok(Answer::Own(cors.preflight(exchange.origin())));
        }
    }
    bound(route, &head, &mut body)?;
    let chosen = match &route.target {
        Target::Upstreams(choice) => Ok(choice.pick().ok_or(ReasonCode::Internal)?),
        Target::Redirect(redirect) => Err(redirect),
    };
    if let Ok((place, upstream)) = chosen {
        exchange.choose(place, upstream);
    }
    let shown = link.via.certificate.as_ref();
    let caller = identify(gateway, route, &head.headers, shown, &*worker.clock).await?;
    exchange.set_caller(caller.as_ref());
    count(worker, link, route, exchange)?;
    let upstream = match chosen {
        Ok((_place, upstream)) => upstream,
        Err(redirect) => {
            let host = admit(&head, &gateway.ours)?;
            let elsewhere = redirect.answer(&host, &head.uri, &route.path)?;
            return Ok(Answer::Own(elsewhere));
        }
    };
    let bare = body.is_end_stream();
    exchange.ask_for(websocket::asked_for(route, link, &mut head, bare)?);
    exchange.set_authority(authority(route, &head.headers));
    let takes_trailers = upstream.may_share() && version::accepts_trailers(&head.headers);
    let named = adapt(&plan, route, &mut head, trace, caller.as_ref())?;
    if takes_trailers {
        let trailers = HeaderValue::from_static("trailers");
        head.headers.insert(TE, trailers);
    }
    let copy = if exchange.handshake().is_some() {
        Handshake::ask(&mut head.headers);
        // What is said in a WebSocket can't be said to two.
        None
    } else {
        Copy::of(route, &head)
    };
    let draft = Draft {
        headers: &mut head.headers,
        target: &mut head.uri,
        named: &named,
    };
    lend(worker, &plan, route, upstream, draft, exchange).await?;
    // Boxed, since it goes through many hands, and each of them would have room for it.
    let mut request = Box::new(Request::from_parts(outgoing(head), body));
    if let Some(copy) = copy {
        copy.launch(worker, &plan, &mut request, exchange.sender());
    }
    let sent = ask(worker, route, upstream, request, exchange);
    Ok(Answer::Upstream(sent.await?))
}

/// Finds the number of the route, and brings the path into the form that it is forwarded in.
fn find(gateway: &Gateway, head: &mut Parts) -> Result<usize, Refusal> {
    let (number, settled) = {
        let host = admit(head, &gateway.ours)?;
        let path = settle(&head.method, head.uri.path(), gateway.path_policy)?;
        let number = gateway.routes.find(&Ask::new(head, &host, &path))?;
        let settled = match path {
            Cow::Owned(path) => Some(path),
            Cow::Borrowed(_) => None,
        };
        (number, settled)
    };
    if let Some(path) = settled {
        head.uri = with_path(&head.uri, &path).ok_or(ReasonCode::Internal)?;
    }
    Ok(number)
}

/// Counts the request at the limits of its route, and keeps what they give it.
fn count(
    worker: &Worker,
    link: &Link,
    route: &Route,
    exchange: &mut Exchange,
) -> Result<(), Refusal> {
    if route.limits.is_empty() {
        return Ok(());
    }
    let caller = Counted {
        consumer: exchange.consumer(),
        route: &route.name,
        address: link.via.client.map(|it| it.ip()),
    };
    let (limited, refused) = limit::count(&route.limits, caller, worker.clock.boot());
    exchange.keep(limited);
    let Some((reason, limit)) = refused else {
        return Ok(());
    };
    worker.metrics.limited(&limit, reason);
    exchange.note(|record| record.limit = Some(limit));
    Err(reason.into())
}

/// Refuses what is larger than the route lets it be, as far as that is known yet.
fn bound(route: &Route, head: &Parts, body: &mut RequestBody) -> Result<(), Refusal> {
    if let Some(limit) = route.head_limit
        && size(head) > limit
    {
        return Err(ReasonCode::HeadTooLarge.into());
    }
    if let Some(limit) = route.body_limit
        && body.limit(limit)
    {
        return Err(ReasonCode::BodyTooLarge.into());
    }
    Ok(())
}

/// Returns how large a head is, as HTTP/1.1 writes it.
fn size(head: &Parts) -> u64 {
    let target = head.uri.path_and_query().map_or(0, |it| it.as_str().len());
    let line = head.method.as_str().len() + target + REST_OF_REQUEST_LINE;
    let headers = head.headers.iter();
    let headers = headers.map(|(name, value)| name.as_str().len() + value.len() + REST_OF_HEADER);
    (line + headers.sum::<usize>()) as u64
}

/// Returns what the upstream reads as `Host`, where that is not its own authority.
fn authority(route: &Route, headers: &HeaderMap) -> Option<HeaderValue> {
    match &route.host {
        HostRewrite::Upstream => None,
        HostRewrite::Preserve => headers.get(HOST).cloned(),
        HostRewrite::Fixed(host) => Some(host.clone()),
    }
}

/// Makes the head of the request into what the upstream may see, but for the credential. Returns the
/// headers that `Connection` named.
fn adapt(
    plan: &Plan,
    route: &Route,
    head: &mut Parts,
    trace: &Trace,
    caller: Option<&Caller>,
) -> Result<Vec<HeaderName>, Refusal> {
    // Whatever `Connection` names goes first, so that it can't take away what is put in below.
    let named = hop::strip_request(&mut head.headers);
    strip(&mut head.headers, &plan.gateway.ours);
    route.request_headers.apply(&mut head.headers);
    plan.gateway.identity.tell(caller, &mut head.headers);
    if route.reflection != Reflection::Off {
        ask_for_plain(&mut head.headers);
    }
    trace.pass_on(&mut head.headers);
    if let Some(replacement) = &route.rewrite_prefix {
        let path = rewritten(head.uri.path(), &route.path, replacement);
        head.uri = with_path(&head.uri, &path).ok_or(ReasonCode::Internal)?;
    }
    Ok(named)
}

/// Places the upstream's credentials in a head that is otherwise ready, and keeps them.
async fn lend(
    worker: &Worker,
    plan: &Plan,
    route: &Route,
    upstream: &Upstream,
    draft: Draft<'_>,
    exchange: &mut Exchange,
) -> Result<(), Refusal> {
    exchange.name_credentials(&upstream.credentials, &route.name);
    if route.reflection != Reflection::Off {
        exchange.watch(&upstream.credentials);
    }
    let left = exchange.time_left().unwrap_or(Duration::MAX);
    let limit = upstream.longest_acquisition().min(left);
    let asking = exchange.asking(route);
    let loan = equip(worker, plan, upstream, draft, asking, limit).await?;
    exchange.hold(loan);
    Ok(())
}

/// A head that is ready but for a credential.
pub(crate) struct Draft<'a> {
    pub(crate) headers: &'a mut HeaderMap,
    pub(crate) target: &'a mut Uri,
    /// What `Connection` named in it.
    pub(crate) named: &'a [HeaderName],
}

/// Places the upstream's credentials in a head that is otherwise ready; returns what must be held until
/// the answer has ended. All of them are there before the first is placed.
///
/// # Errors
///
/// When there is one missing, within `limit`, and where what was sent may be taken for it further on.
pub(crate) async fn equip(
    worker: &Worker,
    plan: &Plan,
    upstream: &Upstream,
    draft: Draft<'_>,
    asking: Asking<'_>,
    limit: Duration,
) -> Result<Loan, Refusal> {
    let Draft {
        headers,
        target,
        named,
    } = draft;
    let ours = &plan.gateway.ours;
    let credentials = &upstream.credentials;
    if credentials.is_empty() {
        trailers::restrict(headers, ours, iter::empty());
        return Ok(Loan::default());
    }
    let loan = inject::take(credentials, asking, &*worker.clock, limit).await?;
    let places = || {
        let lent = credentials.lent(&loan);
        lent.map(|(used, generation)| generation.prepared().headers(used.injection))
    };
    for place in places() {
        for place in place.map_err(|_unknown| ReasonCode::Internal)? {
            refuse_forged(place, headers, named)?;
        }
    }
    inject::place(credentials, &loan, headers, target)?;
    trailers::restrict(headers, ours, places().flatten().flatten());
    Ok(loan)
}

/// Refuses what an upstream may take for the place of a credential, or a proxy may take that away by.
fn refuse_forged(
    place: &HeaderName,
    headers: &HeaderMap,
    named: &[HeaderName],
) -> Result<(), Refusal> {
    refuse_alias(headers, place)?;
    let is_place = |it: &HeaderName| is_header_alias(it.as_str(), place.as_str());
    if named.iter().any(is_place) {
        return Err(Refusal::bad_request(
            "the place of a credential is named in `Connection`",
        ));
    }
    Ok(())
}

/// Sends the request and waits for the head of the answer, for as long as the exchange may take.
async fn ask(
    worker: &Worker,
    route: &Route,
    upstream: &Upstream,
    request: Box<Request<RequestBody>>,
    exchange: &mut Exchange,
) -> Result<Forwarded, Refusal> {
    let Some(left) = exchange.time_left() else {
        return send(worker, route, upstream, request, exchange).await;
    };
    // Boxed, since few routes have a limit, and it would be a part of every request otherwise.
    let sent = Box::pin(send(worker, route, upstream, request, exchange));
    if let Ok(answered) = timeout(left, sent).await {
        return answered;
    }
    exchange.upstream_answered();
    Err(exchange.late())
}

async fn send(
    worker: &Worker,
    route: &Route,
    upstream: &Upstream,
    mut request: Box<Request<RequestBody>>,
    exchange: &mut Exchange,
) -> Result<Forwarded, Refusal> {
    if exchange.handshake().is_some() {
        // Who answers it may have begun to act on it: it is sent once, unless nothing of it was.
        let forwarded = forward(worker, upstream, request, None, exchange).await?;
        return observe(worker, route, upstream, forwarded, None, exchange).await;
    }
    sign::read_ahead(worker, upstream, &mut request, exchange).await?;
    let retried = route.retry.as_ref();
    let retried = retried.is_some_and(|retry| retry.is_for(request.method()));
    let replayed = upstream.retries_refused() || retried;
    let mut spare = Spare::of(&mut request, replayed, &worker.copies);
    let forwarded = retry::send(worker, route, upstream, request, &mut spare, exchange).await?;
    let forwarded = sign::mend_clock(worker, upstream, forwarded, spare.as_ref(), exchange).await?;
    observe(worker, route, upstream, forwarded, spare, exchange).await
}

/// Keeps of the head only what is sent: the received path and query, byte by byte.
pub(crate) fn outgoing(mut head: Parts) -> Parts {
    let target = head.uri.path_and_query().cloned();
    head.uri = Uri::from(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
    head.version = Version::HTTP_11;
    head.extensions.clear();
    head
}

fn hand_on(
    forwarded: Forwarded,
    seal: Option<Box<Seal>>,
    mut exchange: Exchange,
) -> Response<ResponseBody> {
    let (mut head, incoming) = forwarded.response.into_parts();
    hop::strip_response(&mut head.headers);
    if let Some(route) = exchange.route() {
        route.response_headers.apply(&mut head.headers);
    }
    mark(&mut head.headers, &exchange);
    tell_limits(&mut head.headers, &exchange);
    head.version = Version::HTTP_11;
    exchange.note(|record| record.status = Some(head.status.as_u16()));
    let from = (forwarded.connection, forwarded.flight);
    let body = ResponseBody::upstream(incoming, from, forwarded.limit, seal, exchange);
    Response::from_parts(head, body)
}

fn refuse(
    refusal: Refusal,
    (version, grpc): (Version, bool),
    trace: &Trace,
    exchange: Exchange,
) -> Response<ResponseBody> {
    let consumers = &exchange.plan().gateway.consumers;
    let challenge = challenge(refusal.reason, consumers, exchange.route());
    let mut response = respond(refusal, trace.id(), challenge, grpc);
    mark(response.headers_mut(), &exchange);
    hand_out(response, version, Some(refusal.reason), exchange)
}

/// Hands out an answer that is the gateway's own.
fn hand_out(
    mut response: Response<Bytes>,
    version: Version,
    reason: Option<ReasonCode>,
    mut exchange: Exchange,
) -> Response<ResponseBody> {
    tell_limits(response.headers_mut(), &exchange);
    let unread = exchange
        .upload()
        .is_some_and(|upload| !upload.is_complete());
    // Whoever breaks a rule may mean by what follows something else than we would.
    let ends = unread || reason == Some(ReasonCode::BadRequest);
    if ends {
        exchange.leave_unread();
    }
    // What follows of the request will not be read. In HTTP/2 only the stream ends, and no header says so.
    if ends && version != Version::HTTP_2 {
        let headers = response.headers_mut();
        let upgrades = headers.contains_key(UPGRADE);
        let close = HeaderValue::from_static(if upgrades { "close, upgrade" } else { "close" });
        headers.insert(CONNECTION, close);
    }
    exchange.note(|record| {
        record.status = Some(response.status().as_u16());
        record.reason = reason;
    });
    response.map(|text| ResponseBody::own(text, exchange))
}

/// Says in an answer what the limits of its route have left.
fn tell_limits(headers: &mut HeaderMap, exchange: &Exchange) {
    if let Some(limited) = exchange.limited() {
        limited.mark(headers);
    }
}

/// Says in an answer which pages of other origins may read it.
fn mark(headers: &mut HeaderMap, exchange: &Exchange) {
    if let Some(cors) = exchange.route().and_then(|route| route.cors.as_ref()) {
        cors.mark(exchange.origin(), headers);
    }
}

/// A method's space, the version with its space, and the end of the line.
const REST_OF_REQUEST_LINE: usize = 12;
/// A colon, a space and the end of the line.
const REST_OF_HEADER: usize = 4;
/// Copies of 512 of the largest bodies that are kept at all.
const COPIES: usize = 32 * 1024 * 1024;
