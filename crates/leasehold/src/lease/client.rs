use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio_util::task::TaskTracker;
use url::Url;

/// Speaks to the operator's socket of a gateway.
pub(crate) struct Client {
    socket: PathBuf,
}

/// Why there is no answer to go by.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error("no gateway serves {}: is it running, and is this its socket?", socket.display())]
    NotRunning { socket: PathBuf },
    #[error(
        "{} is closed to this user: only the user that the gateway runs as, and root, may give it \
         orders",
        socket.display()
    )]
    Denied { socket: PathBuf },
    #[error("connect to {}", socket.display())]
    Connect {
        socket: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the gateway did not answer within {} s; what was begun goes on", LIMIT.as_secs())]
    Silent,
    #[error("the gateway broke off; what was begun may go on")]
    Broken(#[source] hyper::Error),
    #[error("the answer broke off or is too large")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the answer can't be read: is the gateway of another version?")]
    Unreadable(#[source] serde_json::Error),
    #[error("write the request")]
    Request(#[source] http::Error),
    #[error("{detail}")]
    Refused { detail: String },
}

impl Client {
    pub(crate) const fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &[&str]) -> Result<T, ClientError> {
        self.ask(Method::GET, path, Bytes::new()).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &[&str],
        body: &Value,
    ) -> Result<T, ClientError> {
        let body = Bytes::from(body.to_string());
        self.ask(Method::POST, path, body).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        body: Bytes,
    ) -> Result<T, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(encoded(path))
            .header(HOST, "leasehold")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(ClientError::Request)?;
        let exchange = tokio::time::timeout(LIMIT, self.exchange(request));
        let (status, body) = exchange.await.map_err(|_elapsed| ClientError::Silent)??;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(ClientError::Unreadable);
        }
        let problem: Result<Problem, _> = serde_json::from_slice(&body);
        let detail = problem.map_or_else(|_none| format!("status {status}"), |it| it.detail);
        Err(ClientError::Refused { detail })
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| unreachable_socket(&self.socket, source))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(ClientError::Broken)?;
        // How the connection ends is told by the request; it ends with the runtime at the latest.
        TaskTracker::new().spawn(connection);
        let response = sender
            .send_request(request)
            .await
            .map_err(ClientError::Broken)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LARGEST_ANSWER).collect();
        let body = body.await.map_err(ClientError::Body)?.to_bytes();
        Ok((status, body))
    }
}

fn unreachable_socket(socket: &Path, source: io::Error) -> ClientError {
    let socket = socket.to_path_buf();
    match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ClientError::NotRunning { socket }
        }
        io::ErrorKind::PermissionDenied => ClientError::Denied { socket },
        _ => ClientError::Connect { socket, source },
    }
}

/// Writes a path whose segments may hold any character.
fn encoded(segments: &[&str]) -> String {
    let Ok(mut url) = Url::parse("http://leasehold/") else {
        return String::new();
    };
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url.path().to_owned()
}

#[derive(Deserialize)]
struct Problem {
    detail: String,
}

/// Longer than the minute that the gateway waits for the outcome itself.
const LIMIT: Duration = Duration::from_secs(75);
const LARGEST_ANSWER: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_can_hold_what_would_end_the_path() {
        assert_eq!(encoded(&["v1", "a?b", "c#d e"]), "/v1/a%3Fb/c%23d%20e");
    }
}
