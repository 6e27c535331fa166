//! The one place where a reason becomes a status and a text.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use leasehold_audit::TraceId;
use leasehold_model::ReasonCode;
use serde::Serialize;

use crate::websocket::{SEC_VERSION, VERSION};

/// Why a request goes no further, and what its sender is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) reason: ReasonCode,
    detail: &'static str,
    /// Whether its sender should speak another version of WebSocket.
    version: bool,
}

impl Refusal {
    /// Refuses a request that breaks a rule, and says which.
    pub(crate) const fn bad_request(detail: &'static str) -> Self {
        Self {
            reason: ReasonCode::BadRequest,
            detail,
            version: false,
        }
    }

    /// Refuses a request for a version of WebSocket that is not spoken.
    pub(crate) const fn another_version(detail: &'static str) -> Self {
        Self {
            version: true,
            ..Self::bad_request(detail)
        }
    }

    const fn status(&self) -> StatusCode {
        if self.version {
            return StatusCode::UPGRADE_REQUIRED;
        }
        answer(self.reason).0
    }
}

impl From<ReasonCode> for Refusal {
    fn from(reason: ReasonCode) -> Self {
        Self {
            reason,
            detail: answer(reason).1,
            version: false,
        }
    }
}

/// Returns the status for a reason, and the text for an outsider: chosen here and never derived from
/// an error, so that nothing of an upstream or a provider gets out with it.
pub(crate) const fn answer(reason: ReasonCode) -> (StatusCode, &'static str) {
    match reason {
        ReasonCode::BadRequest => (StatusCode::BAD_REQUEST, "the request is not well formed"),
        ReasonCode::BodyTooLarge => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "the request's body is larger than it may be",
        ),
        ReasonCode::HeadTooLarge => (
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "the request's head is larger than it may be",
        ),
        ReasonCode::NoRoute => (StatusCode::NOT_FOUND, "no route leads there"),
        ReasonCode::ConsumerKeyMissing => (StatusCode::UNAUTHORIZED, "a consumer key is needed"),
        ReasonCode::ConsumerKeyUnknown => {
            (StatusCode::UNAUTHORIZED, "the consumer key is not known")
        }
        ReasonCode::ConsumerTokenMissing => (
            StatusCode::UNAUTHORIZED,
            "a token or consumer key is needed",
        ),
        ReasonCode::ConsumerTokenMalformed => {
            (StatusCode::UNAUTHORIZED, "the token is not well formed")
        }
        ReasonCode::ConsumerTokenIssuer => {
            (StatusCode::UNAUTHORIZED, "the token's issuer is not known")
        }
        ReasonCode::ConsumerTokenSignature => (
            StatusCode::UNAUTHORIZED,
            "the token's signature does not hold",
        ),
        ReasonCode::ConsumerTokenExpired => (
            StatusCode::UNAUTHORIZED,
            "the token is not valid at this time",
        ),
        ReasonCode::ConsumerTokenAudience => {
            (StatusCode::UNAUTHORIZED, "the token is for somebody else")
        }
        ReasonCode::ConsumerTokenUnknown => {
            (StatusCode::UNAUTHORIZED, "the token belongs to no consumer")
        }
        ReasonCode::ConsumerConflict => (
            StatusCode::UNAUTHORIZED,
            "what the request shows belongs to more than one consumer",
        ),
        ReasonCode::InsufficientScope => (
            StatusCode::FORBIDDEN,
            "the consumer has not all of the scopes that are needed",
        ),
        ReasonCode::IssuerKeysUnavailable => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the keys of the token's issuer are not available",
        ),
        ReasonCode::ConsumerNotAllowed => (
            StatusCode::FORBIDDEN,
            "the route is not open to this consumer",
        ),
        ReasonCode::RateLimited => (
            StatusCode::TOO_MANY_REQUESTS,
            "more requests were sent than may be",
        ),
        ReasonCode::ConcurrencyLimited => (
            StatusCode::TOO_MANY_REQUESTS,
            "as many requests are under way as may be",
        ),
        ReasonCode::CredentialUnavailable => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the credential for this route is not available",
        ),
        ReasonCode::CredentialNotChosen => (
            StatusCode::FORBIDDEN,
            "no credential of this route is for this consumer",
        ),
        ReasonCode::CredentialCap => (
            StatusCode::SERVICE_UNAVAILABLE,
            "this route's credential is held for as many consumers as may have one",
        ),
        ReasonCode::UpstreamUnreachable => {
            (StatusCode::BAD_GATEWAY, "the upstream can't be reached")
        }
        ReasonCode::UpstreamFailed => {
            (StatusCode::BAD_GATEWAY, "the upstream broke off its answer")
        }
        ReasonCode::UpstreamTimeout => (
            StatusCode::GATEWAY_TIMEOUT,
            "the upstream did not answer in time",
        ),
        ReasonCode::UpstreamOverloaded => (
            StatusCode::SERVICE_UNAVAILABLE,
            "as much goes on at the upstream as may",
        ),
        ReasonCode::CredentialReflected => (
            StatusCode::BAD_GATEWAY,
            "the upstream's answer held what must not leave the gateway",
        ),
        ReasonCode::AnswerUnreadable => (
            StatusCode::BAD_GATEWAY,
            "the upstream's answer is encoded and can't be looked through",
        ),
        ReasonCode::Idle => (StatusCode::REQUEST_TIMEOUT, "nothing was said for too long"),
        ReasonCode::ClientAborted => (
            StatusCode::REQUEST_TIMEOUT,
            "the request's body did not arrive in time",
        ),
        ReasonCode::Draining => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the gateway is shutting down",
        ),
        ReasonCode::Internal => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "the gateway failed on this request",
        ),
    }
}

/// Makes the answer to a refused request.
pub(crate) fn respond(
    refusal: Refusal,
    trace_id: TraceId,
    challenge: Option<HeaderValue>,
    grpc: bool,
) -> Response<Bytes> {
    if grpc {
        return respond_grpc(refusal);
    }
    let status = refusal.status();
    let mut response = Response::new(problem(refusal, status, trace_id));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    if let Some(challenge) = challenge {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    if refusal.version {
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(SEC_VERSION, HeaderValue::from_static(VERSION));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// Tells whether a request is one of gRPC, whose sender reads the outcome from `grpc-status` alone.
pub(crate) fn is_grpc<B>(request: &Request<B>) -> bool {
    let is_grpc = |kind: &HeaderValue| {
        let rest = kind.as_bytes().strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    };
    request.method() == Method::POST && request.headers().get(CONTENT_TYPE).is_some_and(is_grpc)
}

/// Answers with nothing but a head, which gRPC reads as trailers.
fn respond_grpc(refusal: Refusal) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let (status, _) = answer(refusal.reason);
    headers.insert(GRPC_STATUS, HeaderValue::from_static(grpc_status(status)));
    // The texts are chosen here: none has what would have to be encoded.
    headers.insert(GRPC_MESSAGE, HeaderValue::from_static(refusal.detail));
    response
}

/// Returns what gRPC calls an HTTP status, as its own table of "HTTP to gRPC status codes" has it, but for
/// 429: the one who says so here knows that it is the caller who has used up what they may.
const fn grpc_status(status: StatusCode) -> &'static str {
    match status.as_u16() {
        // INTERNAL, UNAUTHENTICATED, PERMISSION_DENIED, UNIMPLEMENTED, RESOURCE_EXHAUSTED, UNAVAILABLE,
        // UNKNOWN.
        400 => "13",
        401 => "16",
        403 => "7",
        404 => "12",
        429 => "8",
        502..=504 => "14",
        _ => "2",
    }
}

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

fn problem(refusal: Refusal, status: StatusCode, trace_id: TraceId) -> Bytes {
    let problem = Problem {
        kind: "about:blank",
        title: status.canonical_reason().unwrap_or_default(),
        status: status.as_u16(),
        detail: refusal.detail,
        reason: refusal.reason,
        trace_id,
    };
    // Nothing in it can fail to be written; an answer without a body would still carry its status.
    serde_json::to_vec(&problem).unwrap_or_default().into()
}

/// A problem document of RFC 9457, with the reason code and the trace to look for in the log.
#[derive(Serialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: &'static str,
    reason: ReasonCode,
    trace_id: TraceId,
}

const PROBLEM_JSON: &str = "application/problem+json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_a_problem_document_with_its_reason() {
        let response = refuse(ReasonCode::CredentialUnavailable);
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        let problem: serde_json::Value =
            serde_json::from_slice(response.body()).expect("a JSON document");
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["title"], "Service Unavailable");
        assert_eq!(problem["status"], 503);
        assert_eq!(problem["reason"], "credential_unavailable");
        assert_eq!(problem["trace_id"], "00000000000000000000000000000007");
    }

    #[test]
    fn every_reason_is_answered_as_an_error() {
        for reason in ReasonCode::ALL {
            let response = refuse(reason);
            assert!(response.headers().contains_key(WWW_AUTHENTICATE));
            assert!(response.status().is_client_error() || response.status().is_server_error());
        }
    }

    #[test]
    fn a_refused_grpc_request_reads_its_outcome_from_the_head() {
        let trace_id = TraceId::new(7).expect("not zero");
        let refuse = |reason: ReasonCode| respond(reason.into(), trace_id, None, true);
        for reason in ReasonCode::ALL {
            let response = refuse(reason);
            assert_eq!(
                (response.status().as_u16(), response.body().len()),
                (200, 0)
            );
            let message = response.headers()[GRPC_MESSAGE].to_str().expect("text");
            assert!(message.is_ascii() && !message.contains('%'), "{message}");
        }
        let status = |reason: ReasonCode| refuse(reason).headers()[GRPC_STATUS].clone();
        assert_eq!(status(ReasonCode::UpstreamOverloaded), "14");
        assert_eq!(status(ReasonCode::ConsumerKeyMissing), "16");
        assert_eq!(status(ReasonCode::NoRoute), "12");
        assert_eq!(status(ReasonCode::RateLimited), "8");
        assert_eq!(status(ReasonCode::ConcurrencyLimited), "8");
    }

    #[test]
    fn only_grpc_itself_is_answered_so() {
        for (kind, grpc) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let request = Request::post("/").header(CONTENT_TYPE, kind).body(());
            assert_eq!(is_grpc(&request.expect("a request")), grpc, "{kind}");
        }
    }

    fn refuse(reason: ReasonCode) -> Response<Bytes> {
        let trace_id = TraceId::new(7).expect("not zero");
        let challenge = HeaderValue::from_static("Bearer");
        respond(reason.into(), trace_id, Some(challenge), false)
    }
}
