use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};

use super::{OpenBao, READY_LIMIT};
use crate::wait;

/// What the server said to one call.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body; null where there is none.
    pub body: Value,
    headers: HeaderMap,
}

// === impl OpenBao ===

impl OpenBao {
    /// Calls `/v1/<path>` as root and returns the body.
    ///
    /// # Errors
    ///
    /// When the server is not up or answers 400 or more; the error has the answer's text.
    pub async fn api(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value> {
        let answer = self.call(&self.root_token, method, path, body).await?;
        if answer.status >= 400 {
            bail!("{method} {path}: {} {}", answer.status, answer.body);
        }
        Ok(answer.body)
    }

    /// Calls `/v1/<path>` with a token of the caller's choice and returns whatever is answered.
    ///
    /// # Errors
    ///
    /// When the server is not up or its answer is no JSON.
    pub async fn call(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<Answer> {
        self.call_with(token, method, path, &[], body).await
    }

    /// As [`OpenBao::call`], with further headers.
    ///
    /// # Errors
    ///
    /// As [`OpenBao::call`].
    pub async fn call_with(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Value>,
    ) -> Result<Answer> {
        let method_name = Method::from_bytes(method.as_bytes()).context("no HTTP method")?;
        let url = format!("{}/v1/{path}", self.address());
        let mut request = self.http.request(method_name, url);
        if !token.is_empty() {
            request = request.header("X-Vault-Token", token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body.to_string());
        }
        let response = request
            .send()
            .await
            .with_context(|| format!("{method} {path}"))?;
        Answer::read(response)
            .await
            .with_context(|| format!("{method} {path}"))
    }

    /// Writes a secret to a KV v2 mount and returns its new version.
    ///
    /// A mount that was made a moment ago answers 400 until it has upgraded itself; that is waited
    /// for.
    ///
    /// # Errors
    ///
    /// When the write is refused for another reason.
    pub async fn kv_put(&self, mount: &str, path: &str, data: Value) -> Result<u64> {
        let target = format!("{mount}/data/{path}");
        let body = json!({ "data": data });
        let answer = wait::until("the KV mount to upgrade", READY_LIMIT, async || {
            let body = Some(body.clone());
            let answer = self.call(&self.root_token, "POST", &target, body).await?;
            let upgrading = answer.status == 400 && answer.text().contains("Upgrading");
            Ok((!upgrading).then_some(answer))
        })
        .await?;
        ensure!(answer.status == 200, "POST {target}: {}", answer.text());
        let version = answer.body.pointer("/data/version").and_then(Value::as_u64);
        version.context("the answer has no version")
    }
}

// === impl Answer ===

impl Answer {
    async fn read(response: Response) -> Result<Self> {
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let bytes = response.bytes().await.context("read the body")?;
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).context("no JSON")?
        };
        Ok(Self {
            status,
            body,
            headers,
        })
    }

    /// Returns a header, where it is there and text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the text that stands at a JSON pointer.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Option<&str> {
        self.body.pointer(pointer)?.as_str()
    }

    /// Returns the body as text, to look for an error's words in.
    #[must_use]
    pub fn text(&self) -> String {
        self.body.to_string()
    }
}

pub(super) fn client() -> Result<Client> {
    Client::builder()
        .no_proxy()
        .timeout(CALL_LIMIT)
        .build()
        .context("make an HTTP client")
}

const CALL_LIMIT: Duration = Duration::from_secs(30);
