use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use leasehold_model::SessionEpoch;
use leasehold_provider::ProviderError;
use leasehold_secret::{Expose as _, Secret};
use parking_lot::Mutex;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use crate::call::Call;
use crate::client::{Answer, Client};

/// Our logins, each under the number that the engine gave it.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    tokens: Tokens<SessionEpoch>,
    clients: Mutex<BTreeMap<SessionEpoch, Arc<Client>>>,
}

/// How a call in a session goes out.
#[derive(Debug)]
pub(crate) struct Line {
    /// The header that the call carries.
    pub(crate) token: HeaderValue,
    /// The client whose connections it goes over: a session that was opened with a client
    /// certificate is prolonged only over a connection that shows the same one.
    pub(crate) client: Arc<Client>,
}

impl Line {
    /// Makes a call; whatever is not a success is an error.
    pub(crate) async fn exchange(&self, call: &Call) -> Result<Answer, ProviderError> {
        self.client.exchange(call, Some(&self.token)).await
    }
}

impl Sessions {
    pub(crate) fn open(&self, epoch: SessionEpoch, token: Secret, client: Arc<Client>) {
        self.clients.lock().insert(epoch, client);
        self.tokens.open(epoch, token);
    }

    /// Returns how a call in the session goes out; none where there is no live session.
    pub(crate) fn line(&self, epoch: SessionEpoch) -> Option<Line> {
        let token = self.tokens.header(epoch)?;
        let client = self.clients.lock().get(&epoch).map(Arc::clone)?;
        Some(Line { token, client })
    }

    /// Drops the token of a session that turned out to be dead.
    pub(crate) fn bury(&self, epoch: SessionEpoch) {
        self.tokens.bury(epoch);
    }

    /// Forgets a session; `false` where there is none.
    pub(crate) fn close(&self, epoch: SessionEpoch) -> bool {
        self.clients.lock().remove(&epoch);
        self.tokens.close(epoch)
    }
}

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
    use leasehold_model::{InstanceName, ProviderName};

    use super::*;
    use crate::config::VaultConfig;
    use crate::config::auth::{AuthMethod, TokenFile};

    fn client() -> Arc<Client> {
        let config = VaultConfig {
            name: ProviderName::from("vault"),
            addresses: vec!["http://127.0.0.1:8200".parse().expect("a url")],
            namespace: None,
            ca: None,
            instance: InstanceName::from("edge-1"),
            token_role: None,
            auth: AuthMethod::Jwt(TokenFile {
                mount: "jwt".to_owned(),
                role: "gateway".to_owned(),
                file: "token".into(),
            }),
        };
        Arc::new(Client::new(&config).expect("a client"))
    }

    #[test]
    fn a_session_has_a_line_until_it_is_dead_and_is_known_until_it_is_closed() {
        let sessions = Sessions::default();
        let first = SessionEpoch::FIRST;
        sessions.open(first, Secret::new("canary-token"), client());
        assert_eq!(sessions.line(first).expect("a line").token, "canary-token");
        assert!(sessions.line(first.next()).is_none());
        sessions.bury(first);
        assert!(sessions.line(first).is_none());
        assert!(sessions.close(first));
        assert!(!sessions.close(first));
    }

    #[test]
    fn nothing_that_prints_shows_the_token() {
        let sessions = Sessions::default();
        sessions.open(SessionEpoch::FIRST, Secret::new("canary-token"), client());
        let line = sessions.line(SessionEpoch::FIRST);
        assert!(!format!("{sessions:?} {line:?}").contains("canary"));
    }

    #[test]
    fn a_token_that_would_break_the_header_is_none() {
        assert!(header(&Secret::new("a\r\nb")).is_none());
        assert!(header(&Secret::new("")).is_none());
    }
}
