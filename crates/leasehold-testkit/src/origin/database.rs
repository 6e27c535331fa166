use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::AUTHORIZATION;
use hyper::{Request, Response};
use parking_lot::Mutex;
use serde_json::json;
use tokio_postgres::error::SqlState;

use super::{Handler, Origin, answer};
use crate::{Login, Postgres};

/// Logs in to PostgreSQL with each request's own user name and password: a real connection each, and
/// one query on it.
///
/// It answers 200 with `{"user"}`, 401 where PostgreSQL refuses the user, and 503 where PostgreSQL
/// does not serve.
#[derive(Debug)]
pub struct Database {
    login: Login,
    hold: Duration,
    pairs: Mutex<BTreeSet<(String, String)>>,
    accepted: AtomicUsize,
    refused: AtomicUsize,
}

impl Origin<Database> {
    /// Starts an origin that knows the users of `postgres`.
    ///
    /// # Errors
    ///
    /// When no port can be listened on.
    pub async fn database(postgres: &Postgres) -> Result<Self> {
        Self::database_held(postgres, Duration::ZERO).await
    }

    /// As [`Origin::database`], with the connection held for as long and a query again at its end.
    ///
    /// # Errors
    ///
    /// As [`Origin::database`].
    pub async fn database_held(postgres: &Postgres, hold: Duration) -> Result<Self> {
        Self::serve(Database {
            login: postgres.login(),
            hold,
            pairs: Mutex::default(),
            accepted: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        })
        .await
    }

    /// Returns every pair of user name and password seen, refused ones included.
    #[must_use]
    pub fn pairs(&self) -> BTreeSet<(String, String)> {
        self.handler().pairs.lock().clone()
    }

    /// Returns how many requests were answered 200.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.handler().accepted.load(Ordering::Relaxed)
    }

    /// Returns how many requests were answered otherwise.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.handler().refused.load(Ordering::Relaxed)
    }
}

// === impl Database ===

impl Handler for Database {
    async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        let (status, body) = match basic(&request) {
            None => (401, json!({ "error": "no basic authorization" })),
            Some((user, password)) => self.log_in(user, password).await,
        };
        let counter = if status == 200 {
            &self.accepted
        } else {
            &self.refused
        };
        counter.fetch_add(1, Ordering::Relaxed);
        answer::json(status, &body)
    }
}

impl Database {
    async fn log_in(&self, user: String, password: String) -> (u16, serde_json::Value) {
        let outcome = self.query(&user, &password).await;
        self.pairs.lock().insert((user, password));
        match outcome {
            Ok(user) => (200, json!({ "user": user })),
            Err(error) => {
                let status = if is_refusal(&error) { 401 } else { 503 };
                (status, json!({ "error": error.to_string() }))
            }
        }
    }

    async fn query(&self, user: &str, password: &str) -> Result<String, tokio_postgres::Error> {
        let database = Postgres::DATABASE;
        let client = self.login.connect(user, password, database).await?;
        let mut row = client.query_one(QUERY, &[]).await?;
        if !self.hold.is_zero() {
            tokio::time::sleep(self.hold).await;
            row = client.query_one(QUERY, &[]).await?;
        }
        row.try_get(0)
    }
}

/// Tells whether PostgreSQL knows no such user with this password, now.
fn is_refusal(error: &tokio_postgres::Error) -> bool {
    let refusals = [
        SqlState::INVALID_PASSWORD,
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
    ];
    error.code().is_some_and(|code| refusals.contains(code))
}

fn basic(request: &Request<Bytes>) -> Option<(String, String)> {
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

const QUERY: &str = "select current_user::text from (select count(*) from t) _";
