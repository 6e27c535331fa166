use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    COOKIE, EXPECT, HOST, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::trace::TRACEPARENT;

/// Cuts the list of trailers that a request announces down to those that may go on; what is not
/// announced is not sent.
///
/// A server may merge trailers into the head. What the head is stripped of must not come back that
/// way, so `strip` is tried on each announced name: a name that it removes or fills goes no further,
/// nor does one on which framing, routing or authentication depends.
pub(crate) fn restrict(headers: &mut HeaderMap, strip: impl FnOnce(&mut HeaderMap)) {
    if !headers.contains_key(TRAILER) {
        return;
    }
    let mut announced = HeaderMap::new();
    for name in names(headers) {
        announced.insert(name, PROBE);
    }
    strip(&mut announced);
    let mut allowed = Vec::new();
    for (name, value) in &announced {
        if value == PROBE && !NEVER.contains(name) {
            allowed.push(name.as_str());
        }
    }
    match HeaderValue::try_from(allowed.join(", ")) {
        Ok(value) if !value.is_empty() => drop(headers.insert(TRAILER, value)),
        _ => drop(headers.remove(TRAILER)),
    }
}

fn names(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    headers
        .get_all(TRAILER)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
}

const PROBE: HeaderValue = HeaderValue::from_static("announced");
static NEVER: [HeaderName; 15] = [
    AUTHORIZATION,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    COOKIE,
    EXPECT,
    HOST,
    PROXY_AUTHORIZATION,
    TE,
    TRACEPARENT,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_head_is_stripped_of_does_not_come_back_as_a_trailer() {
        let mut headers = HeaderMap::new();
        headers.append(TRAILER, HeaderValue::from_static("X-Sum, X-Api-Key,Host"));
        headers.append(TRAILER, HeaderValue::from_static("x-consumer-key"));
        restrict(&mut headers, |announced| {
            announced.remove("x-consumer-key");
            announced.insert("x-api-key", HeaderValue::from_static("ours"));
        });
        assert_eq!(headers[TRAILER], "x-sum");
    }

    #[test]
    fn where_none_may_go_on_none_is_announced() {
        let mut headers = HeaderMap::new();
        headers.append(TRAILER, HeaderValue::from_static("authorization, cookie"));
        restrict(&mut headers, |_| {});
        assert!(headers.is_empty());
    }
}
