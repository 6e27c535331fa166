//! Signs a request where its upstream wants that, when all else of it is settled.
//!
//! Each try is signed anew: for its endpoint, at its time, and with the generation that its exchange
//! holds. A request that can't be signed is not sent.

use aws_lc_rs::rand;
use http::header::{CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::uri::Scheme;
use http::{HeaderValue, Request, StatusCode};
use http_body::Body as _;
use leasehold_inject::{Known, Moment, SignError, Signer, Unsigned, Wants, http_date};
use leasehold_model::{Chain, ReasonCode};

use super::close::Exchange;
use super::forward::{Forwarded, forward};
use super::observe::discard;
use super::refuse::Refusal;
use crate::body::{RequestBody, Unread, Upload};
use crate::gateway::{Loan, Upstream};
use crate::service::Worker;
use crate::spare::Spare;

/// Returns what signs requests to the upstream, where anything does: a request is signed once.
fn signer<'a>(upstream: &'a Upstream, loan: &'a Loan) -> Option<&'a Signer> {
    let mut lent = upstream.credentials.lent(loan);
    lent.find_map(|(used, generation)| generation.prepared().signer(used.injection))
}

/// Signs a request whose endpoint is settled.
///
/// # Errors
///
/// When it can't be signed.
pub(crate) fn sign(
    worker: &Worker,
    upstream: &Upstream,
    scheme: &Scheme,
    loan: &Loan,
    request: &mut Request<RequestBody>,
) -> Result<(), Refusal> {
    let Some(signer) = signer(upstream, loan) else {
        return Ok(());
    };
    let mut nonce = [0; 16];
    rand::fill(&mut nonce).map_err(|_hidden| ReasonCode::Internal)?;
    let moment = Moment {
        now: upstream.correction.apply(worker.clock.wall()),
        nonce,
    };
    set_length(signer.wants(), request);
    let (method, target) = (request.method().clone(), request.uri().clone());
    let mut body = std::mem::replace(request.body_mut(), RequestBody::none());
    let known = body
        .whole()
        .map_or(Known::Length(body.length()), Known::Whole);
    let signed = signer.sign(
        &mut Unsigned {
            method: &method,
            scheme: scheme.as_str(),
            target: &target,
            headers: request.headers_mut(),
            body: known,
        },
        &moment,
    );
    let signed = signed.map_err(|error| refused(&error, upstream))?;
    body.send_in_parts(signed);
    *request.body_mut() = body;
    Ok(())
}

fn refused(error: &SignError, upstream: &Upstream) -> Refusal {
    if error.is_of_request() {
        return Refusal::bad_request(error.public_message());
    }
    let upstream = &upstream.name;
    tracing::error!(%upstream, error = %Chain(error), "a request can't be signed");
    ReasonCode::Internal.into()
}

/// Reads all of the body where all of it is to be signed.
///
/// # Errors
///
/// When it is larger than what is read ahead, or breaks off.
pub(crate) async fn read_ahead(
    worker: &Worker,
    upstream: &Upstream,
    request: &mut Request<RequestBody>,
    exchange: &Exchange,
) -> Result<(), Refusal> {
    let wants = signer(upstream, exchange.loan()).map(Signer::wants);
    if wants != Some(Wants::Whole) || request.body().whole().is_some() {
        return Ok(());
    }
    let body = std::mem::replace(request.body_mut(), RequestBody::none());
    let whole = body.read_whole(&worker.copies).await;
    let whole = whole.map_err(|unread| match unread {
        Unread::TooLarge => ReasonCode::BodyTooLarge,
        Unread::NoRoom => ReasonCode::UpstreamOverloaded,
        Unread::Broken => {
            let broken = exchange.upload().and_then(Upload::broken);
            broken.unwrap_or(ReasonCode::ClientAborted)
        }
    })?;
    *request.body_mut() = whole;
    Ok(())
}

/// Says how long a body is where that is known by what is signed of it: servers that check signatures of
/// bodies want to know.
fn set_length(wants: Wants, request: &mut Request<RequestBody>) {
    let length = request.body().length();
    let is_bare = request.body().is_end_stream();
    if let (Wants::Whole | Wants::Length, Some(length), false) = (wants, length, is_bare) {
        let headers = request.headers_mut();
        headers.remove(TRANSFER_ENCODING);
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
}

/// Sends a request once more where the upstream has refused its signature and says another time than it
/// was signed at.
///
/// # Errors
///
/// When it was sent once more and not answered.
pub(crate) async fn mend_clock(
    worker: &Worker,
    upstream: &Upstream,
    forwarded: Forwarded,
    spare: Option<&Spare>,
    exchange: &mut Exchange,
) -> Result<Forwarded, Refusal> {
    let is_refused = REFUSED.contains(&forwarded.response.status());
    if !is_refused || signer(upstream, exchange.loan()).is_none() {
        return Ok(forwarded);
    }
    let told = forwarded.response.headers().get(DATE);
    let told = told.and_then(|it| http_date(it.as_bytes()));
    let learned = told.and_then(|told| upstream.correction.learn(told, worker.clock.wall()));
    let Some(seconds) = learned else {
        return Ok(forwarded);
    };
    worker.metrics.clock_corrected(&upstream.name);
    tracing::warn!(upstream = %upstream.name, seconds, "upstream's clock differs from the gateway's");
    let Some(spare) = spare.filter(|it| it.is_of_use()) else {
        return Ok(forwarded);
    };
    let Some(again) = spare.whole_copy() else {
        return Ok(forwarded);
    };
    discard(forwarded).await;
    Box::pin(forward(
        worker,
        upstream,
        Box::new(again),
        Some(spare),
        exchange,
    ))
    .await
}

const REFUSED: [StatusCode; 2] = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
