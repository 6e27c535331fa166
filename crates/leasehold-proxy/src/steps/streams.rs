//! Makes the head of an HTTP/2 request into the one that the other steps read: as HTTP/1 writes it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, CONTENT_LENGTH, COOKIE, HOST, TE, TRANSFER_ENCODING, UPGRADE};
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use hyper::ext::Protocol;
use leasehold_model::ReasonCode;

use super::refuse::Refusal;
use crate::websocket::{Handshake, SEC_KEY, WEBSOCKET};

/// Checks what is particular to HTTP/2 and writes the rest as HTTP/1 does: the host as a header, one
/// `Cookie`, a body without a length as chunked, and a WebSocket as an upgrade.
///
/// # Errors
///
/// When the request must not go on.
pub(crate) fn translate(head: &mut Parts, has_body: bool, most: usize) -> Result<(), Refusal> {
    check_headers(&head.headers, most)?;
    name_host(head)?;
    join_cookies(&mut head.headers);
    if head.extensions.get::<Protocol>().is_some() {
        return ask_as_upgrade(head);
    }
    if has_body && !head.headers.contains_key(CONTENT_LENGTH) {
        let chunked = HeaderValue::from_static("chunked");
        head.headers.insert(TRANSFER_ENCODING, chunked);
    }
    Ok(())
}

/// Writes an extended CONNECT, RFC 8441 §5, as the request that HTTP/1 has for it. Its mark stays in the
/// extensions: it is answered in another way, and is no request for anything else.
fn ask_as_upgrade(head: &mut Parts) -> Result<(), Refusal> {
    let protocol = head.extensions.get::<Protocol>();
    if protocol.is_none_or(|it| it.as_str() != WEBSOCKET) {
        return Err(Refusal::bad_request(
            "nothing but a WebSocket is asked for with CONNECT",
        ));
    }
    let mut key = [0; 16];
    fastrand::fill(&mut key);
    let key = HeaderValue::try_from(STANDARD.encode(key));
    let key = key.map_err(|_never| ReasonCode::Internal)?;
    head.headers.insert(SEC_KEY, key);
    Handshake::ask(&mut head.headers);
    head.method = Method::GET;
    Ok(())
}

fn check_headers(headers: &HeaderMap, most: usize) -> Result<(), Refusal> {
    if headers.len() > most {
        return Err(Refusal::bad_request("the request has too many headers"));
    }
    if OF_CONNECTION.iter().any(|name| headers.contains_key(name)) {
        return Err(Refusal::bad_request(
            "a header of the connection has no place in HTTP/2",
        ));
    }
    if headers.get_all(TE).iter().any(|te| te != "trailers") {
        return Err(Refusal::bad_request(
            "in HTTP/2, only trailers may be announced in TE",
        ));
    }
    Ok(())
}

/// Makes `:authority` the host where none is named, as RFC 9113 §8.3.1 has it; two that are named must
/// be one, which the next step checks.
fn name_host(head: &mut Parts) -> Result<(), Refusal> {
    let scheme = head.uri.scheme();
    let known = scheme.is_none_or(|it| *it == Scheme::HTTP || *it == Scheme::HTTPS);
    if !known {
        return Err(Refusal::bad_request("the scheme is not one of HTTP"));
    }
    let Some(authority) = head.uri.authority() else {
        return Ok(());
    };
    if head.headers.contains_key(HOST) {
        return Ok(());
    }
    let host = HeaderValue::from_str(authority.as_str());
    let host = host.map_err(|_invalid| Refusal::bad_request("the host is not well formed"))?;
    head.headers.insert(HOST, host);
    Ok(())
}

/// Puts the crumbs of RFC 9113 §8.2.3 together again: an upstream of HTTP/1 takes one `Cookie`.
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    if crumbs.nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    // Each crumb was a value, so that all of them are one.
    if let Ok(mut whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        whole.set_sensitive(true);
        headers.insert(COOKIE, whole);
    }
}

static OF_CONNECTION: [HeaderName; 5] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TRANSFER_ENCODING,
    UPGRADE,
];

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn the_authority_becomes_the_host() {
        let head = translated("https://a.example:8443/x", &[]).expect("good");
        assert_eq!(head.headers[HOST], "a.example:8443");
        let head = translated("https://a.example/x", &[("host", "b.example")]).expect("good");
        assert_eq!(head.headers[HOST], "b.example");
        assert!(translated("ftp://a.example/x", &[]).is_err());
    }

    #[test]
    fn the_crumbs_of_a_cookie_are_put_together() {
        let crumbs = [("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")];
        let head = translated("https://a/", &crumbs).expect("good");
        let cookies: Vec<_> = head.headers.get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2; c=3"]);
        let head = translated("https://a/", &crumbs[..1]).expect("good");
        assert_eq!(head.headers[COOKIE], "a=1");
    }

    #[test]
    fn headers_of_a_connection_are_refused() {
        for name in [
            "connection",
            "keep-alive",
            "proxy-connection",
            "upgrade",
            "transfer-encoding",
        ] {
            assert!(translated("https://a/", &[(name, "x")]).is_err(), "{name}");
        }
        assert!(translated("https://a/", &[("te", "gzip")]).is_err());
        assert!(translated("https://a/", &[("te", "trailers")]).is_ok());
    }

    #[test]
    fn as_many_headers_are_taken_as_may_be() {
        let headers = |count| vec![("x-a", "1"); count];
        assert!(translated("https://a/", &headers(MOST)).is_ok());
        assert!(translated("https://a/", &headers(MOST + 1)).is_err());
    }

    #[test]
    fn a_body_of_unknown_length_is_chunked() {
        let head = translated("https://a/", &[]).expect("good");
        assert_eq!(head.headers[TRANSFER_ENCODING], "chunked");
        let head = translated("https://a/", &[("content-length", "1")]).expect("good");
        assert!(!head.headers.contains_key(TRANSFER_ENCODING));
    }

    fn translated(target: &str, headers: &[(&'static str, &str)]) -> Result<Parts, Refusal> {
        let mut request = Request::new(());
        *request.uri_mut() = target.parse().expect("a target");
        for (name, value) in headers {
            let value = value.parse().expect("a header value");
            request.headers_mut().append(*name, value);
        }
        let mut head = request.into_parts().0;
        translate(&mut head, true, MOST)?;
        Ok(head)
    }

    const MOST: usize = 5;
}
