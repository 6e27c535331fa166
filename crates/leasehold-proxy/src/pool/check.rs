use std::sync::Arc;

use http::header::{HOST, USER_AGENT};
use http::{HeaderValue, Request};
use tokio::time::timeout;

use super::bound::Bound;
use super::connect::{ConnectError, open_apart};
use super::idle::Pool;
use crate::body::RequestBody;
use crate::gateway::{Endpoint, HealthCheck};
use crate::version;

/// Why an endpoint is not well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckError {
    /// It took longer than it may.
    #[error("no answer in time")]
    Late,
    /// There is no connection.
    #[error("no connection")]
    Connect(#[source] ConnectError),
    /// It does not answer properly.
    #[error("no proper answer")]
    Http(#[source] hyper::Error),
    /// It answers, and not what it should.
    #[error("the answer's status is {0}")]
    Status(u16),
    /// The question can't be asked.
    #[error("the path can't be asked for")]
    Request(#[source] http::Error),
}

/// What an endpoint is asked.
pub(crate) struct Question<'a> {
    pub(crate) host: Option<&'a HeaderValue>,
    pub(crate) bound: Option<Bound>,
    pub(crate) rules: &'a HealthCheck,
}

/// Asks an endpoint how it is, over a connection of its own and without any credential but one that
/// is shown at the handshake.
///
/// # Errors
///
/// When it does not say in time that it is well.
pub(crate) async fn check(
    pool: &Arc<Pool>,
    endpoint: &Endpoint,
    question: &Question<'_>,
) -> Result<(), CheckError> {
    let asked = timeout(question.rules.timeout, ask(pool, endpoint, question)).await;
    asked.map_err(|_elapsed| CheckError::Late)?
}

async fn ask(
    pool: &Arc<Pool>,
    endpoint: &Endpoint,
    question: &Question<'_>,
) -> Result<(), CheckError> {
    let Question { host, bound, rules } = question;
    let opened = open_apart(pool, endpoint, bound.as_ref(), rules.timeout).await;
    let mut connection = opened.map_err(CheckError::Connect)?;
    let mut request = Request::get(rules.path.as_str())
        .header(USER_AGENT, "leasehold")
        .header(HOST, host.unwrap_or(&endpoint.origin.authority))
        .body(RequestBody::none())
        .map_err(CheckError::Request)?;
    if connection.is_shared() {
        version::to_http2(&mut request, &endpoint.origin.scheme);
    }
    let answered = connection.send(request).await;
    let answer = answered.map_err(|error| CheckError::Http(error.into_error()))?;
    match answer.status().as_u16() {
        status if status == rules.status => Ok(()),
        status => Err(CheckError::Status(status)),
    }
}
