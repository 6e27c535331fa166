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
/// A server may merge trailers into the head. What the head is stripped of or what is placed there
/// must not come in that way, so no alias of `ours` goes further, nor does a name on which framing,
/// routing or authentication depends.
pub(crate) fn restrict<'a>(
    headers: &mut HeaderMap,
    ours: &'a [HeaderName],
    places: impl Iterator<Item = &'a HeaderName>,
) {
    if !headers.contains_key(TRAILER) {
        return;
    }
    let ours: Vec<_> = ours.iter().chain(places).collect();
    let allowed = allowed(headers, &ours).and_then(|it| HeaderValue::try_from(it).ok());
    match allowed {
        Some(value) if !value.is_empty() => drop(headers.insert(TRAILER, value)),
        _ => drop(headers.remove(TRAILER)),
    }
}

/// Returns the names that may go on; `None` where there are too many to look at.
fn allowed(headers: &HeaderMap, ours: &[&HeaderName]) -> Option<String> {
    let mut allowed: Vec<HeaderName> = Vec::new();
    for (number, name) in names(headers).enumerate() {
        if number == MOST_NAMES {
            return None;
        }
        let Ok(name) = HeaderName::from_bytes(name.trim_ascii()) else {
            continue;
        };
        let is_ours = |it: &&HeaderName| is_header_alias(name.as_str(), it.as_str());
        if !ours.iter().any(is_ours) && !is_never(name.as_str()) && !allowed.contains(&name) {
            allowed.push(name);
        }
    }
    let allowed: Vec<_> = allowed.iter().map(HeaderName::as_str).collect();
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
    use std::iter;

    use super::*;

    #[test]
    fn what_the_head_is_stripped_of_does_not_come_back_as_a_trailer() {
        let mut headers = HeaderMap::new();
        headers.append(TRAILER, HeaderValue::from_static("X-Sum, X-Api-Key,Host"));
        headers.append(TRAILER, HeaderValue::from_static("x-consumer-key"));
        let ours = ["x-consumer-key", "x-api-key"].map(HeaderName::from_static);
        restrict(&mut headers, &ours, iter::empty());
        assert_eq!(headers[TRAILER], "x-sum");
    }

    #[test]
    fn an_alias_of_what_never_goes_on_does_not_either() {
        let names = "X-Sum, Content_Length, transfer.encoding, tracestate, Forwarded, \
                     X-Forwarded-For, x_forwarded_host, Proxy_Authorization";
        let mut headers = HeaderMap::new();
        headers.append(TRAILER, HeaderValue::from_static(names));
        restrict(&mut headers, &[], iter::empty());
        assert_eq!(headers[TRAILER], "x-sum");
    }

    #[test]
    fn an_alias_of_the_place_of_a_credential_goes_no_further() {
        let mut headers = HeaderMap::new();
        headers.append(TRAILER, HeaderValue::from_static("x-api-key, X_Api.Key"));
        restrict(
            &mut headers,
            &[],
            iter::once(&HeaderName::from_static("x-api-key")),
        );
        assert!(headers.is_empty());
    }

    #[test]
    fn of_too_many_names_none_goes_on() {
        for (count, goes_on) in [(64, true), (65, false)] {
            let names: Vec<_> = (0..count).map(|number| format!("x-{number}")).collect();
            let names = names.join(",").parse().expect("a header value");
            let mut headers = HeaderMap::from_iter([(TRAILER, names)]);
            restrict(&mut headers, &[], iter::empty());
            assert_eq!(headers.contains_key(TRAILER), goes_on, "{count}");
        }
    }

    #[test]
    fn where_none_may_go_on_none_is_announced() {
        let mut headers = HeaderMap::new();
        headers.append(TRAILER, HeaderValue::from_static("authorization, cookie"));
        restrict(&mut headers, &[], iter::empty());
        assert!(headers.is_empty());
    }
}
