use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use leasehold_model::is_header_alias;

use crate::trace::{TRACEPARENT, TRACESTATE};

/// What is changed in a head: removals first, then what is set, then what is added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Headers that are there once then.
    pub set: Vec<(HeaderName, HeaderValue)>,
    /// Headers that are there once more then.
    pub add: Vec<(HeaderName, HeaderValue)>,
    /// Headers that are not there then.
    pub remove: Vec<HeaderName>,
}

impl HeaderEdits {
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
        for (name, value) in &self.add {
            headers.append(name, value.clone());
        }
    }

    /// Returns a header that is edited and must not be: one that frames the message, says something
    /// about the connection or the trace, or that a server may take for such a one.
    pub(crate) fn offence(&self) -> Option<&HeaderName> {
        let changed = self.set.iter().chain(&self.add).map(|(name, _)| name);
        let is_taken = |name: &&HeaderName| {
            let mut reserved = RESERVED.iter();
            reserved.any(|it| is_header_alias(name.as_str(), it.as_str()))
        };
        changed.chain(&self.remove).find(is_taken)
    }
}

static RESERVED: [HeaderName; 15] = [
    CONNECTION,
    CONTENT_LENGTH,
    EXPECT,
    HOST,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("proxy-connection"),
    TE,
    TRACEPARENT,
    TRACESTATE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    VIA,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_removed_may_be_set_and_what_is_set_added_to() {
        let name = HeaderName::from_static;
        let value = HeaderValue::from_static;
        let edits = HeaderEdits {
            set: vec![(name("x-a"), value("2")), (name("x-b"), value("3"))],
            add: vec![(name("x-a"), value("4"))],
            remove: vec![name("x-a"), name("x-c")],
        };
        let mut headers = HeaderMap::new();
        headers.append("x-a", value("0"));
        headers.append("x-a", value("1"));
        headers.append("x-c", value("1"));
        edits.apply(&mut headers);
        let all: Vec<_> = headers.get_all("x-a").iter().collect();
        assert_eq!(all, ["2", "4"]);
        assert_eq!(headers["x-b"], "3");
        assert!(!headers.contains_key("x-c"));
        assert_eq!(edits.offence(), None);
    }

    #[test]
    fn the_framing_is_not_edited_by_any_name() {
        for offending in [
            "content-length",
            "transfer_encoding",
            "connection",
            "tracestate",
        ] {
            let name: HeaderName = offending.parse().expect("a name");
            let edits = HeaderEdits {
                remove: vec![name.clone()],
                ..HeaderEdits::default()
            };
            assert_eq!(edits.offence(), Some(&name));
        }
    }
}
