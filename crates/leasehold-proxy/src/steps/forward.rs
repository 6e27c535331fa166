//! Chooses an endpoint, takes or opens a connection to it, and waits for the head of the answer.
//!
//! A request goes to another endpoint, or over another connection, only where nothing of it can have
//! been sent: no connection could be made, or the connection closed before it took the request up.

use std::pin::pin;
use std::time::Duration;

use http::header::HOST;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use leasehold_model::{BootTime, ReasonCode};
use tokio::time::timeout;

use super::close::Exchange;
use super::refuse::Refusal;
use crate::body::{RequestBody, Stall, Upload};
use crate::gateway::{Endpoint, Upstream};
use crate::pool::{Connection, connect};
use crate::service::Worker;

/// The head of an upstream's answer, and the connection that its body comes over.
#[derive(Debug)]
pub(crate) struct Forwarded {
    pub(crate) response: Response<Incoming>,
    pub(crate) connection: Connection,
}

/// Sends the request to an endpoint of the upstream and returns its answer.
///
/// # Errors
///
/// When no endpoint could be reached, and when the one that was reached did not answer properly or
/// in time.
pub(crate) async fn forward(
    worker: &Worker,
    upstream: &Upstream,
    request: Request<RequestBody>,
    exchange: &mut Exchange,
) -> Result<Forwarded, Refusal> {
    exchange.await_upstream(true);
    let forwarded = to_some_endpoint(worker, upstream, request, exchange).await;
    exchange.upstream_answered();
    forwarded
}

async fn to_some_endpoint(
    worker: &Worker,
    upstream: &Upstream,
    mut request: Request<RequestBody>,
    exchange: &mut Exchange,
) -> Result<Forwarded, Refusal> {
    for endpoint in upstream.in_turn(worker.turn(upstream), worker.clock.boot()) {
        exchange.note(|record| record.endpoint = Some(endpoint.name.clone()));
        let authority = endpoint.authority.clone();
        request.headers_mut().insert(HOST, authority);
        let attempt = Attempt {
            worker,
            upstream,
            endpoint,
        };
        match attempt.send(request, exchange).await {
            Outcome::Answered(forwarded) => return Ok(forwarded),
            Outcome::Unsent(unsent) => request = unsent,
            Outcome::Failed(refusal) => return Err(refusal),
        }
    }
    Err(ReasonCode::UpstreamUnreachable.into())
}

enum Outcome {
    Answered(Forwarded),
    /// Nothing of the request was sent.
    Unsent(Request<RequestBody>),
    /// Something of it may have been.
    Failed(Refusal),
}

struct Attempt<'a> {
    worker: &'a Worker,
    upstream: &'a Upstream,
    endpoint: &'a Endpoint,
}

impl Attempt<'_> {
    /// Sends over the connections that are there, and over a new one when they are used up.
    async fn send(&self, mut request: Request<RequestBody>, exchange: &Exchange) -> Outcome {
        while let Some(connection) = self.worker.pool.take(self.endpoint.key) {
            match self.send_over(connection, request, exchange).await {
                // The upstream had closed it.
                Outcome::Unsent(unsent) => request = unsent,
                outcome => return outcome,
            }
        }
        // Boxed, since it is rare and large, and would be a part of every request otherwise.
        match Box::pin(self.open()).await {
            Some(connection) => self.send_over(connection, request, exchange).await,
            None => Outcome::Unsent(request),
        }
    }

    async fn open(&self) -> Option<Connection> {
        let opened = connect(
            &self.worker.pool,
            self.endpoint,
            self.upstream.connect_timeout,
        )
        .await;
        match opened {
            Ok(connection) => {
                if self.endpoint.reached() {
                    tracing::info!(endpoint = self.endpoint.name, "endpoint is reachable again");
                }
                Some(connection)
            }
            Err(error) => {
                self.worker.meters.connect_failed(self.upstream.number);
                if self.endpoint.missed(self.worker.clock.boot()) {
                    tracing::warn!(
                        upstream = %self.upstream.name,
                        endpoint = self.endpoint.name,
                        error = &error as &dyn std::error::Error,
                        "endpoint can't be reached"
                    );
                }
                None
            }
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
                Outcome::Answered(Forwarded {
                    response,
                    connection,
                })
            }
            Some(Ok(_upgrade)) => Outcome::Failed(ReasonCode::UpstreamFailed.into()),
            Some(Err(mut error)) => match error.take_message() {
                Some(request) => Outcome::Unsent(request),
                None => Outcome::Failed(self.blame(&error, exchange)),
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
        match self.stall(upload) {
            Some((Stall::Consumer, _)) => ReasonCode::ClientAborted.into(),
            Some((Stall::Upstream, _)) | None => ReasonCode::UpstreamTimeout.into(),
        }
    }

    /// Tells what a connection's failure in mid-request means: a body that the consumer broke off
    /// breaks the upstream's connection too.
    fn blame(&self, error: &TrySendError<Request<RequestBody>>, exchange: &Exchange) -> Refusal {
        if let Some(broken) = exchange.upload().and_then(Upload::broken) {
            return broken.into();
        }
        tracing::warn!(
            upstream = %self.upstream.name,
            endpoint = self.endpoint.name,
            error = error.error() as &dyn std::error::Error,
            "upstream failed before it answered"
        );
        ReasonCode::UpstreamFailed.into()
    }
}
