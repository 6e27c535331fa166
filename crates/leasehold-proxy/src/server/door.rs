//! What a connection goes through before its first request: a PROXY header, TLS, the choice of HTTP.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use leasehold_consumer::ClientCertificate;
use leasehold_model::ListenerName;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::proxy_header::{self, Header};
use super::reader::Stream;
use super::spec::{Limits, ListenerSpec, Trusted};
use super::tls::ListenerTls;
use super::wire::Wire;
use crate::via::Via;

/// How the connections of one listener begin.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) name: ListenerName,
    pub(super) limits: Arc<Limits>,
    tls: Option<ListenerTls>,
    http2: bool,
    proxy_protocol: Option<Trusted>,
}

/// A connection that requests can be read from.
pub(super) struct Opened {
    pub(super) stream: Stream,
    pub(super) via: Via,
    pub(super) http2: bool,
}

/// Why a connection did not get as far as its first request.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("the connection was gone before it was served")]
    Gone(#[source] io::Error),
    #[error("a peer that is not trusted wants to say whom it speaks for")]
    Untrusted,
    #[error("no PROXY header came, or what came is none")]
    ProxyHeader(#[source] Option<io::Error>),
    #[error("TLS handshake")]
    Tls(#[source] io::Error),
    #[error("the connection did not begin in time")]
    Late,
}

impl Door {
    pub(super) fn new(spec: &ListenerSpec) -> Self {
        Self {
            name: spec.name.clone(),
            limits: Arc::new(spec.limits.clone()),
            tls: spec.tls.clone(),
            http2: spec.http2,
            proxy_protocol: spec.proxy_protocol.clone(),
        }
    }

    pub(super) const fn speaks_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Takes a connection as far as its first request.
    pub(super) async fn open(&self, mut wire: Wire) -> Result<Opened, OpenError> {
        wire.prepare().map_err(OpenError::Gone)?;
        let limit = self.limits.head_timeout;
        let client = self.client(&mut wire);
        let client = timeout(limit, client)
            .await
            .map_err(|_elapsed| OpenError::Late)??;
        let stream = timeout(limit, self.secure(wire))
            .await
            .map_err(|_elapsed| OpenError::Late)??;
        Ok(self.agree(stream, client).await)
    }

    /// Reads whom the connection comes from.
    async fn client(&self, wire: &mut Wire) -> Result<Option<SocketAddr>, OpenError> {
        let peer = wire.peer();
        let Some(trusted) = &self.proxy_protocol else {
            return Ok(peer);
        };
        if !trusted.trusts(peer) {
            return Err(OpenError::Untrusted);
        }
        let header = wire
            .begin_with(proxy_header::LONGEST, proxy_header::parse)
            .await;
        match header.map_err(|error| OpenError::ProxyHeader(Some(error)))? {
            Header::Client(client) => Ok(Some(client)),
            Header::Unknown => Ok(peer),
            Header::Malformed => Err(OpenError::ProxyHeader(None)),
        }
    }

    async fn secure(&self, wire: Wire) -> Result<Stream, OpenError> {
        let Some(tls) = &self.tls else {
            return Ok(Stream::Plain(wire));
        };
        let acceptor = TlsAcceptor::from(tls.config());
        let stream = acceptor.accept(wire).await.map_err(OpenError::Tls)?;
        Ok(Stream::Tls(Box::new(stream)))
    }

    /// Finds out which HTTP is spoken. In the clear, a client of HTTP/2 begins with words that are no
    /// request of HTTP/1.
    async fn agree(&self, mut stream: Stream, client: Option<SocketAddr>) -> Opened {
        let http2 = match &mut stream {
            Stream::Plain(wire) if self.http2 => {
                let idle = self.limits.idle_timeout;
                let words = wire.begin_with(PREFACE.len(), |read| Some((0, is_preface(read)?)));
                // One that is silent or gone is HTTP/1's to deal with.
                timeout(idle, words)
                    .await
                    .is_ok_and(|words| words.unwrap_or(false))
            }
            stream => stream.speaks_http2(),
        };
        let via = Via {
            listener: self.name.clone(),
            client,
            certificate: stream.certificate().map(|it| ClientCertificate::read(&it)),
            limits: Arc::clone(&self.limits),
        };
        Opened { stream, via, http2 }
    }
}

/// Tells whether a connection begins as HTTP/2 does; `None` where that can't be told yet.
fn is_preface(read: &[u8]) -> Option<bool> {
    let length = read.len().min(PREFACE.len());
    if read.get(..length) != PREFACE.get(..length) {
        return Some(false);
    }
    (length == PREFACE.len()).then_some(true)
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
