//! Notices that an upstream refuses the credential, and sends the request once more with a newer one.
//!
//! Any method is sent again, and not only those that may be sent twice: an upstream that refuses who
//! asks has not acted on what was asked. What can't be sent again is a body that was not kept whole.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::join_all;
use http::StatusCode;
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::close::Exchange;
use super::forward::{Forwarded, forward};
use super::inject::take;
use super::refuse::Refusal;
use crate::body::RequestBody;
use crate::gateway::{CredentialUse, Lent, Loan, Route, Upstream};
use crate::service::Worker;
use crate::spare::Spare;

/// Passes an answer on, unless it makes some credential suspect: then the broker is told, and where that
/// has a newer generation the request is sent once more, and the first answer dropped.
///
/// An answer to the second request is passed on whatever it is. A refusal that outlives the change of
/// the credential is hardly about the credential.
///
/// # Errors
///
/// When the request was sent once more and not answered.
pub(crate) async fn observe(
    worker: &Worker,
    route: &Route,
    upstream: &Upstream,
    forwarded: Forwarded,
    spare: Option<Spare>,
    exchange: &mut Exchange,
) -> Result<Forwarded, Refusal> {
    let status = forwarded.response.status();
    let is_suspect = {
        let mut lent = upstream.credentials.lent(exchange.loan());
        lent.any(|(used, _)| used.suspect.statuses.contains(&status))
    };
    if !is_suspect {
        return Ok(forwarded);
    }
    let refused = Refused {
        worker,
        route,
        upstream,
        status,
    };
    // Boxed, since it is rare and large, and would be a part of every request otherwise.
    Box::pin(refused.look_into(forwarded, spare, exchange)).await
}

/// What a request was refused by.
struct Refused<'a> {
    worker: &'a Worker,
    route: &'a Route,
    upstream: &'a Upstream,
    status: StatusCode,
}

impl Refused<'_> {
    async fn look_into(
        &self,
        first: Forwarded,
        spare: Option<Spare>,
        exchange: &mut Exchange,
    ) -> Result<Forwarded, Refusal> {
        let credentials = &self.upstream.credentials;
        // A head may be kept for other ends.
        let again = self.suspects(exchange).any(|(_, used)| used.suspect.retry);
        let spare = spare.filter(|it| again && it.is_of_use());
        let newer = self.newer(spare.as_ref(), exchange).await;
        let (Some((loan, body)), Some(mut spare)) = (newer, spare) else {
            return Ok(first);
        };
        discard(first).await;
        // The places are stripped of the former generations by the same rule as of what a consumer sends.
        spare.place(credentials, &loan)?;
        exchange.hold_instead(loan);
        let request = Box::new(spare.request(body));
        forward(self.worker, self.upstream, request, Some(&spare), exchange).await
    }

    /// Returns what the upstream was shown and may have refused: which of several it was, it does not say.
    fn suspects<'a>(
        &'a self,
        exchange: &'a Exchange,
    ) -> impl Iterator<Item = (&'a Lent, &'a CredentialUse)> {
        let lent = exchange.loan().iter();
        let used = lent.filter_map(|it| Some((it, self.upstream.credentials.get(it.number)?)));
        used.filter(|(_, used)| used.suspect.statuses.contains(&self.status))
    }

    /// Tells the broker; where the request can be sent again, waits for a newer generation and for the
    /// rest of the body.
    ///
    /// The upstream does not say which of several it has refused: one newer one is enough to ask again.
    async fn newer(
        &self,
        spare: Option<&Spare>,
        exchange: &Exchange,
    ) -> Option<(Loan, RequestBody)> {
        let now = self.worker.clock.boot();
        let limit = self.upstream.response_timeout.min(LONGEST_WAIT);
        let mut waited = Vec::new();
        for (lent, used) in self.suspects(exchange) {
            let Some(handle) = used.held.handle(exchange.consumer()) else {
                continue;
            };
            let number = lent.generation.number();
            let suspicion = async move { handle.suspect(number, now).await };
            if used.suspect.retry && spare.is_some() {
                waited.push(timeout(limit, suspicion));
            } else {
                // Looked at once, which is what tells the broker: there is nothing to wait for.
                drop(suspicion.now_or_never());
            }
        }
        let body = timeout(limit, spare?.body());
        let (newer, body) = tokio::join!(join_all(waited), body);
        let body = body.ok().flatten()?;
        let mut newer = newer.into_iter().flatten();
        newer.any(|it| it.is_some()).then_some(())?;
        // Those that nobody has suspected are taken anew as well: they may have run out meanwhile.
        let asking = exchange.asking(self.route);
        let clock = &*self.worker.clock;
        let loan = take(&self.upstream.credentials, asking, clock, Duration::ZERO).await;
        Some((loan.ok()?, body))
    }
}

/// Reads an answer that nobody wants to its end, where that is near, so that its connection can be used
/// again; closes the connection otherwise.
pub(crate) async fn discard(unwanted: Forwarded) {
    let mut body = unwanted.response.into_body();
    if timeout(SHORT, read_to_end(&mut body)).await == Ok(true) {
        unwanted.connection.give_back();
    }
}

async fn read_to_end(body: &mut Incoming) -> bool {
    let mut left = LITTLE;
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        let length = frame.map(|it| it.data_ref().map_or(0, Bytes::len));
        match length.ok().and_then(|length| left.checked_sub(length)) {
            Some(rest) => left = rest,
            None => return false,
        }
    }
    true
}

/// What the broker waits for at most, which holds for the body too.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const LITTLE: usize = 64 * 1024;
const SHORT: Duration = Duration::from_millis(100);
