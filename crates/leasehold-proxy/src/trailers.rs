use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    COOKIE, EXPECT, FORWARDED, HOST, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use leasehold_model::is_header_alias;

use crate::trace::{TRACEPARENT, TRACESTATE};

/// Cuts the list of trailers that a request announces down to those that may go on; what is not
/// announced is not sent.
///
/// A server may merge trailers into the head. What the head is stripped of must not come back that
/// way, so `strip` is tried on each announced name: a name that it removes or fills goes no further,
/// nor does one on which framing, routing or authentication depends, under whatever alias.
pub(crate) fn restrict(headers: &mut HeaderMap, strip: impl FnOnce(&mut HeaderMap)) {
    if !headers.contains_key(TRAILER) {
        return;
    }
    let allowed = allowed(headers, strip).and_then(|it| HeaderValue::try_from(it).ok());
    match allowed {
        Some(value) if !value.is_empty() => drop(headers.insert(TRAILER, value)),
        _ => drop(headers.remove(TRAILER)),
    }
}

/// Returns the names that may go on; `None` where there are too many to look at.
fn allowed(headers: &HeaderMap, strip: impl FnOnce(&mut HeaderMap)) -> Option<String> {
    // Told from what `strip` fills in by where it lies: a value may be the same by chance.
    let probe = Bytes::from(PROBE.to_vec());
    let value = HeaderValue::from_maybe_shared(probe.clone()).ok()?;
    let mut announced = HeaderMap::new();
    for (number, name) in names(headers).enumerate() {
        if number == MOST_NAMES {
            return None;
        }
        if let Ok(name) = HeaderName::from_bytes(name.trim_ascii()) {
            announced.insert(name, value.clone());
        }
    }
    strip(&mut announced);
    let mut allowed = Vec::new();
    for (name, value) in &announced {
        if value.as_bytes().as_ptr() == probe.as_ptr() && !is_never(name.as_str()) {
            allowed.push(name.as_str());
        }
    }
    Some(allowed.join(", "))
}

fn names(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let lists = headers.get_all(TRAILER).iter();
    lists.flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
}

fn is_never(name: &str) -> bool {
    let forwarded = name
        .get(..FORWARDED_BY.len())
        .is_some_and(|start| is_header_alias(start, FORWARDED_BY));
    let mut never = NEVER.iter();
    forwarded || never.any(|meant| is_header_alias(name, meant.as_str()))
}

/// More than anybody announces in earnest.
const MOST_NAMES: usize = 64;
const PROBE: &[u8] = b"announced";
const FORWARDED_BY: &str = "x-forwarded-";
static NEVER: [HeaderName; 17] = [
    AUTHORIZATION,
    CONNECTION,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    COOKIE,
    EXPECT,
    FORWARDED,
    HOST,
    PROXY_AUTHORIZATION,
    TE,
    TRACEPARENT,
    TRACESTATE,
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
    fn an_alias_of_what_never_goes_on_does_not_either() {
        let names = "X-Sum, Content_Length, transfer.encoding, tracestate, Forwarded, \
                     X-Forwarded-For, x_forwarded_host, Proxy_Authorization";
        let mut headers = HeaderMap::new();
        headers.append(TRAILER, HeaderValue::from_static(names));
        restrict(&mut headers, |_| {});
        assert_eq!(headers[TRAILER], "x-sum");
    }

    #[test]
    fn a_credential_that_reads_like_the_probe_is_not_taken_for_it() {
        let mut headers = HeaderMap::new();
        headers.append(TRAILER, HeaderValue::from_static("x-api-key"));
        restrict(&mut headers, |announced| {
            let ours = HeaderValue::from_bytes(PROBE).expect("a header value");
            announced.insert("x-api-key", ours);
        });
        assert!(headers.is_empty());
    }

    #[test]
    fn of_too_many_names_none_goes_on() {
        for (count, goes_on) in [(64, true), (65, false)] {
            let names: Vec<_> = (0..count).map(|number| format!("x-{number}")).collect();
            let names = names.join(",").parse().expect("a header value");
            let mut headers = HeaderMap::from_iter([(TRAILER, names)]);
            restrict(&mut headers, |_| {});
            assert_eq!(headers.contains_key(TRAILER), goes_on, "{count}");
        }
    }

    #[test]
    fn where_none_may_go_on_none_is_announced() {
        let mut headers = HeaderMap::new();
        headers.append(TRAILER, HeaderValue::from_static("authorization, cookie"));
        restrict(&mut headers, |_| {});
        assert!(headers.is_empty());
    }
}
