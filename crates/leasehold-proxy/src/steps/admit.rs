//! Refuses what two servers could read differently: framing, hosts and paths.
//!
//! What can be seen in bytes only was refused before: see [`crate::framing`]. Much of it is checked here
//! again, since not every head came in as HTTP/1.1.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::Scheme;
use http::{HeaderMap, HeaderName, Method, Uri};
use leasehold_model::is_header_alias;

use super::refuse::Refusal;
use crate::hop::names_protected;
use crate::trace::{TRACEPARENT, TRACESTATE};

/// Checks the head and returns the host that was asked for: in lower case, without a port and
/// without the dot that may end a full domain name. `ours` are the headers in which consumers say who they
/// are, and those in which upstreams are told.
///
/// # Errors
///
/// When the request must not go on.
pub(crate) fn admit<'a>(head: &'a Parts, ours: &[HeaderName]) -> Result<Cow<'a, str>, Refusal> {
    check_method(&head.method)?;
    check_framing(&head.headers)?;
    check_names(&head.headers, ours)?;
    if !head.uri.query().unwrap_or_default().is_ascii() {
        return Err(Refusal::bad_request("the query holds what is not ASCII"));
    }
    host(&head.headers, &head.uri)
}

/// Checks that a path can be read in one way only, and returns what is wrong with it.
///
/// # Errors
///
/// When it holds dot segments, however written, an encoded separator, a backslash or a NUL.
pub(crate) fn check_path(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        return Err("the path does not begin with a slash");
    }
    if !path.is_ascii() {
        return Err("the path holds what is not ASCII");
    }
    if path.contains(['\\', '\0']) {
        return Err("the path holds a backslash or a NUL");
    }
    check_escapes(path)?;
    if path.split('/').any(is_dot_segment) {
        return Err("the path holds a dot segment");
    }
    Ok(())
}

/// Checks that no header can be taken for one that the gateway sets or relies on.
///
/// # Errors
///
/// When there is an alias of `ours`: a name that some server reads as the same, though it is another.
pub(crate) fn refuse_alias(headers: &HeaderMap, ours: &HeaderName) -> Result<(), Refusal> {
    let is_alias =
        |sent: &HeaderName| sent != ours && is_header_alias(sent.as_str(), ours.as_str());
    if headers.keys().any(is_alias) {
        return Err(ALIAS);
    }
    Ok(())
}

/// Returns the byte that the two hexadecimal digits at the start of `text` stand for.
pub(crate) fn escaped_byte(text: &[u8]) -> Option<u8> {
    let &[high, low] = text.first_chunk()?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Returns the host of an authority and its port, as written; `None` where it is not well formed.
pub(crate) fn split_authority(authority: &str) -> Option<(&str, Option<u16>)> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(literal) => {
            let (address, rest) = literal.split_once(']')?;
            address.parse::<Ipv6Addr>().ok()?;
            (authority.get(..address.len() + 2)?, rest)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (host, rest) = authority.split_at_checked(end)?;
            is_domain(host).then_some((host, rest))?
        }
    };
    if rest.is_empty() {
        return Some((host, None));
    }
    let port = rest.strip_prefix(':')?;
    if port.is_empty() {
        return Some((host, None));
    }
    let only_digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = only_digits.then(|| port.parse().ok())??;
    Some((host, Some(port)))
}

/// Writes a host in the one way that routes are looked up by.
pub(crate) fn normal_host(host: &str) -> Cow<'_, str> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Cow::Owned(host.to_ascii_lowercase());
    }
    Cow::Borrowed(host)
}

fn check_method(method: &Method) -> Result<(), Refusal> {
    // Servers that take methods in any case would do what is refused here.
    let is = |refused: &Method| method.as_str().eq_ignore_ascii_case(refused.as_str());
    if is(&Method::CONNECT) {
        return Err(Refusal::bad_request("the gateway makes no tunnels"));
    }
    // The answer to a TRACE is the request as the upstream saw it: with our credential.
    if is(&Method::TRACE) || method.as_str().eq_ignore_ascii_case("TRACK") {
        return Err(Refusal::bad_request("the gateway does not forward traces"));
    }
    Ok(())
}

fn check_framing(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let (coding, length) = (codings.next(), lengths.next());
    if codings.next().is_some() || lengths.next().is_some() {
        return Err(Refusal::bad_request(
            "the length of the body is given twice",
        ));
    }
    if coding.is_some() && length.is_some() {
        return Err(Refusal::bad_request("the body is framed in two ways"));
    }
    // Another coding below `chunked` would have to be undone, since the header ends here.
    if coding.is_some_and(|it| !it.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(Refusal::bad_request(
            "the transfer coding is not chunked alone",
        ));
    }
    Ok(())
}

fn check_names(headers: &HeaderMap, ours: &[HeaderName]) -> Result<(), Refusal> {
    let is_alias = |sent: &HeaderName| {
        let mut set = SET.iter().chain(ours);
        set.any(|name| sent != name && is_header_alias(sent.as_str(), name.as_str()))
    };
    // A name in its ordinary writing is an alias of nothing: most have only letters and dashes.
    let odd = |sent: &&HeaderName| !sent.as_str().bytes().all(is_ordinary);
    if headers.keys().filter(odd).any(is_alias) {
        return Err(ALIAS);
    }
    if names_protected(headers, ours) {
        return Err(Refusal::bad_request(
            "a header that is for all is named in `Connection`",
        ));
    }
    Ok(())
}

fn host<'a>(headers: &'a HeaderMap, uri: &Uri) -> Result<Cow<'a, str>, Refusal> {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(Refusal::bad_request("the request needs exactly one host"));
    };
    let host = host.to_str().unwrap_or_default();
    if !agrees(uri, host) {
        return Err(Refusal::bad_request("the target is not on the host named"));
    }
    let name = split_authority(host).map(|(name, _port)| normal_host(name));
    name.filter(|name| !name.is_empty())
        .ok_or(Refusal::bad_request("the host is not well formed"))
}

/// Tells whether an absolute target, where there is one, names the same authority as `Host`.
fn agrees(uri: &Uri, host: &str) -> bool {
    let known = uri
        .scheme()
        .is_none_or(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS);
    known
        && uri
            .authority()
            .is_none_or(|target| target.as_str().eq_ignore_ascii_case(host))
}

const fn is_ordinary(byte: u8) -> bool {
    byte == b'-' || byte.is_ascii_alphanumeric()
}

fn is_domain(host: &str) -> bool {
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

fn check_escapes(path: &str) -> Result<(), &'static str> {
    // What stands before the first `%` is no escape.
    for after in path.split('%').skip(1) {
        match escaped_byte(after.as_bytes()) {
            None => return Err("the path holds a broken escape"),
            Some(b'/' | b'\\') => return Err("the path holds an encoded separator"),
            Some(0) => return Err("the path holds an encoded NUL"),
            Some(_) => {}
        }
    }
    Ok(())
}

/// Tells whether a server may take the segment for `.` or `..`: with the dots encoded, and with
/// path parameters behind them, which some servers cut off first.
pub(super) fn is_dot_segment(segment: &str) -> bool {
    let mut rest = segment;
    let mut dots = 0;
    while let Some(shorter) = strip_any(rest, &[".", "%2e", "%2E"]) {
        rest = shorter;
        dots += 1;
    }
    let ends = rest.is_empty() || strip_any(rest, &[";", "%3b", "%3B"]).is_some();
    ends && (dots == 1 || dots == 2)
}

fn strip_any<'a>(text: &'a str, prefixes: &[&str]) -> Option<&'a str> {
    prefixes.iter().find_map(|prefix| text.strip_prefix(prefix))
}

const ALIAS: Refusal =
    Refusal::bad_request("a header may be taken for another that means something here");
/// What the gateway sets, and what frames a body.
static SET: [HeaderName; 6] = [
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    TRACEPARENT,
    TRACESTATE,
    TRANSFER_ENCODING,
];

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn the_host_is_returned_in_one_writing() {
        for (sent, want) in [
            ("api.example.com", "api.example.com"),
            ("API.Example.com:8443", "api.example.com"),
            ("api.example.com.", "api.example.com"),
            ("api.example.com.:80", "api.example.com"),
            ("[::1]:80", "[::1]"),
            ("10.0.0.1:", "10.0.0.1"),
        ] {
            let parts = head("GET", "/", &[("host", sent)]);
            assert_eq!(
                admit(&parts, std::slice::from_ref(&OURS)).as_deref(),
                Ok(want),
                "{sent}"
            );
        }
    }

    #[test]
    fn a_missing_doubled_or_malformed_host_is_refused() {
        assert!(refused("GET", "/", &[]));
        assert!(refused("GET", "/", &[("host", "a"), ("host", "a")]));
        for host in [
            "", ".", ":80", "a b", "a,b", "u@a", "a:b", "a:99999", "a:+1", "a:1:2", "[::1", "[a]",
            "[::1]x", "a/b", "a?b", "a%00",
        ] {
            assert!(refused("GET", "/", &[("host", host)]), "{host}");
        }
    }

    #[test]
    fn an_absolute_target_must_be_on_the_host_named() {
        assert!(!refused(
            "GET",
            "http://a.example/x",
            &[("host", "A.example")]
        ));
        assert!(refused(
            "GET",
            "http://b.example/x",
            &[("host", "a.example")]
        ));
        assert!(refused(
            "GET",
            "http://a.example:81/x",
            &[("host", "a.example")]
        ));
        assert!(refused(
            "GET",
            "http://u@a.example/x",
            &[("host", "a.example")]
        ));
        assert!(refused(
            "GET",
            "ftp://a.example/x",
            &[("host", "a.example")]
        ));
    }

    #[test]
    fn paths_that_servers_read_differently_are_refused() {
        for path in [
            "/a/../b",
            "/..",
            "/.",
            "/a/.",
            "/a/%2e%2e/b",
            "/a/%2E./b",
            "/a/.%2e",
            "/a/..;x/b",
            "/a/%2e%2e%3bx",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a%5Cb",
            "/a\\b",
            "/a%00",
            "/a%",
            "/a%4",
            "/a%zz",
            "/a%+1",
        ] {
            assert!(check_path(path).is_err(), "{path}");
        }
        for path in [
            "/",
            "/a//b",
            "/...",
            "/.well-known/x",
            "/a..b",
            "/a/..b",
            "/a;..",
            "/a%20b",
            "/%C3%A9",
        ] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
    }

    #[test]
    fn a_query_may_hold_anything() {
        assert!(!refused("GET", "/a?b=../%2f%zz", &[("host", "a")]));
    }

    #[test]
    fn framing_that_leaves_a_choice_is_refused() {
        for sent in [
            &[
                ("transfer-encoding", "chunked"),
                ("transfer-encoding", "chunked"),
            ][..],
            &[("transfer-encoding", "chunked, chunked")],
            &[("transfer-encoding", "gzip, chunked")],
            &[("content-length", "1"), ("content-length", "1")],
            &[("content-length", "1"), ("transfer-encoding", "chunked")],
            &[("content_length", "1")],
            &[("content-length", "1"), ("transfer_encoding", "chunked")],
            &[("transfer.encoding", "chunked")],
        ] {
            let with_host = [&[("host", "a")], sent].concat();
            assert!(refused("POST", "/", &with_host), "{sent:?}");
        }
        assert!(!refused(
            "POST",
            "/",
            &[("host", "a"), ("transfer-encoding", "Chunked")]
        ));
    }

    #[test]
    fn what_may_be_taken_for_a_header_that_means_something_is_refused() {
        for name in [
            "x_consumer_key",
            "x-consumer.key",
            "content_length",
            "transfer.encoding",
        ] {
            assert!(refused("GET", "/", &[("host", "a"), (name, "b")]), "{name}");
        }
        assert!(!refused(
            "GET",
            "/",
            &[("host", "a"), ("x-consumer-key", "b")]
        ));
        assert!(!refused("GET", "/", &[("host", "a"), ("x_other", "b")]));
        let headers = HeaderMap::from_iter([(HeaderName::from_static("x_api_key"), OTHER)]);
        let place = HeaderName::from_static("x-api-key");
        assert!(refuse_alias(&headers, &place).is_err());
        let headers = HeaderMap::from_iter([(place.clone(), OTHER)]);
        assert_eq!(refuse_alias(&headers, &place), Ok(()));
    }

    #[test]
    fn a_target_holds_ascii_only() {
        assert!(check_path("/é").is_err());
        assert!(refused("GET", "/?é", &[("host", "a")]));
    }

    #[test]
    fn tunnels_and_traces_are_refused_and_unknown_methods_are_not() {
        assert!(refused("CONNECT", "a:443", &[("host", "a:443")]));
        assert!(refused("TRACE", "/", &[("host", "a")]));
        assert!(refused("TRACK", "/", &[("host", "a")]));
        for method in ["trace", "Track", "connect"] {
            assert!(refused(method, "/", &[("host", "a")]), "{method}");
        }
        assert!(!refused("PURGE", "/", &[("host", "a")]));
        assert!(!refused("OPTIONS", "*", &[("host", "a")]));
    }

    const OURS: HeaderName = HeaderName::from_static("x-consumer-key");
    const OTHER: http::HeaderValue = http::HeaderValue::from_static("b");

    fn refused(method: &str, target: &str, headers: &[(&'static str, &str)]) -> bool {
        admit(&head(method, target, headers), std::slice::from_ref(&OURS)).is_err()
    }

    fn head(method: &str, target: &str, headers: &[(&'static str, &str)]) -> Parts {
        let mut request = Request::new(());
        *request.method_mut() = method.parse().expect("a method");
        *request.uri_mut() = target.parse().expect("a target");
        for (name, value) in headers {
            let value = value.parse().expect("a header value");
            request.headers_mut().append(*name, value);
        }
        request.into_parts().0
    }
}
