use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use hyper::{Request, Response};
use serde_json::json as value;

use super::{Handler, Origin, json};

/// Stands where a load balancer does: passes each request to the node that it is set to.
#[derive(Debug)]
pub struct Balancer {
    http: reqwest::Client,
    nodes: Vec<String>,
    target: AtomicUsize,
}

// === impl Balancer ===

impl Balancer {
    /// Starts a balancer before nodes with these base URLs, set to the first.
    ///
    /// # Errors
    ///
    /// When no port can be listened on.
    pub async fn start(nodes: Vec<String>) -> Result<Origin<Self>> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("make an HTTP client")?;
        let target = AtomicUsize::new(0);
        Origin::serve(Self {
            http,
            nodes,
            target,
        })
        .await
    }

    /// Sets the node that gets the requests from now on.
    pub fn set(&self, node: usize) {
        self.target.store(node, Ordering::SeqCst);
    }

    async fn pass_on(&self, request: Request<Bytes>) -> Result<Response<Full<Bytes>>> {
        let node = self.nodes.get(self.target.load(Ordering::SeqCst));
        let (mut head, body) = request.into_parts();
        head.headers.remove(HOST);
        head.headers.remove(CONTENT_LENGTH);
        let url = format!("{}{}", node.context("no such node")?, head.uri);
        let onward = self.http.request(head.method, url);
        let answer = onward.headers(head.headers).body(body).send().await?;
        let mut response = Response::new(Full::default());
        *response.status_mut() = answer.status();
        *response.headers_mut() = answer.headers().clone();
        // The body is passed on whole, whichever way it came.
        response.headers_mut().remove(TRANSFER_ENCODING);
        response.headers_mut().remove(CONTENT_LENGTH);
        *response.body_mut() = Full::from(answer.bytes().await?);
        Ok(response)
    }
}

impl Handler for Balancer {
    async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        let answer = self.pass_on(request).await;
        answer.unwrap_or_else(|error| json(502, &value!({ "error": format!("{error:#}") })))
    }
}
