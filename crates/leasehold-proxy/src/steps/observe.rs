//! Notices that an upstream refuses the credential, and sends the request once more with a newer one.
//!
//! Any method is sent again, and not only those that may be sent twice: an upstream that refuses who
//! asks has not acted on what was asked. What can't be sent again is a body that was not kept whole.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body as _;
use hyper::body::Incoming;
use leasehold_broker::Generation;
use leasehold_inject::Prepared;
use tokio::time::timeout;

use super::close::Exchange;
use super::forward::{Forwarded, forward};
use super::refuse::Refusal;
use crate::body::RequestBody;
use crate::gateway::{CredentialUse, Upstream};
use crate::service::Worker;
use crate::spare::Spare;

/// Passes an answer on, unless it makes the credential suspect: then the broker is told, and where that
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
    upstream: &Upstream,
    forwarded: Forwarded,
    spare: Option<Spare>,
    exchange: &mut Exchange,
) -> Result<Forwarded, Refusal> {
    let status = forwarded.response.status();
    let suspects = |used: &&CredentialUse| used.suspect.statuses.contains(&status);
    let Some(credential) = upstream.credential.as_ref().filter(suspects) else {
        return Ok(forwarded);
    };
    let refused = Refused {
        worker,
        upstream,
        credential,
    };
    // Boxed, since it is rare and large, and would be a part of every request otherwise.
    Box::pin(refused.look_into(forwarded, spare, exchange)).await
}

/// What a request was refused by.
struct Refused<'a> {
    worker: &'a Worker,
    upstream: &'a Upstream,
    credential: &'a CredentialUse,
}

impl Refused<'_> {
    async fn look_into(
        &self,
        first: Forwarded,
        spare: Option<Spare>,
        exchange: &mut Exchange,
    ) -> Result<Forwarded, Refusal> {
        // A head may be kept for other ends.
        let spare = spare.filter(|it| self.credential.suspect.retry && it.is_of_use());
        let newer = self.newer(spare.as_ref(), exchange).await;
        let (Some((generation, body)), Some(mut spare)) = (newer, spare) else {
            return Ok(first);
        };
        discard(first).await;
        // The place is stripped of the former generation by the same rule as of what a consumer sends.
        spare.place(self.credential, &generation)?;
        exchange.hold_instead(generation);
        let request = Box::new(spare.request(body));
        forward(self.worker, self.upstream, request, Some(&spare), exchange).await
    }

    /// Tells the broker; where the request can be sent again, waits for a newer generation and for the
    /// rest of the body.
    async fn newer(
        &self,
        spare: Option<&Spare>,
        exchange: &Exchange,
    ) -> Option<(Arc<Generation<Prepared>>, RequestBody)> {
        let refused = exchange.generation()?.number();
        let handle = self.credential.held.handle(exchange.consumer())?;
        let suspicion = handle.suspect(refused, self.worker.clock.boot());
        let Some(spare) = spare else {
            // Looked at once, which is what tells the broker: there is nothing to wait for.
            drop(timeout(Duration::ZERO, suspicion).await);
            return None;
        };
        let newer = async { suspicion.await.ok_or(NotAgain) };
        let body = async { spare.body().await.ok_or(NotAgain) };
        let both = async { tokio::try_join!(newer, body) };
        let limit = self.upstream.response_timeout.min(LONGEST_WAIT);
        timeout(limit, both).await.ok()?.ok()
    }
}

/// There is no newer generation, or no body to send again.
struct NotAgain;

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
