//! Upstreams that send back what they were shown, in every way that they can, and servers that only listen.

use std::collections::BTreeSet;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use leasehold_testkit::origin::Handler;
use leasehold_testkit::scan;
use parking_lot::Mutex;

/// Answers as the last part of the path says, and keeps what it was shown.
#[derive(Default)]
pub(crate) struct Treacherous(Mutex<BTreeSet<String>>);

impl Treacherous {
    /// Tells whether it was shown that, in whatever form.
    pub(crate) fn was_shown(&self, secret: &str) -> bool {
        let heads = self.0.lock();
        heads
            .iter()
            .any(|it| scan(it.as_bytes(), &[secret]).is_ok_and(|it| !it.is_empty()))
    }

    /// Returns the values of a header that it was shown.
    pub(crate) fn shown(&self, name: &str) -> Vec<String> {
        let heads = self.0.lock();
        let prefix = format!("{name}: ");
        let lines = heads.iter().flat_map(|it| it.lines());
        lines
            .filter_map(|it| it.strip_prefix(&prefix).map(str::to_owned))
            .collect()
    }
}

impl Handler for Treacherous {
    async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        let head = head_of(&request);
        self.0.lock().insert(head.clone());
        let secret = shown_by(&request);
        let path = request.uri().path().rsplit('/').next().unwrap_or_default();
        let (status, header) = match path {
            "redirect" => (StatusCode::FOUND, Some("location")),
            "challenge" => (StatusCode::UNAUTHORIZED, Some("www-authenticate")),
            "forbidden" => (StatusCode::FORBIDDEN, Some("x-reason")),
            "cookie" => (StatusCode::OK, Some("set-cookie")),
            "error" => (StatusCode::INTERNAL_SERVER_ERROR, None),
            _ => (StatusCode::OK, None),
        };
        let body = if header.is_some() {
            String::new()
        } else {
            head
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        if let Some(name) = header {
            let value = HeaderValue::from_str(&format!("https://elsewhere.example/?k={secret}"));
            let name = HeaderName::from_static(name);
            response.headers_mut().extend(value.map(|it| (name, it)));
        }
        response
    }
}

fn head_of(request: &Request<Bytes>) -> String {
    let mut head = format!("{} {}\n", request.method(), request.uri());
    // Those are others in each request, so that heads would be too many to search.
    let traces = ["traceparent", "tracestate"];
    let headers = request.headers().iter();
    for (name, value) in headers.filter(|(name, _)| !traces.contains(&name.as_str())) {
        head.push_str(&format!(
            "{name}: {}\n",
            String::from_utf8_lossy(value.as_bytes())
        ));
    }
    head + &String::from_utf8_lossy(request.body())
}

/// Returns what may be the credential.
fn shown_by(request: &Request<Bytes>) -> String {
    let headers = ["authorization", "x-api-key"].iter();
    let mut values = headers.filter_map(|it| request.headers().get(*it)?.to_str().ok());
    let in_head = values.next().map(str::to_owned);
    in_head.unwrap_or_else(|| request.uri().query().unwrap_or_default().to_owned())
}

/// Keeps all that it is sent.
#[derive(Default)]
pub(crate) struct Listening(Mutex<Vec<u8>>);

impl Listening {
    pub(crate) fn heard(&self) -> Vec<u8> {
        self.0.lock().clone()
    }
}

impl Handler for Listening {
    async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        let mut heard = self.0.lock();
        heard.extend_from_slice(head_of(&request).as_bytes());
        heard.extend_from_slice(request.body());
        Response::new(Full::default())
    }
}
