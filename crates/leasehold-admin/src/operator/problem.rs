use axum::Json;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::OperationError;

/// Why an operator's request was refused (RFC 9457).
#[derive(Debug)]
pub(super) enum Problem {
    BadRequest(String),
    NoSuchPath,
    WrongMethod,
    Refused(OperationError),
}

impl Problem {
    pub(super) fn bad(detail: impl Into<String>) -> Self {
        Self::BadRequest(detail.into())
    }

    fn parts(&self) -> (StatusCode, &'static str, String) {
        match self {
            Self::BadRequest(detail) => (StatusCode::BAD_REQUEST, "bad_request", detail.clone()),
            Self::NoSuchPath => (
                StatusCode::NOT_FOUND,
                "no_such_path",
                "the operator's socket serves nothing there".to_owned(),
            ),
            Self::WrongMethod => (
                StatusCode::METHOD_NOT_ALLOWED,
                "wrong_method",
                "what only looks is a GET, what does anything is a POST".to_owned(),
            ),
            Self::Refused(error) => {
                let (status, reason) = match error {
                    OperationError::NotHeld { .. } => (StatusCode::NOT_FOUND, "not_held"),
                    OperationError::Refused { .. } => (StatusCode::CONFLICT, "refused"),
                    OperationError::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopped"),
                };
                (status, reason, error.to_string())
            }
        }
    }
}

impl From<OperationError> for Problem {
    fn from(error: OperationError) -> Self {
        Self::Refused(error)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, reason, detail) = self.parts();
        let body = Body {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            reason,
            detail,
        };
        let mut response = (status, Json(body)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}

#[derive(Serialize)]
struct Body {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    reason: &'static str,
    detail: String,
}
