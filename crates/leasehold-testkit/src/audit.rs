use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::origin::{self, Handler, Origin};

/// Reads the entries of an audit file, in the order in which they were written.
///
/// # Errors
///
/// When the file can't be read or a line is no entry.
pub fn audit_entries(file: &Path) -> Result<Vec<Value>> {
    let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
    // The last line may be in the middle of being written.
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("no entry: {line}")))
        .collect()
}

/// Stands where the receiver of an `http` audit device does, and can be made to refuse answers.
///
/// OpenBao posts one entry before it carries a request out and one before it answers.
#[derive(Debug, Default)]
pub struct AuditReceiver {
    refuses_responses: AtomicBool,
    entries: Mutex<Vec<Value>>,
}

// === impl AuditReceiver ===

impl AuditReceiver {
    /// Starts a receiver that takes everything.
    ///
    /// # Errors
    ///
    /// When no port can be listened on.
    pub async fn start() -> Result<Origin<Self>> {
        Origin::serve(Self::default()).await
    }

    /// Sets whether entries about answers are refused; those about requests are taken all the same.
    pub fn refuse_responses(&self, refuse: bool) {
        self.refuses_responses.store(refuse, Ordering::SeqCst);
    }

    /// Returns the entries so far, refused ones too.
    pub fn entries(&self) -> Vec<Value> {
        self.entries.lock().clone()
    }

    fn receive(&self, body: &Bytes) -> bool {
        let entry: Value = serde_json::from_slice(body).unwrap_or_default();
        let is_response = entry.get("type") == Some(&json!("response"));
        self.entries.lock().push(entry);
        !(is_response && self.refuses_responses.load(Ordering::SeqCst))
    }
}

impl Handler for AuditReceiver {
    async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        let status = if self.receive(request.body()) {
            200
        } else {
            500
        };
        origin::json(status, &json!({}))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_is_being_written_is_left_out_and_one_that_is_broken_is_not() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let read = |text: &str| {
            fs::write(file.path(), text).unwrap();
            audit_entries(file.path())
        };
        assert_eq!(read("{\"a\":1}\n{\"a\":").unwrap(), [json!({ "a": 1 })]);
        assert!(read("").unwrap().is_empty());
        assert!(read("{\"a\":\n").is_err());
    }
}
