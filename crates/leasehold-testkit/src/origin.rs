//! HTTP/1.1 servers that stand where an upstream does.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use leasehold_testkit::Origin;
//!
//! let origin = Origin::echo().await?;
//! println!("point an upstream at {}", origin.url());
//! origin.stop().await;
//! # Ok(())
//! # }
//! ```

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

mod answer;
mod api_key;
mod balancer;
mod database;
mod echo;
mod tls;
mod token_server;

pub use answer::{Handler, json};
pub use api_key::{AcceptedKeys, ApiKey};
pub use balancer::Balancer;
pub use database::Database;
pub use echo::Echo;
pub use token_server::{IssuedToken, TokenServer};

use tls::Identity;

/// A running origin, whose answers `H` gives.
///
/// It listens on a port of its own on 127.0.0.1 and ends when it is dropped.
#[derive(Debug)]
pub struct Origin<H> {
    handler: Arc<H>,
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    identity: Option<Identity>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

// === impl Origin ===

impl<H: Handler> Origin<H> {
    /// Starts an origin that answers as `handler` does.
    ///
    /// # Errors
    ///
    /// When no port can be listened on.
    pub async fn serve(handler: H) -> Result<Self> {
        Self::start(handler, None).await
    }

    /// Starts an origin that speaks TLS, with a certificate for `127.0.0.1` and `localhost` from an
    /// authority of its own.
    ///
    /// # Errors
    ///
    /// When no port can be listened on or no certificate be made.
    pub async fn serve_tls(handler: H) -> Result<Self> {
        Self::start(handler, Some(Identity::generate()?)).await
    }

    /// As [`Origin::serve_tls`], with a handshake for those alone who show a certificate of one of these
    /// authorities, in PEM. The handler finds it among the request's extensions, as a [`Peer`].
    ///
    /// # Errors
    ///
    /// As there, and when there is no authority in the text.
    pub async fn serve_mtls(handler: H, clients: &str) -> Result<Self> {
        Self::start(handler, Some(Identity::generate_for(clients)?)).await
    }

    async fn start(handler: H, identity: Option<Identity>) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .context("listen for the origin")?;
        let origin = Self {
            handler: Arc::new(handler),
            address: listener.local_addr().context("read the origin's port")?,
            connections: Arc::default(),
            identity,
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
        };
        let accepting = Accepting {
            handler: Arc::clone(&origin.handler),
            connections: Arc::clone(&origin.connections),
            acceptor: origin.identity.as_ref().map(Identity::acceptor),
            shutdown: origin.shutdown.clone(),
            tasks: origin.tasks.clone(),
        };
        origin.tasks.spawn(accepting.run(listener));
        Ok(origin)
    }
}

impl<H> Origin<H> {
    /// Returns the address that the origin listens on.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the origin's base URL, without a path.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.identity.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.address)
    }

    /// Returns the file with the authority's certificate, where the origin speaks TLS.
    #[must_use]
    pub fn ca_pem(&self) -> Option<&Path> {
        self.identity.as_ref().map(Identity::ca_pem)
    }

    /// Returns how many connections have been accepted so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Returns what gives the answers and keeps the history.
    #[must_use]
    pub fn handler(&self) -> &H {
        &self.handler
    }

    /// Ends the origin and waits until the port is free and every connection is closed.
    pub async fn stop(&self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl<H> Drop for Origin<H> {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

struct Accepting<H> {
    handler: Arc<H>,
    connections: Arc<AtomicUsize>,
    acceptor: Option<TlsAcceptor>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

// === impl Accepting ===

impl<H: Handler> Accepting<H> {
    async fn run(self, listener: TcpListener) {
        loop {
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                accepted = listener.accept() => {
                    // A peer that is gone before it is accepted is its own fault.
                    if let Ok((stream, _)) = accepted {
                        self.connections.fetch_add(1, Ordering::Relaxed);
                        self.attend(stream);
                    }
                }
            }
        }
    }

    fn attend(&self, stream: TcpStream) {
        let handler = Arc::clone(&self.handler);
        let acceptor = self.acceptor.clone();
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move {
            let conversation = async {
                match acceptor {
                    None => converse(stream, handler, None).await,
                    Some(acceptor) => {
                        // Whoever fails the handshake sees it; the origin has nobody to tell.
                        if let Ok(stream) = acceptor.accept(stream).await {
                            let chain = stream.get_ref().1.peer_certificates();
                            let peer = chain.and_then(|it| it.first()).map(|it| Peer(it.to_vec()));
                            converse(stream, handler, peer).await;
                        }
                    }
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = conversation => {}
            }
        });
    }
}

/// The certificate, in DER, that the other side of a request's connection has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer(pub Vec<u8>);

async fn converse<H, S>(stream: S, handler: Arc<H>, peer: Option<Peer>)
where
    H: Handler,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(peer) = &peer {
            request.extensions_mut().insert(peer.clone());
        }
        respond(Arc::clone(&handler), request)
    });
    // A connection that breaks off is seen by the peer; the history has every request that came whole.
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await
        .ok();
}

async fn respond<H: Handler>(
    handler: Arc<H>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let answer = match body.collect().await {
        Ok(body) => {
            handler
                .answer(Request::from_parts(head, body.to_bytes()))
                .await
        }
        Err(error) => json(400, &serde_json::json!({ "error": error.to_string() })),
    };
    Ok(answer)
}
