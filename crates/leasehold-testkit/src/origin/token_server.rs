use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use hyper::{Method, Request, Response};
use parking_lot::Mutex;
use reqwest::Url;
use serde_json::json;
use tokio::time::Instant;

use super::{Handler, Origin, answer};

/// An OAuth 2.0 authorization server for the client `gateway`, and the service that its tokens are for.
///
/// `POST /token` authenticates the client as RFC 6749 section 2.3.1 says, by `client_secret_basic` or
/// `client_secret_post`, and issues a token. Every other request is answered 200 where it shows a token
/// that has not run out and was asked for with a secret that is still accepted, and 401 otherwise.
#[derive(Clone, Debug)]
pub struct TokenServer(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    secrets: BTreeSet<String>,
    life: Duration,
    tokens: BTreeMap<String, Token>,
    refused: usize,
    down: Option<u16>,
}

#[derive(Debug)]
struct Token {
    secret: String,
    issued: Instant,
    shown: usize,
    form: BTreeMap<String, String>,
}

/// A token that was issued.
#[derive(Clone, Debug)]
pub struct IssuedToken {
    /// Its value.
    pub value: String,
    /// The client's secret that it was asked for with.
    pub secret: String,
    /// How often it was shown.
    pub shown: usize,
    /// The form that it was asked for with.
    pub form: BTreeMap<String, String>,
}

impl TokenServer {
    /// Makes a server whose tokens live for `life`, which is in whole seconds.
    #[must_use]
    pub fn new(life: Duration) -> Self {
        Self(Arc::new(Mutex::new(State {
            secrets: BTreeSet::new(),
            life,
            tokens: BTreeMap::new(),
            refused: 0,
            down: None,
        })))
    }

    /// Starts it.
    ///
    /// # Errors
    ///
    /// When no port can be listened on.
    pub async fn start(&self) -> Result<Origin<Self>> {
        Origin::serve(self.clone()).await
    }

    /// Accepts a secret from now on.
    pub fn accept(&self, secret: &str) {
        self.0.lock().secrets.insert(secret.to_owned());
    }

    /// Accepts a secret no longer, nor what was issued for it.
    pub fn refuse(&self, secret: &str) {
        self.0.lock().secrets.remove(secret);
    }

    /// Answers requests for tokens with this status, or again as it should.
    pub fn fail_with(&self, status: Option<u16>) {
        self.0.lock().down = status;
    }

    /// Ends every token that has been issued.
    pub fn forget_tokens(&self) {
        self.0.lock().tokens.clear();
    }

    /// Returns how many requests for tokens were refused.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.0.lock().refused
    }

    /// Returns every token that was issued and not ended.
    #[must_use]
    pub fn issued(&self) -> Vec<IssuedToken> {
        let state = self.0.lock();
        let tokens = state.tokens.iter();
        tokens
            .map(|(value, token)| IssuedToken {
                value: value.clone(),
                secret: token.secret.clone(),
                shown: token.shown,
                form: token.form.clone(),
            })
            .collect()
    }
}

impl Handler for TokenServer {
    async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        let mut state = self.0.lock();
        if request.uri().path() == "/token" {
            return state.token(&request);
        }
        if state.admits(&request) {
            answer::json(200, &json!({ "accepted": true }))
        } else {
            answer::json(401, &json!({ "accepted": false }))
        }
    }
}

impl State {
    fn token(&mut self, request: &Request<Bytes>) -> Response<Full<Bytes>> {
        if let Some(status) = self.down {
            return answer::json(status, &json!({ "error": "server_error" }));
        }
        match self.issue(request) {
            Ok(body) => answer::json(200, &body),
            Err((status, code)) => {
                self.refused += 1;
                answer::json(status, &json!({ "error": code }))
            }
        }
    }

    fn issue(
        &mut self,
        request: &Request<Bytes>,
    ) -> Result<serde_json::Value, (u16, &'static str)> {
        let kind = request.headers().get(CONTENT_TYPE);
        let is_form = kind.is_some_and(|it| it == "application/x-www-form-urlencoded");
        if request.method() != Method::POST || !is_form {
            return Err((400, "invalid_request"));
        }
        let mut form = BTreeMap::new();
        for (name, value) in pairs(&String::from_utf8_lossy(request.body())) {
            if form.insert(name, value).is_some() {
                return Err((400, "invalid_request"));
            }
        }
        let header = request.headers().get(AUTHORIZATION);
        let in_form = form.remove("client_secret");
        let (id, secret) = match (header, in_form) {
            (Some(header), None) => basic(header.as_bytes()).ok_or((401, "invalid_client"))?,
            (None, Some(secret)) => (form.remove("client_id").unwrap_or_default(), secret),
            _ => return Err((400, "invalid_request")),
        };
        if id != "gateway" || !self.secrets.contains(&secret) {
            return Err((401, "invalid_client"));
        }
        if form.get("grant_type").map(String::as_str) != Some("client_credentials") {
            return Err((400, "unsupported_grant_type"));
        }
        if form.get("scope").is_some_and(|it| it == "forbidden") {
            return Err((400, "invalid_scope"));
        }
        let value = crate::secret().map_err(|_no_random| (500, "server_error"))?;
        let life = self.life.as_secs();
        let body = json!({ "access_token": value, "token_type": "Bearer", "expires_in": life });
        let token = Token {
            secret,
            issued: Instant::now(),
            shown: 0,
            form,
        };
        self.tokens.insert(value, token);
        Ok(body)
    }

    fn admits(&mut self, request: &Request<Bytes>) -> bool {
        let shown = request.headers().get(AUTHORIZATION);
        let shown = shown.and_then(|it| it.to_str().ok()?.strip_prefix("Bearer "));
        let Some(token) = shown.and_then(|it| self.tokens.get_mut(it)) else {
            return false;
        };
        token.shown += 1;
        token.issued.elapsed() < self.life && self.secrets.contains(&token.secret)
    }
}

/// Reads `Basic`, whose parts are encoded as in a form.
fn basic(header: &[u8]) -> Option<(String, String)> {
    let encoded = header.strip_prefix(b"Basic ")?;
    let pair = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    let text = |it: &str| pairs(&format!("x={it}")).pop().map(|(_, value)| value);
    Some((text(id)?, text(secret)?))
}

fn pairs(form: &str) -> Vec<(String, String)> {
    let Ok(mut url) = Url::parse("http://localhost/") else {
        return Vec::new();
    };
    url.set_query(Some(form));
    let pairs = url.query_pairs();
    pairs
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}
