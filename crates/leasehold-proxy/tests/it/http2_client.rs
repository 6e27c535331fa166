//! A client of HTTP/2.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::rig::{LIMIT, Rig};

type Body = BoxBody<Bytes, io::Error>;

/// A connection of HTTP/2.
pub(crate) struct Http2 {
    runtime: Runtime,
    sender: SendRequest<Body>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Http2 {
    /// Connects in the clear, by prior knowledge.
    pub(crate) fn connect(rig: &Rig) -> Self {
        Self::over(async { TcpStream::connect(rig.address).await })
    }

    pub(crate) fn connect_tls(rig: &Rig, mut config: ClientConfig, host: &'static str) -> Self {
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self::over(async move {
            let stream = TcpStream::connect(rig.address).await?;
            let name = host.try_into().expect("a name");
            let stream = TlsConnector::from(Arc::new(config))
                .connect(name, stream)
                .await?;
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            Ok(stream)
        })
    }

    fn over<S>(stream: impl Future<Output = io::Result<S>>) -> Self
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let sender = runtime.block_on(async {
            let stream = TokioIo::new(stream.await.expect("a connection"));
            let (sender, driver) = handshake(TokioExecutor::new(), stream)
                .await
                .expect("HTTP/2");
            runtime.spawn(driver);
            sender
        });
        Self { runtime, sender }
    }

    /// Sends a request whose body has these parts, and returns the head of its answer.
    pub(crate) fn send(
        &self,
        request: http::request::Builder,
        parts: Vec<Frame<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        let parts = parts.into_iter().map(Ok::<_, io::Error>);
        let body = if parts.len() == 0 {
            http_body_util::Empty::new()
                .map_err(|never| match never {})
                .boxed()
        } else {
            StreamBody::new(futures_util::stream::iter(parts)).boxed()
        };
        let mut sender = self.sender.clone();
        self.runtime.block_on(async {
            sender.ready().await?;
            let sent = sender.send_request(request.body(body).expect("a request"));
            timeout(LIMIT, sent).await.expect("in time")
        })
    }

    pub(crate) fn ask(
        &self,
        request: http::request::Builder,
        parts: Vec<Frame<Bytes>>,
    ) -> hyper::Result<Answer> {
        let response = self.send(request, parts)?;
        let (head, body) = response.into_parts();
        let whole = self.runtime.block_on(async {
            let collected = timeout(LIMIT, body.collect());
            collected.await.expect("in time")
        })?;
        let trailers = whole.trailers().cloned();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: whole.to_bytes().to_vec(),
            trailers,
        })
    }

    pub(crate) fn get(&self, path: &str) -> hyper::Result<Answer> {
        self.ask(get(path), Vec::new())
    }

    /// Sends a request, and returns what its stream has become with the answer.
    pub(crate) fn open(&self, request: http::request::Builder) -> (Response<()>, Stream<'_>) {
        let mut response = self.send(request, Vec::new()).expect("an answer");
        let upgraded = hyper::upgrade::on(&mut response);
        let upgraded = self
            .runtime
            .block_on(async { timeout(LIMIT, upgraded).await });
        let upgraded = upgraded.expect("in time").expect("a stream");
        let runtime = &self.runtime;
        let io = TokioIo::new(upgraded);
        (response.map(drop), Stream { runtime, io })
    }

    /// Tells whether the gateway has ended the connection, or begun to.
    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

/// A stream that is spoken on in bytes.
pub(crate) struct Stream<'a> {
    runtime: &'a Runtime,
    io: TokioIo<Upgraded>,
}

impl Stream<'_> {
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let sent = async {
            self.io.write_all(bytes).await?;
            self.io.flush().await
        };
        self.runtime
            .block_on(async { timeout(LIMIT, sent).await })?
    }

    pub(crate) fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let read = self.io.read_exact(&mut bytes);
        self.runtime
            .block_on(async { timeout(LIMIT, read).await })??;
        Ok(bytes)
    }

    pub(crate) fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.io.read_to_end(&mut bytes);
        self.runtime
            .block_on(async { timeout(LIMIT, read).await })??;
        Ok(bytes)
    }

    /// Says that nothing more comes.
    pub(crate) fn end(&mut self) {
        let ended = self.runtime.block_on(self.io.shutdown());
        ended.expect("an open stream");
    }
}

/// Asks for what `protocol` names on a stream, as RFC 8441 has it.
pub(crate) fn connect(protocol: &'static str, path: &str) -> http::request::Builder {
    Request::connect(format!("http://api.example{path}"))
        .extension(Protocol::from_static(protocol))
        .header("sec-websocket-version", "13")
}

pub(crate) fn get(path: &str) -> http::request::Builder {
    Request::get(format!("http://api.example{path}"))
}

pub(crate) fn post(path: &str) -> http::request::Builder {
    Request::post(format!("http://api.example{path}"))
}

pub(crate) fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}
