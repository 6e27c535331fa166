//! What the head of a request and an error look like in one version of HTTP and in the other.

use std::error::Error as _;

use h2::Reason;
use http::header::{HOST, TE, TRAILER};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};

use crate::body::RequestBody;

/// Tells whether whoever sends this head takes trailers.
pub(crate) fn accepts_trailers(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(TE).iter();
    let mut codings = lists.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Makes a request ready for HTTP/2: the host becomes a part of the target, and no trailer goes on
/// that was not announced.
pub(crate) fn to_http2(request: &mut Request<RequestBody>, scheme: &Scheme) {
    let host = request.headers_mut().remove(HOST);
    let authority = host.and_then(|it| Authority::try_from(it.as_bytes()).ok());
    let mut target = std::mem::take(request.uri_mut()).into_parts();
    target.scheme = authority.is_some().then(|| scheme.clone());
    target.authority = authority;
    *request.uri_mut() = Uri::from_parts(target).unwrap_or_default();
    request
        .headers_mut()
        .remove(http::header::TRANSFER_ENCODING);
    let announced = announced(request.headers());
    request.body_mut().restrict(announced);
}

/// Makes a request ready for HTTP/1.1 once more, where it was ready for HTTP/2.
pub(crate) fn to_http1(request: &mut Request<RequestBody>) {
    request.headers_mut().remove(TE);
    let Some(authority) = request.uri().authority() else {
        return;
    };
    let host = HeaderValue::from_str(authority.as_str()).ok();
    let target = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(target.unwrap_or_else(|| PathAndQuery::from_static("/")));
    if let Some(host) = host {
        request.headers_mut().insert(HOST, host);
    }
}

/// Tells whether an HTTP/2 upstream says that it has not looked at the request, so that any may be
/// sent again.
pub(crate) fn is_unprocessed(error: &hyper::Error) -> bool {
    of_http2(error).is_some_and(|it| {
        let refused = it.is_reset() && it.reason() == Some(Reason::REFUSED_STREAM);
        it.is_remote() && (refused || it.is_go_away())
    })
}

/// Tells whether an HTTP/2 upstream gave up this one request, and not its connection.
pub(crate) fn is_reset(error: &hyper::Error) -> bool {
    of_http2(error).is_some_and(|it| it.is_reset() && it.is_remote())
}

fn of_http2(error: &hyper::Error) -> Option<&h2::Error> {
    error.source()?.downcast_ref()
}

fn announced(headers: &HeaderMap) -> Vec<HeaderName> {
    let lists = headers.get_all(TRAILER).iter();
    let names = lists.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    names
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_goes_to_http2_and_back() {
        let mut request = Request::get("/a?b=%2f")
            .header(HOST, "api.example:8080")
            .header(TE, "trailers")
            .body(RequestBody::none())
            .expect("a request");
        to_http2(&mut request, &Scheme::HTTPS);
        assert_eq!(request.uri(), "https://api.example:8080/a?b=%2f");
        assert_eq!(request.headers().len(), 1, "{:?}", request.headers());
        to_http1(&mut request);
        assert_eq!(request.uri(), "/a?b=%2f");
        assert_eq!(request.headers()[HOST], "api.example:8080");
        assert_eq!(request.headers().len(), 1, "{:?}", request.headers());
    }

    #[test]
    fn trailers_are_taken_where_one_of_the_codings_says_so() {
        for (te, taken) in [
            ("trailers", true),
            ("gzip, Trailers", true),
            ("gzip", false),
        ] {
            let headers = HeaderMap::from_iter([(TE, HeaderValue::from_static(te))]);
            assert_eq!(accepts_trailers(&headers), taken, "{te}");
        }
        assert!(!accepts_trailers(&HeaderMap::new()));
    }
}
