use std::fmt;

use bytes::Bytes;
use http::Uri;
use http::uri::PathAndQuery;
use zeroize::Zeroizing;

use crate::TargetError;
use crate::alias::Alias;
use crate::template::{Text, percent};

/// A credential as a parameter of the query.
pub(crate) struct Query {
    alias: Alias,
    /// Name and value, as they stand there.
    pair: Text,
}

impl Query {
    pub(crate) fn new(name: &str, value: &[u8]) -> Self {
        let value = percent(value);
        let mut pair = Zeroizing::new(Vec::with_capacity(name.len() + 1 + value.len()));
        pair.extend_from_slice(name.as_bytes());
        pair.push(b'=');
        pair.extend_from_slice(&value);
        Self {
            alias: Alias::of(name),
            pair,
        }
    }

    /// Returns the target with the credential instead of what reads as its parameter.
    ///
    /// It comes first: servers that read so many parameters and no more can't be kept from it by many
    /// others.
    pub(crate) fn place(&self, target: &Uri) -> Result<Uri, TargetError> {
        if !target.path().starts_with('/') {
            return Err(TargetError::NoQuery);
        }
        let (path, sent) = (target.path().as_bytes(), target.query());
        // It may hold another credential, so it is wiped, and has its full size from the start.
        let mut kept = Zeroizing::new(Vec::with_capacity(sent.map_or(0, str::len)));
        if let Some(sent) = sent {
            self.alias.strip(sent.as_bytes(), ENDS, &mut kept);
        }
        // Requests have a copy each, and it is wiped when the last part of it is dropped.
        let len = path.len() + self.pair.len() + kept.len() + 2;
        let mut text = Zeroizing::new(Vec::with_capacity(len));
        text.extend_from_slice(path);
        text.push(b'?');
        text.extend_from_slice(&self.pair);
        if !kept.is_empty() {
            text.push(b'&');
            text.extend_from_slice(&kept);
        }
        let whole = PathAndQuery::from_maybe_shared(Bytes::from_owner(text));
        whole.map(Uri::from).map_err(|_hidden| TargetError::TooLong)
    }
}

/// The second is read as an end by older servers.
const ENDS: &[u8] = b"&;";

impl fmt::Debug for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Query").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_query_stays_byte_by_byte() {
        for (sent, placed) in [
            ("/a", "/a?key=s%26%20%C2%A3"),
            ("/a?", "/a?key=s%26%20%C2%A3"),
            (
                "/a?b=%2f&&c=+;d&%zz",
                "/a?key=s%26%20%C2%A3&b=%2f&&c=+;d&%zz",
            ),
            ("/a?key=1&KEY[]=2&x=1;k%65y=3", "/a?key=s%26%20%C2%A3&x=1"),
        ] {
            let target = query()
                .place(&sent.parse().expect("a target"))
                .expect("placed");
            assert_eq!(target.to_string(), placed);
            let again = Query::new("key", b"other").place(&target).expect("placed");
            assert_eq!(again.to_string(), placed.replace("s%26%20%C2%A3", "other"));
        }
    }

    #[test]
    fn what_has_no_query_or_no_room_for_it_is_refused() {
        let place = |target: &str| query().place(&target.parse().expect("a target"));
        assert_eq!(place("*"), Err(TargetError::NoQuery));
        let long = format!("/{}", "a".repeat(65_530));
        assert_eq!(place(&long), Err(TargetError::TooLong));
    }

    #[test]
    fn debug_shows_no_value() {
        let text = format!("{:?}", Query::new("key", b"canary"));
        assert!(!text.contains("canary"), "{text}");
    }

    fn query() -> Query {
        Query::new("key", "s& £".as_bytes())
    }
}
