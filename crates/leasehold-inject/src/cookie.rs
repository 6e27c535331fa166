use bytes::Bytes;
use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use crate::alias::Alias;
use crate::prepare::ready;
use crate::template::Text;
use crate::{Fault, PrepareError};

/// A credential as a cookie.
#[derive(Debug)]
pub(crate) struct Cookie {
    alias: Alias,
    /// Name and value, as they stand in the header; marked sensitive, so that `Debug` shows nothing.
    pair: HeaderValue,
}

impl Cookie {
    pub(crate) fn new(name: &str, value: &Text) -> Result<Self, PrepareError> {
        if !value.iter().all(|byte| is_cookie_octet(*byte)) {
            return Err(PrepareError::UnfitText {
                place: name.to_owned(),
                fault: Fault::NotACookie,
            });
        }
        let mut pair = Zeroizing::new(Vec::with_capacity(name.len() + 1 + value.len()));
        pair.extend_from_slice(name.as_bytes());
        pair.push(b'=');
        pair.extend_from_slice(value);
        Ok(Self {
            alias: Alias::of(name),
            pair: ready(&COOKIE, pair)?,
        })
    }

    /// Puts the credential in the place of every cookie that reads as it. The others follow it in one
    /// header, so that none of them, such as one with an open quote, can swallow it.
    pub(crate) fn place(&self, headers: &mut HeaderMap) {
        let lengths = headers.get_all(COOKIE).iter().map(|it| it.len() + 2);
        // They may hold another credential, so they are wiped, and have their full size from the start.
        let mut kept = Zeroizing::new(Vec::with_capacity(lengths.sum()));
        for sent in headers.get_all(COOKIE) {
            let before = kept.len();
            if before > 0 {
                kept.extend_from_slice(b"; ");
            }
            let from = kept.len();
            self.alias.strip(sent.as_bytes(), ENDS, &mut kept);
            let rest = kept.get(from..).unwrap_or_default();
            let blank = rest.len() - rest.trim_ascii_start().len();
            kept.drain(from..from + blank);
            if kept.len() == from {
                kept.truncate(before);
            }
        }
        headers.insert(COOKIE, self.before(&kept));
    }

    fn before(&self, others: &[u8]) -> HeaderValue {
        if others.is_empty() {
            return self.pair.clone();
        }
        // Each request with cookies has a copy of its own, which is wiped with its last part.
        let pair = self.pair.as_bytes();
        let mut text = Zeroizing::new(Vec::with_capacity(pair.len() + 2 + others.len()));
        text.extend_from_slice(pair);
        text.extend_from_slice(b"; ");
        text.extend_from_slice(others);
        // What is kept are parts of header values, which any of them may hold.
        let whole = HeaderValue::from_maybe_shared(Bytes::from_owner(text));
        let mut whole = whole.unwrap_or_else(|_never| self.pair.clone());
        whole.set_sensitive(true);
        whole
    }
}

/// As RFC 6265, section 4.1.1.
const fn is_cookie_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'"' | b',' | b';' | b'\\')
}

/// The second is read as an end by servers that follow RFC 2965.
const ENDS: &[u8] = b";,";

/// The header that cookies stand in.
pub(crate) static HEADER: HeaderName = COOKIE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_cookies_stay_byte_by_byte() {
        for (sent, placed) in [
            (&[][..], "session=ours"),
            (&["session=theirs"], "session=ours"),
            (
                &["a=1; b=\"x\"; c=%20"],
                "session=ours; a=1; b=\"x\"; c=%20",
            ),
            (&["a=1; session=theirs; b=2"], "session=ours; a=1; b=2"),
            (
                &["session=1; a=1;Session=2;  \"session\"=3"],
                "session=ours; a=1",
            ),
            (
                &["session=1", "a=1", "session", "b=2"],
                "session=ours; a=1; b=2",
            ),
            (&["a=1,session=2"], "session=ours; a=1"),
            (&["a=\"x; session=2"], "session=ours; a=\"x"),
            (&["=session=2; a=1"], "session=ours; a=1"),
            (
                &["sessions=2;a=session"],
                "session=ours; sessions=2;a=session",
            ),
        ] {
            let mut headers = HeaderMap::new();
            for value in sent {
                headers.append(COOKIE, HeaderValue::from_static(value));
            }
            for _ in 0..2 {
                cookie("ours").expect("fit").place(&mut headers);
                let all: Vec<_> = headers.get_all(COOKIE).iter().collect();
                assert_eq!(all, [placed]);
                assert!(all.iter().all(|it| it.is_sensitive()));
            }
        }
    }

    #[test]
    fn a_value_that_no_cookie_can_hold_is_refused_and_not_shown() {
        for value in [
            "canary;",
            "canary,",
            "can ary",
            "\"canary\"",
            "canary\\",
            "canaryé",
        ] {
            let error = cookie(value).expect_err("refused");
            let told = format!("{error} {error:?}");
            assert!(
                told.contains("encode") && !told.contains("canary"),
                "{told}"
            );
        }
        assert!(!format!("{:?}", cookie("canary")).contains("canary"));
    }

    fn cookie(value: &str) -> Result<Cookie, PrepareError> {
        Cookie::new("session", &Zeroizing::new(value.as_bytes().to_vec()))
    }
}
