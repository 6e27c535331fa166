use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};
use parking_lot::Mutex;
use serde_json::json;

use super::{Handler, Origin, answer};

/// Answers 200 to a request whose `X-Api-Key` is accepted at that moment, and 401 to any other.
#[derive(Debug)]
pub struct ApiKey {
    accepted: Arc<AcceptedKeys>,
    seen: Mutex<BTreeMap<String, usize>>,
}

/// The keys that an [`ApiKey`] origin accepts now; shared, so that a test can rotate them.
#[derive(Debug, Default)]
pub struct AcceptedKeys {
    keys: Mutex<BTreeSet<String>>,
}

impl Origin<ApiKey> {
    /// Starts an origin that accepts only the keys in `accepted`.
    ///
    /// # Errors
    ///
    /// When no port can be listened on.
    pub async fn api_key(accepted: Arc<AcceptedKeys>) -> Result<Self> {
        Self::serve(ApiKey {
            accepted,
            seen: Mutex::default(),
        })
        .await
    }

    /// Returns every value seen in `X-Api-Key` and how often; a request without one, or with
    /// several, counts under their comma-separated list.
    #[must_use]
    pub fn seen(&self) -> BTreeMap<String, usize> {
        self.handler().seen.lock().clone()
    }
}

// === impl AcceptedKeys ===

impl AcceptedKeys {
    /// Accepts `keys` and no other.
    #[must_use]
    pub fn new<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Arc<Self> {
        let accepted = Self::default();
        for key in keys {
            accepted.accept(key);
        }
        Arc::new(accepted)
    }

    /// Accepts one key more.
    pub fn accept(&self, key: impl Into<String>) {
        self.keys.lock().insert(key.into());
    }

    /// Accepts a key no longer.
    pub fn refuse(&self, key: &str) {
        self.keys.lock().remove(key);
    }

    fn has(&self, key: &str) -> bool {
        self.keys.lock().contains(key)
    }
}

// === impl ApiKey ===

impl Handler for ApiKey {
    async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        let shown: Vec<_> = request
            .headers()
            .get_all("x-api-key")
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .collect();
        let shown = shown.join(",");
        let accepted = self.accepted.has(&shown);
        *self.seen.lock().entry(shown).or_default() += 1;
        if accepted {
            answer::json(200, &json!({ "accepted": true }))
        } else {
            answer::json(401, &json!({ "accepted": false }))
        }
    }
}
