use http::{HeaderMap, HeaderName};
use leasehold_model::is_header_alias;

/// Removes every header that an upstream may take for `name`, however often it was sent.
pub fn strip(name: &HeaderName, headers: &mut HeaderMap) {
    // By itself, since that takes one look and is most often all there is.
    headers.remove(name);
    // One pass is the ordinary case: it finds nothing and copies nothing. A sender of many aliases
    // pays with more passes, and the server's limit on the number of headers bounds those.
    while let Some(alias) = find(name, headers) {
        headers.remove(alias);
    }
}

fn find(name: &HeaderName, headers: &HeaderMap) -> Option<HeaderName> {
    headers
        .keys()
        .find(|sent| is_header_alias(sent.as_str(), name.as_str()))
        .cloned()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn every_alias_and_every_duplicate_goes_and_nothing_else() {
        let mut headers = HeaderMap::new();
        for name in [
            "X-Api-Key",
            "x_api_key",
            "X-API_key",
            "X-Api-Key",
            "x.api.key",
        ] {
            let name = HeaderName::from_bytes(name.as_bytes()).expect("a header name");
            headers.append(name, HeaderValue::from_static("forged"));
        }
        headers.append("x-api-keys", HeaderValue::from_static("kept"));
        headers.append("accept", HeaderValue::from_static("kept"));

        strip(&HeaderName::from_static("x-api-key"), &mut headers);

        assert_eq!(headers.len(), 2, "{headers:?}");
        assert!(headers.values().all(|value| value == "kept"));
    }
}
