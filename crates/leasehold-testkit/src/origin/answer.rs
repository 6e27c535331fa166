use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response, StatusCode};
use serde_json::Value;

/// Answers the requests of an origin.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request, whose body has come whole.
    fn answer(&self, request: Request<Bytes>)
    -> impl Future<Output = Response<Full<Bytes>>> + Send;
}

/// Makes an answer of a status and a JSON body. A number that is no status becomes 500.
#[must_use]
pub fn json(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
