use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};
use serde_json::{Value, json};

use super::{Handler, Origin, answer};

/// Answers each request with what it was:
/// `{"method", "target", "version", "headers": [["name", "value"], …], "body", "body_base64"}`.
///
/// Header names come in lower case, in the order received; bytes that are no UTF-8 are replaced.
#[derive(Clone, Copy, Debug, Default)]
pub struct Echo;

impl Origin<Echo> {
    /// Starts an origin that answers each request with what it was.
    ///
    /// # Errors
    ///
    /// When no port can be listened on.
    pub async fn echo() -> Result<Self> {
        Self::serve(Echo).await
    }

    /// Starts an echoing origin that speaks TLS; [`Origin::ca_pem`] has its authority.
    ///
    /// # Errors
    ///
    /// When no port can be listened on or no certificate be made.
    pub async fn echo_tls() -> Result<Self> {
        Self::serve_tls(Echo).await
    }
}

impl Handler for Echo {
    async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        answer::json(200, &describe(&request))
    }
}

fn describe(request: &Request<Bytes>) -> Value {
    let headers: Vec<[String; 2]> = request
        .headers()
        .iter()
        .map(|(name, value)| [name.as_str().to_owned(), lossy(value.as_bytes())])
        .collect();
    json!({
        "method": request.method().as_str(),
        "target": request.uri().to_string(),
        "version": format!("{:?}", request.version()),
        "headers": headers,
        "body": lossy(request.body()),
        "body_base64": STANDARD.encode(request.body()),
    })
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
