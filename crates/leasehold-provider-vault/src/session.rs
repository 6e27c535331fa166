use std::collections::BTreeMap;

use bytes::Bytes;
use leasehold_model::SessionEpoch;
use leasehold_secret::{Expose as _, Secret};
use parking_lot::Mutex;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

/// The tokens of our logins, each under the number that the engine gave the login.
pub(crate) type Sessions = Tokens<SessionEpoch>;

/// Tokens, each under the number that the engine gave it.
#[derive(Debug)]
pub(crate) struct Tokens<E> {
    /// What turned out to be dead has no token any more, until it is revoked.
    tokens: Mutex<BTreeMap<E, Option<Secret>>>,
}

impl<E> Default for Tokens<E> {
    fn default() -> Self {
        Self {
            tokens: Mutex::default(),
        }
    }
}

impl<E: Copy + Ord> Tokens<E> {
    pub(crate) fn open(&self, epoch: E, token: Secret) {
        self.tokens.lock().insert(epoch, Some(token));
    }

    /// Returns the header that a call with the token carries; none where there is no live one.
    pub(crate) fn header(&self, epoch: E) -> Option<HeaderValue> {
        let tokens = self.tokens.lock();
        tokens.get(&epoch).and_then(Option::as_ref).and_then(header)
    }

    /// Drops a token that turned out to be dead.
    pub(crate) fn bury(&self, epoch: E) {
        if let Some(token) = self.tokens.lock().get_mut(&epoch) {
            *token = None;
        }
    }

    /// Forgets a number; `false` where there is none.
    pub(crate) fn close(&self, epoch: E) -> bool {
        self.tokens.lock().remove(&epoch).is_some()
    }
}

/// Makes the header of a token; none where no header can carry it.
pub(crate) fn header(token: &Secret) -> Option<HeaderValue> {
    if token.is_empty() {
        return None;
    }
    // EXPOSE: the token goes out in a header of the call that it is for; the header's own copy is
    // wiped with its last holder, and `set_sensitive` keeps it out of every Debug.
    let copy = Zeroizing::new(token.expose().to_vec());
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(copy)).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_a_header_until_it_is_dead_and_is_known_until_it_is_closed() {
        let sessions = Sessions::default();
        let first = SessionEpoch::FIRST;
        sessions.open(first, Secret::new("canary-token"));
        assert_eq!(sessions.header(first).expect("a header"), "canary-token");
        assert!(sessions.header(first.next()).is_none());
        sessions.bury(first);
        assert!(sessions.header(first).is_none());
        assert!(sessions.close(first));
        assert!(!sessions.close(first));
    }

    #[test]
    fn nothing_that_prints_shows_the_token() {
        let sessions = Sessions::default();
        sessions.open(SessionEpoch::FIRST, Secret::new("canary-token"));
        let value = sessions.header(SessionEpoch::FIRST);
        assert!(!format!("{sessions:?} {value:?}").contains("canary"));
    }

    #[test]
    fn a_token_that_would_break_the_header_is_none() {
        assert!(header(&Secret::new("a\r\nb")).is_none());
        assert!(header(&Secret::new("")).is_none());
    }
}
