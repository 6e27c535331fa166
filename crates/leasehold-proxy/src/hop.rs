use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
    COOKIE, EXPECT, FORWARDED, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use leasehold_model::is_header_alias;

use crate::trace::{TRACEPARENT, TRACESTATE};

/// Tells whether `Connection` names a header that is for all who handle the request, or an alias of one:
/// whoever drops it on the way takes away the framing, the host or the sender's proof of who it is.
pub(crate) fn names_protected(headers: &HeaderMap, ours: &[HeaderName]) -> bool {
    let is_protected = |option: &[u8]| {
        let Ok(option) = str::from_utf8(option) else {
            return true;
        };
        let mut protected = PROTECTED.iter().chain(ours);
        let forwarded = option.get(..FORWARDED_BY.len());
        forwarded.is_some_and(|start| is_header_alias(start, FORWARDED_BY))
            || protected.any(|name| is_header_alias(option, name.as_str()))
    };
    options(headers).any(is_protected)
}

/// Removes from a request's head what was meant for the gateway and not for the upstream, and returns
/// the headers that `Connection` named.
///
/// `Expect` is among it: the gateway itself asks for the body once it wants it.
pub(crate) fn strip_request(headers: &mut HeaderMap) -> Vec<HeaderName> {
    let chunked = headers.contains_key(TRANSFER_ENCODING);
    let named = strip(headers);
    headers.remove(EXPECT);
    headers.remove(HTTP2_SETTINGS);
    if chunked {
        // hyper sends a body of unknown length only where the head says so, for methods that
        // seldom have one.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    named
}

/// Removes from an answer's head what was meant for the gateway and not for the consumer.
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    if headers.contains_key(TRANSFER_ENCODING) {
        // The coding said where the body ends; a length beside it may be any number.
        headers.remove(CONTENT_LENGTH);
    }
    drop(strip(headers));
    keep_one_length(headers);
}

/// Removes the headers of RFC 9110 §7.6.1, and those that `Connection` names, which it returns.
fn strip(headers: &mut HeaderMap) -> Vec<HeaderName> {
    let named = named_by_connection(headers);
    for name in &named {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
    named
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    options(headers)
        .filter(|option| {
            !option.eq_ignore_ascii_case(b"keep-alive") && !option.eq_ignore_ascii_case(b"close")
        })
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .collect()
}

fn options(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    tokens(headers, &CONNECTION)
}

/// Returns what a header lists.
pub(crate) fn tokens<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let lists = headers.get_all(name).iter();
    lists
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

/// Makes several equal lengths one, and drops what is no length: an answer without a body may carry
/// anything there.
fn keep_one_length(headers: &mut HeaderMap) {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next().cloned() else {
        return;
    };
    let number = first.as_bytes();
    let well_formed = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
    let alone = lengths.next().is_none();
    match (well_formed, alone) {
        (true, true) => {}
        (true, false) => drop(headers.insert(CONTENT_LENGTH, first)),
        (false, _) => drop(headers.remove(CONTENT_LENGTH)),
    }
}

const FORWARDED_BY: &str = "x-forwarded-";
static PROTECTED: [HeaderName; 12] = [
    AUTHORIZATION,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    COOKIE,
    EXPECT,
    FORWARDED,
    HOST,
    TRACEPARENT,
    TRACESTATE,
    TRANSFER_ENCODING,
];
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
static HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_for_one_hop_goes_and_the_rest_stays() {
        let mut headers = head(&[
            ("connection", "keep-alive, X-One ,x-two"),
            ("connection", "X-Three"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("x-three", "3"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic x"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("http2-settings", "x"),
            ("expect", "100-continue"),
            ("trailer", "x-sum"),
            ("accept", "*/*"),
        ]);
        let named = strip_request(&mut headers);
        assert_eq!(named, ["x-one", "x-two", "x-three"]);
        assert_eq!(headers.len(), 2, "{headers:?}");
        assert!(headers.contains_key("trailer") && headers.contains_key("accept"));
    }

    #[test]
    fn connection_may_name_what_is_for_one_hop_and_nothing_that_is_for_all() {
        let ours = HeaderName::from_static("x-consumer-key");
        for (options, protected) in [
            ("close", false),
            ("keep-alive, X-Hop, TE,Upgrade, ,HTTP2-Settings", false),
            ("close, Content-Length", true),
            ("x-hop,content_length", true),
            ("transfer-encoding", true),
            ("HOST", true),
            ("Authorization", true),
            ("X-Forwarded-Anything", true),
            ("x_forwarded_for", true),
            ("X-Consumer_Key", true),
            ("x-consumer-keys", false),
        ] {
            let headers = head(&[("connection", "close"), ("connection", options)]);
            assert_eq!(
                names_protected(&headers, std::slice::from_ref(&ours)),
                protected,
                "{options}"
            );
        }
    }

    #[test]
    fn a_chunked_request_stays_chunked() {
        let mut headers = head(&[
            ("connection", "transfer-encoding"),
            ("transfer-encoding", "chunked"),
        ]);
        drop(strip_request(&mut headers));
        assert_eq!(headers[TRANSFER_ENCODING], "chunked");
    }

    #[test]
    fn an_answer_has_one_length_or_none() {
        for (sent, left) in [
            (&[("content-length", "5")][..], Some("5")),
            (
                &[("content-length", "5"), ("content-length", "5")],
                Some("5"),
            ),
            (
                &[("content-length", "5"), ("transfer-encoding", "chunked")],
                None,
            ),
            (&[("content-length", "5, 5")], None),
            (&[("content-length", "-5")], None),
            (&[("content-length", "")], None),
            (&[], None),
        ] {
            let mut headers = head(sent);
            strip_response(&mut headers);
            let length = headers.get(CONTENT_LENGTH).map(HeaderValue::as_bytes);
            assert_eq!(length, left.map(str::as_bytes), "{sent:?}");
            assert!(headers.len() <= 1, "{headers:?}");
        }
    }

    fn head(sent: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, value.parse().expect("a header value"));
        }
        headers
    }
}
