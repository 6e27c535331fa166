//! What upstreams are told about who calls.

use http::{HeaderMap, HeaderName, HeaderValue};
use leasehold_consumer::{Caller, Means};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

/// The headers in which upstreams read who calls. Whatever a caller sends in them is taken away first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdentityHeaders {
    /// Holds the consumer's name.
    pub consumer: Option<HeaderName>,
    /// Holds the subject of the token.
    pub subject: Option<HeaderName>,
    /// Holds the name of the token's issuer.
    pub issuer: Option<HeaderName>,
    /// Holds what the consumer may do, with a space between each two scopes.
    pub scopes: Option<HeaderName>,
    /// Holds `key`, `token` or `certificate`.
    pub authenticated_by: Option<HeaderName>,
}

impl IdentityHeaders {
    /// Returns the headers that there are.
    pub(crate) fn names(&self) -> impl Iterator<Item = &HeaderName> {
        let all = [
            &self.consumer,
            &self.subject,
            &self.issuer,
            &self.scopes,
            &self.authenticated_by,
        ];
        all.into_iter().flatten()
    }

    /// Tells the upstream who calls, in a head without any of these headers. Of what there is nothing to
    /// tell there is no header.
    pub(crate) fn tell(&self, caller: Option<&Caller>, headers: &mut HeaderMap) {
        let Some(caller) = caller else {
            return;
        };
        let mut tell = |name: &Option<HeaderName>, text: &str| {
            if let (Some(name), Some(value)) = (name, value(text)) {
                headers.insert(name, value);
            }
        };
        tell(&self.consumer, caller.consumer.as_str());
        tell(&self.authenticated_by, caller.by.as_str());
        tell(&self.scopes, &caller.scopes.join(" "));
        if let Means::Token {
            issuer, subject, ..
        } = &caller.by
        {
            tell(&self.issuer, issuer.as_str());
            tell(&self.subject, subject.as_deref().unwrap_or_default());
        }
    }
}

/// Makes a header's value of a text; `None` where it is empty.
///
/// An issuer may let people choose what is in their tokens. What is no visible ASCII is percent-encoded,
/// and so is the percent sign, so that two texts never become one.
fn value(text: &str) -> Option<HeaderValue> {
    let encoded = utf8_percent_encode(text, ENCODED).to_string();
    let value = encoded.parse().ok();
    value.filter(|value: &HeaderValue| !value.is_empty())
}

/// A comma would make two values of one for those who read lists.
const ENCODED: &AsciiSet = &CONTROLS.add(b'%').add(b',');

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_is_chosen_by_others_can_not_break_a_header() {
        for (text, written) in [
            ("plain-1@example", "plain-1@example"),
            ("a\r\nx-admin: 1", "a%0D%0Ax-admin: 1"),
            ("100%", "100%25"),
            ("a,b", "a%2Cb"),
            ("\u{e9}\0\u{7f}", "%C3%A9%00%7F"),
        ] {
            assert_eq!(value(text).expect("a value"), written, "{text:?}");
        }
        assert_eq!(value(""), None);
    }

    #[test]
    fn of_what_there_is_nothing_to_tell_there_is_no_header() {
        let name = |name| Some(HeaderName::from_static(name));
        let identity = IdentityHeaders {
            consumer: name("x-consumer"),
            subject: name("x-subject"),
            issuer: name("x-issuer"),
            scopes: name("x-scopes"),
            authenticated_by: name("x-by"),
        };
        let mut headers = HeaderMap::new();
        identity.tell(None, &mut headers);
        assert!(headers.is_empty());
        let caller = Caller {
            consumer: "checkout".into(),
            by: Means::Key,
            scopes: Arc::from([]),
        };
        identity.tell(Some(&caller), &mut headers);
        assert_eq!(headers.len(), 2, "{headers:?}");
        assert_eq!(headers["x-consumer"], "checkout");
        assert_eq!(headers["x-by"], "key");
    }
}
