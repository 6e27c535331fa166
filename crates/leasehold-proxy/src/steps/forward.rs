//! Chooses an endpoint, takes or opens a connection to it, and waits for the head of the answer.
//!
//! A request goes to another endpoint, or over another connection, only where nothing of it can have
//! been sent: no connection could be made, or the connection closed before it took the request up.
//! What an HTTP/2 upstream says it has not looked at counts as not sent.
//! The one exception is a request that may be sent twice, as RFC 9110 §9.2.2 has it, and whose
//! connection was kept from before: where that closes without a word, the upstream had most likely
//! closed it already, and the request goes once more over a fresh one.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use leasehold_model::{BootTime, ReasonCode};
use tokio::time::timeout;

use super::close::Exchange;
use super::refuse::Refusal;
use super::sign::sign;
use crate::body::{RequestBody, Stall, Upload};
use crate::gateway::{Choice, Draw, Endpoint, Flight, Loan, Upstream};
use crate::pool::{Bound, ConnectError, Connection, connect, connect_for_http1};
use crate::service::Worker;
use crate::spare::Spare;
use crate::version;

/// The head of an upstream's answer, and the connection that its body comes over.
pub(crate) struct Forwarded {
    pub(crate) response: Response<Incoming>,
    pub(crate) connection: Connection,
    /// Kept to the end of the answer.
    pub(crate) flight: Flight,
    /// How long the upstream may be silent in mid-answer.
    pub(crate) limit: Duration,
}

/// The answer may show the credential.
impl fmt::Debug for Forwarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarded")
            .field("status", &self.response.status())
            .finish_non_exhaustive()
    }
}

/// Sends the request to an endpoint of the upstream and returns its answer. `spare` is what the request
/// is sent again from.
///
/// # Errors
///
/// When no endpoint could be reached, and when the one that was reached did not answer properly or
/// in time.
pub(crate) async fn forward(
    worker: &Worker,
    upstream: &Upstream,
    request: Box<Request<RequestBody>>,
    spare: Option<&Spare>,
    exchange: &mut Exchange,
) -> Result<Forwarded, Refusal> {
    exchange.await_upstream(true);
    let forwarded = to_some_endpoint(worker, upstream, request, spare, exchange).await;
    exchange.upstream_answered();
    forwarded
}

async fn to_some_endpoint(
    worker: &Worker,
    upstream: &Upstream,
    mut request: Box<Request<RequestBody>>,
    spare: Option<&Spare>,
    exchange: &mut Exchange,
) -> Result<Forwarded, Refusal> {
    let draw = Draw {
        turn: exchange.plan().turn(upstream),
        roll: fastrand::u64(..),
        key: upstream.key(request.headers(), exchange.sender()),
    };
    let bound = bound(upstream, exchange.loan());
    let mut tried = Vec::new();
    loop {
        let flight = match upstream.choose(&tried, &draw, worker.clock.boot()) {
            Choice::To(flight) => flight,
            Choice::Full => return Err(ReasonCode::UpstreamOverloaded.into()),
            Choice::Nobody => return Err(ReasonCode::UpstreamUnreachable.into()),
        };
        let endpoint = Arc::clone(flight.endpoint());
        exchange.note(|record| record.endpoint = Some(Arc::clone(&endpoint.origin.name)));
        let attempt = Attempt {
            worker,
            upstream,
            endpoint: &endpoint,
            bound: bound.as_ref(),
            spare,
        };
        attempt.ready(&mut request, exchange)?;
        match attempt.send(request, exchange).await {
            Outcome::Answered(answer) => {
                return Ok(answer.forwarded(flight.bound_to(bound), upstream));
            }
            Outcome::Unsent(unsent) => request = unsent,
            Outcome::Refused(error) | Outcome::Lost(error) => {
                attempt.faulted(exchange);
                return Err(blame(&error, exchange));
            }
            Outcome::Failed(refusal) => {
                // A consumer who keeps the upstream waiting is no fault of that.
                if refusal.reason != ReasonCode::ClientAborted {
                    attempt.faulted(exchange);
                }
                return Err(refusal);
            }
            Outcome::Full => return Err(ReasonCode::UpstreamOverloaded.into()),
        }
        tried.push(endpoint.key);
    }
}

/// Writes a request as the connection has it.
pub(crate) fn speak(
    connection: &Connection,
    upstream: &Upstream,
    endpoint: &Endpoint,
    request: &mut Request<RequestBody>,
) {
    if connection.is_shared() {
        version::to_http2(request, &endpoint.origin.scheme);
    } else if upstream.may_share() {
        version::to_http1(request);
    }
}

/// Returns what connections for a request with these generations have to be bound to, where they do.
pub(crate) fn bound(upstream: &Upstream, loan: &Loan) -> Option<Bound> {
    let mut lent = upstream.credentials.lent(loan);
    let leased = lent.find_map(|(used, generation)| Bound::to(generation, used.injection));
    let files = || upstream.badge.as_ref();
    leased.or_else(|| Some(Bound::to_files(files()?.identity())))
}

/// An answer's head, and what it came over.
struct Answer {
    response: Response<Incoming>,
    connection: Connection,
}

impl Answer {
    fn forwarded(self, flight: Flight, upstream: &Upstream) -> Forwarded {
        Forwarded {
            response: self.response,
            connection: self.connection,
            flight,
            limit: upstream.response_timeout,
        }
    }
}

#[expect(
    clippy::large_enum_variant,
    reason = "there is one a request, on the stack, and a box would cost more"
)]
enum Outcome {
    Answered(Answer),
    /// Nothing of the request was sent.
    Unsent(Box<Request<RequestBody>>),
    /// The upstream says that it has not looked at it.
    Refused(hyper::Error),
    /// Something of it may have been, and nothing came back.
    Lost(hyper::Error),
    /// The upstream has as many connections as it may.
    Full,
    /// There is no answer, and none may be asked for again.
    Failed(Refusal),
}

struct Attempt<'a> {
    worker: &'a Worker,
    upstream: &'a Upstream,
    endpoint: &'a Endpoint,
    /// What connections have to be bound to, where they do.
    bound: Option<&'a Bound>,
    spare: Option<&'a Spare>,
}

impl Attempt<'_> {
    /// Makes the endpoint the one that the request is for, and signs it as that wants it.
    fn ready(
        &self,
        request: &mut Request<RequestBody>,
        exchange: &Exchange,
    ) -> Result<(), Refusal> {
        let of_route = exchange.authority();
        if let Some(host) = of_route.or_else(|| self.upstream.host(self.endpoint)) {
            request.headers_mut().insert(HOST, host.clone());
        }
        let scheme = &self.endpoint.origin.scheme;
        sign(self.worker, self.upstream, scheme, exchange.loan(), request)
    }

    /// Sends over the connections that are there, and over a new one when they are used up.
    async fn send(&self, mut request: Box<Request<RequestBody>>, exchange: &Exchange) -> Outcome {
        if exchange.handshake().is_some() {
            // The connection is used up by it: one that is kept for requests is too good for that.
            return Box::pin(self.send_anew(request, exchange)).await;
        }
        let pool = &self.worker.pool;
        let mut refusals = 0;
        let key = self
            .bound
            .map_or(self.endpoint.key, |it| it.key(self.endpoint.key));
        while let Some(connection) = pool.take(self.endpoint, key) {
            match self.send_over(connection, request, exchange).await {
                // The upstream had closed it.
                Outcome::Unsent(unsent) => request = unsent,
                Outcome::Refused(error) if refusals < MOST_REFUSALS => {
                    match self.whole_again(exchange) {
                        Some(Ok(again)) => request = again,
                        Some(Err(refusal)) => return Outcome::Failed(refusal),
                        None => return Outcome::Refused(error),
                    }
                }
                Outcome::Lost(error) => match self.again(exchange) {
                    Some(Ok(again)) => {
                        request = again;
                        break;
                    }
                    Some(Err(refusal)) => return Outcome::Failed(refusal),
                    None => return Outcome::Lost(error),
                },
                outcome => return outcome,
            }
            refusals += 1;
        }
        // Boxed, since it is rare and large, and would be a part of every request otherwise.
        Box::pin(self.send_anew(request, exchange)).await
    }

    /// Sends over a new connection, and over another where the upstream closes that before it has
    /// looked at the request.
    async fn send_anew(
        &self,
        mut request: Box<Request<RequestBody>>,
        exchange: &Exchange,
    ) -> Outcome {
        for left in (0..=MOST_REFUSALS).rev() {
            let connection = match self.open(exchange).await {
                Ok(connection) => connection,
                Err(ConnectError::Full) => return Outcome::Full,
                Err(_told) => return Outcome::Unsent(request),
            };
            match self.send_over(connection, request, exchange).await {
                Outcome::Refused(error) => match self.whole_again(exchange).filter(|_| left > 0) {
                    Some(Ok(again)) => request = again,
                    Some(Err(refusal)) => return Outcome::Failed(refusal),
                    None => return Outcome::Refused(error),
                },
                outcome => return outcome,
            }
        }
        Outcome::Unsent(request)
    }

    /// Returns the request for a second try, where it may be sent twice.
    fn again(&self, exchange: &Exchange) -> Option<Result<Box<Request<RequestBody>>, Refusal>> {
        let again = self.spare?.safe_copy()?;
        Some(self.made_ready(again, exchange))
    }

    /// Returns the request for a second try, whatever it is, where all of it was kept.
    fn whole_again(
        &self,
        exchange: &Exchange,
    ) -> Option<Result<Box<Request<RequestBody>>, Refusal>> {
        let again = self.spare?.whole_copy()?;
        Some(self.made_ready(again, exchange))
    }

    fn made_ready(
        &self,
        mut again: Request<RequestBody>,
        exchange: &Exchange,
    ) -> Result<Box<Request<RequestBody>>, Refusal> {
        self.ready(&mut again, exchange)?;
        Ok(Box::new(again))
    }

    async fn open(&self, exchange: &Exchange) -> Result<Connection, ConnectError> {
        let (endpoint, limit) = (self.endpoint, self.upstream.connect_timeout);
        let pool = &self.worker.pool;
        let opened = if exchange.handshake().is_some() {
            connect_for_http1(pool, endpoint, self.bound, limit).await
        } else {
            connect(pool, endpoint, self.bound, limit).await
        };
        match &opened {
            Ok(_) => self.reached(),
            Err(ConnectError::Full | ConnectError::Shared | ConnectError::Gone) => {}
            Err(error) => {
                exchange.plan().meters.connect_failed(self.upstream.number);
                if endpoint.standing.missed(self.worker.clock.boot()) {
                    exchange.warn(error, "endpoint can't be reached");
                }
                self.faulted(exchange);
            }
        }
        opened
    }

    fn reached(&self) {
        if self.endpoint.standing.reached() {
            let endpoint = &*self.endpoint.origin.name;
            tracing::info!(endpoint, "endpoint is reachable again");
        }
    }

    /// Counts a fault of the endpoint, unless it is the consumer's.
    fn faulted(&self, exchange: &Exchange) {
        if exchange.upload().and_then(Upload::broken).is_some() {
            return;
        }
        let now = self.worker.clock.boot();
        if let Some(span) = self.upstream.faulted(self.endpoint, now) {
            exchange.plan().meters.ejected(self.upstream.number);
            tracing::warn!(
                upstream = %self.upstream.name,
                endpoint = &*self.endpoint.origin.name,
                address = self.endpoint.address.map(tracing::field::display),
                seconds = span.as_secs(),
                "endpoint is left out for its faults"
            );
        }
    }

    async fn send_over(
        &self,
        mut connection: Connection,
        mut request: Box<Request<RequestBody>>,
        exchange: &Exchange,
    ) -> Outcome {
        speak(&connection, self.upstream, self.endpoint, &mut request);
        connection.show(exchange.loan());
        let answer = {
            let answer = pin!(connection.send(*request));
            self.in_time(exchange.upload(), answer).await
        };
        match answer {
            Some(Ok(response)) if may_pass(&response, exchange) => {
                self.answered(response.status(), exchange);
                Outcome::Answered(Answer {
                    response,
                    connection,
                })
            }
            Some(Ok(_astray)) => Outcome::Failed(ReasonCode::UpstreamFailed.into()),
            Some(Err(error)) => unanswered(error, &connection, exchange),
            None => Outcome::Failed(self.late(exchange.upload())),
        }
    }

    fn answered(&self, status: StatusCode, exchange: &Exchange) {
        // A connection from before may still do.
        self.reached();
        if status.is_server_error() {
            self.faulted(exchange);
        } else {
            self.endpoint.standing.answered();
        }
    }

    /// Waits for the answer's head; `None` when it is late.
    ///
    /// While the request's body is under way, time counts from its last part.
    async fn in_time<T>(
        &self,
        upload: Option<&Upload>,
        mut answer: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
        let mut patience = self.upstream.response_timeout;
        loop {
            if let Ok(answered) = timeout(patience, answer.as_mut()).await {
                return Some(answered);
            }
            patience = self.stall(upload).map_or(Duration::ZERO, |(_, left)| left);
            if patience.is_zero() {
                return None;
            }
        }
    }

    fn stall(&self, upload: Option<&Upload>) -> Option<(Stall, Duration)> {
        let now: BootTime = self.worker.clock.boot();
        upload.map(|it| it.stall(now, self.upstream.response_timeout))
    }

    fn late(&self, upload: Option<&Upload>) -> Refusal {
        let stall = self
            .stall(upload)
            .map_or(Stall::Upstream, |(stall, _)| stall);
        ReasonCode::from(stall).into()
    }
}

/// Tells whether an answer is one to what was asked: an upgrade is where it was asked for, and where it
/// is to what was asked for.
fn may_pass(response: &Response<Incoming>, exchange: &Exchange) -> bool {
    let handshake = exchange.handshake();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return handshake.is_some_and(|it| it.is_agreed_to(response.headers()));
    }
    handshake.is_none_or(|it| it.may_be_denied_with(response.status()))
}

/// Tells what it means that there is no answer.
fn unanswered(
    mut error: TrySendError<Request<RequestBody>>,
    connection: &Connection,
    exchange: &Exchange,
) -> Outcome {
    if let Some(mut unsent) = error.take_message() {
        if connection.is_shared() {
            connection.retire();
            version::to_http1(&mut unsent);
        }
        return Outcome::Unsent(Box::new(unsent));
    }
    let error = error.into_error();
    if version::is_unprocessed(&error) {
        connection.retire();
        return Outcome::Refused(error);
    }
    if connection.has_heard() || version::is_reset(&error) {
        return Outcome::Failed(blame(&error, exchange));
    }
    Outcome::Lost(error)
}

/// Tells what a connection's failure in mid-request means: a body that the consumer broke off
/// breaks the upstream's connection too.
fn blame(error: &hyper::Error, exchange: &Exchange) -> Refusal {
    if let Some(broken) = exchange.upload().and_then(Upload::broken) {
        return broken.into();
    }
    exchange.warn(error, "upstream failed before it answered");
    ReasonCode::UpstreamFailed.into()
}

/// How often a request is sent once more that an HTTP/2 upstream has not looked at.
const MOST_REFUSALS: u32 = 2;
