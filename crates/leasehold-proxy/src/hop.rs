use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Removes from a request's head what was meant for the gateway and not for the upstream.
///
/// `Expect` is among it: the gateway itself asks for the body once it wants it.
pub(crate) fn strip_request(headers: &mut HeaderMap) {
    let chunked = headers.contains_key(TRANSFER_ENCODING);
    strip(headers);
    headers.remove(EXPECT);
    headers.remove(HTTP2_SETTINGS);
    if chunked {
        // hyper sends a body of unknown length only where the head says so, for methods that
        // seldom have one.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Removes from an answer's head what was meant for the gateway and not for the consumer.
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    if headers.contains_key(TRANSFER_ENCODING) {
        // The coding said where the body ends; a length beside it may be any number.
        headers.remove(CONTENT_LENGTH);
    }
    strip(headers);
    keep_one_length(headers);
}

/// Removes the headers of RFC 9110 §7.6.1, and those that `Connection` names.
fn strip(headers: &mut HeaderMap) {
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let options = headers.get_all(CONNECTION).iter();
    options
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|option| {
            !option.eq_ignore_ascii_case(b"keep-alive") && !option.eq_ignore_ascii_case(b"close")
        })
        .filter_map(|option| HeaderName::from_bytes(option).ok())
        .collect()
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
        strip_request(&mut headers);
        assert_eq!(headers.len(), 2, "{headers:?}");
        assert!(headers.contains_key("trailer") && headers.contains_key("accept"));
    }

    #[test]
    fn a_chunked_request_stays_chunked() {
        let mut headers = head(&[
            ("connection", "transfer-encoding"),
            ("transfer-encoding", "chunked"),
        ]);
        strip_request(&mut headers);
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
