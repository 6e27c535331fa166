//! Answers what browsers ask before they send requests of one origin's pages to another, and says in
//! answers who may read them.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};

/// Which pages of other origins may read a route's answers in a browser.
#[derive(Clone, Debug)]
pub struct Cors {
    /// Their origins, as browsers send them; all where there is no list.
    origins: Option<Vec<HeaderValue>>,
    any: HeaderValue,
    methods: HeaderValue,
    headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    credentials: bool,
    max_age: HeaderValue,
}

impl Cors {
    /// Makes the rule; without a list of origins every one may read, and `credentials` are not for
    /// them.
    #[must_use]
    pub fn new(
        origins: Option<Vec<HeaderValue>>,
        methods: &[Method],
        headers: &[HeaderName],
        expose: &[HeaderName],
        credentials: bool,
        max_age: Duration,
    ) -> Self {
        Self {
            any: HeaderValue::from_static("*"),
            methods: list(methods.iter().map(Method::as_str))
                .unwrap_or_else(|| HeaderValue::from_static("GET")),
            headers: list(headers.iter().map(HeaderName::as_str)),
            expose: list(expose.iter().map(HeaderName::as_str)),
            credentials: credentials && origins.is_some(),
            max_age: HeaderValue::from(max_age.as_secs()),
            origins,
        }
    }

    /// Answers the question about a request. Who may not send it is told nothing, which a browser
    /// takes for a no.
    pub(crate) fn preflight(&self, origin: Option<&HeaderValue>) -> Response<Bytes> {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static(PREFLIGHT_VARY));
        if self.allow(origin, headers) {
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            headers.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
            if let Some(allowed) = &self.headers {
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, allowed.clone());
            }
        }
        response
    }

    /// Says in an answer who may read it, instead of what the upstream says.
    pub(crate) fn mark(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        for name in &OURS {
            headers.remove(name);
        }
        if self.origins.is_some() {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        if self.allow(origin, headers)
            && let Some(expose) = &self.expose
        {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }

    /// Names the origin where it may read; tells whether it may.
    fn allow(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) -> bool {
        let allowed = match (origin, &self.origins) {
            (Some(_), None) => &self.any,
            (Some(origin), Some(origins)) if origins.contains(origin) => origin,
            _ => return false,
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed.clone());
        if self.credentials {
            let yes = HeaderValue::from_static("true");
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
        true
    }
}

/// Tells whether a browser asks with this request whether it may send another.
pub(crate) fn is_preflight(head: &Parts) -> bool {
    head.method == Method::OPTIONS
        && head.headers.contains_key(ORIGIN)
        && head.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> Option<HeaderValue> {
    let names: Vec<_> = names.collect();
    if names.is_empty() {
        return None;
    }
    HeaderValue::try_from(names.join(", ")).ok()
}

const PREFLIGHT_VARY: &str =
    "origin, access-control-request-method, access-control-request-headers";
static OURS: [HeaderName; 6] = [
    ACCESS_CONTROL_ALLOW_CREDENTIALS,
    ACCESS_CONTROL_ALLOW_HEADERS,
    ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_MAX_AGE,
];
