//! Chooses an endpoint, takes or opens a connection to it, and waits for the head of the answer.
//!
//! A request goes to another endpoint, or over another connection, only where nothing of it can have
//! been sent: no connection could be made, or the connection closed before it took the request up.
//! The one exception is a request that may be sent twice, as RFC 9110 §9.2.2 has it, and whose
//! connection was kept from before: where that closes without a word, the upstream had most likely
//! closed it already, and the request goes once more over a fresh one.

use std::pin::pin;
use std::time::Duration;

use http::header::HOST;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use leasehold_model::{BootTime, ReasonCode};
use tokio::time::timeout;

use super::close::Exchange;
use super::refuse::Refusal;
use crate::body::{RequestBody, Stall, Upload};
use crate::gateway::{Endpoint, Upstream};
use crate::pool::{Connection, connect};
use crate::service::Worker;
use crate::spare::Spare;

/// The head of an upstream's answer, and the connection that its body comes over.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub(crate) response: Response<Incoming>,
    pub(crate) connection: Connection,
    /// How long the upstream may be silent in mid-answer.
    pub(crate) limit: Duration,
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
    request: Request<RequestBody>,
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
    mut request: Request<RequestBody>,
    spare: Option<&Spare>,
    exchange: &mut Exchange,
) -> Result<Forwarded, Refusal> {
    let turn = exchange.plan().turn(upstream);
    for endpoint in upstream.in_turn(turn, worker.clock.boot()) {
        exchange.note(|record| record.endpoint = Some(endpoint.name.clone()));
        let authority = exchange.authority(endpoint);
        request.headers_mut().insert(HOST, authority);
        let attempt = Attempt {
            worker,
            upstream,
            endpoint,
            spare,
        };
        match attempt.send(request, exchange).await {
            Outcome::Answered(forwarded) => return Ok(forwarded),
            Outcome::Unsent(unsent) => request = unsent,
            Outcome::Lost(error) => return Err(blame(&error, exchange)),
            Outcome::Failed(refusal) => return Err(refusal),
        }
    }
    Err(ReasonCode::UpstreamUnreachable.into())
}

enum Outcome {
    Answered(Forwarded),
    /// Nothing of the request was sent.
    Unsent(Request<RequestBody>),
    /// Something of it may have been, and nothing came back.
    Lost(hyper::Error),
    /// There is no answer, and none may be asked for again.
    Failed(Refusal),
}

struct Attempt<'a> {
    worker: &'a Worker,
    upstream: &'a Upstream,
    endpoint: &'a Endpoint,
    spare: Option<&'a Spare>,
}

impl Attempt<'_> {
    /// Sends over the connections that are there, and over a new one when they are used up.
    async fn send(&self, mut request: Request<RequestBody>, exchange: &Exchange) -> Outcome {
        while let Some(connection) = self.worker.pool.take(self.endpoint.key) {
            match self.send_over(connection, request, exchange).await {
                // The upstream had closed it.
                Outcome::Unsent(unsent) => request = unsent,
                Outcome::Lost(error) => match self.again(exchange) {
                    Some(again) => {
                        request = again;
                        break;
                    }
                    None => return Outcome::Lost(error),
                },
                outcome => return outcome,
            }
        }
        // Boxed, since it is rare and large, and would be a part of every request otherwise.
        match Box::pin(self.open(exchange)).await {
            Some(connection) => self.send_over(connection, request, exchange).await,
            None => Outcome::Unsent(request),
        }
    }

    /// Returns the request for a second try, where it may be sent twice.
    fn again(&self, exchange: &Exchange) -> Option<Request<RequestBody>> {
        let mut again = self.spare?.safe_copy()?;
        let authority = exchange.authority(self.endpoint);
        again.headers_mut().insert(HOST, authority);
        Some(again)
    }

    async fn open(&self, exchange: &Exchange) -> Option<Connection> {
        let opened = connect(
            &self.worker.pool,
            self.endpoint,
            self.upstream.connect_timeout,
        )
        .await;
        match opened {
            Ok(connection) => {
                self.reached();
                Some(connection)
            }
            Err(error) => {
                exchange.plan().meters.connect_failed(self.upstream.number);
                if self.endpoint.missed(self.worker.clock.boot()) {
                    exchange.warn(&error, "endpoint can't be reached");
                }
                None
            }
        }
    }

    fn reached(&self) {
        if self.endpoint.reached() {
            tracing::info!(endpoint = self.endpoint.name, "endpoint is reachable again");
        }
    }

    async fn send_over(
        &self,
        mut connection: Connection,
        request: Request<RequestBody>,
        exchange: &Exchange,
    ) -> Outcome {
        let answer = connection.send(request);
        let answer = self.in_time(exchange.upload(), answer).await;
        match answer {
            // hyper takes an upgrade that nobody asked for as the end of HTTP on the connection.
            Some(Ok(response)) if response.status() != StatusCode::SWITCHING_PROTOCOLS => {
                // A connection from before may still do.
                self.reached();
                Outcome::Answered(Forwarded {
                    response,
                    connection,
                    limit: self.upstream.response_timeout,
                })
            }
            Some(Ok(_upgrade)) => Outcome::Failed(ReasonCode::UpstreamFailed.into()),
            Some(Err(mut error)) => match error.take_message() {
                Some(request) => Outcome::Unsent(request),
                None if connection.has_heard() => Outcome::Failed(blame(error.error(), exchange)),
                None => Outcome::Lost(error.into_error()),
            },
            None => Outcome::Failed(self.late(exchange.upload())),
        }
    }

    /// Waits for the answer's head; `None` when it is late.
    ///
    /// While the request's body is under way, time counts from its last part.
    async fn in_time<T>(
        &self,
        upload: Option<&Upload>,
        answer: impl Future<Output = T>,
    ) -> Option<T> {
        let mut answer = pin!(answer);
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

/// Tells what a connection's failure in mid-request means: a body that the consumer broke off
/// breaks the upstream's connection too.
fn blame(error: &hyper::Error, exchange: &Exchange) -> Refusal {
    if let Some(broken) = exchange.upload().and_then(Upload::broken) {
        return broken.into();
    }
    exchange.warn(error, "upstream failed before it answered");
    ReasonCode::UpstreamFailed.into()
}
