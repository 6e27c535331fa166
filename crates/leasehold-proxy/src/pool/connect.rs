use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use leasehold_model::Chain;
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::bound::{Bound, End};
use super::connection::Connection;
use super::idle::{Exclusive, Pool};
use super::io::{UpstreamIo, Wire};
use super::keepalive::keep_alive;
use super::shared::{self, Session};
use super::shown::Past;
use super::tls::{HTTP1, HTTP2};
use super::tunnel::{TunnelError, open_tunnel};
use crate::body::RequestBody;
use crate::gateway::{Endpoint, Protocol};

/// Why no connection to an endpoint could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// It took longer than it may.
    #[error("no connection within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The name is not known, or nobody listens at the address.
    #[error("connect")]
    Connect(#[source] io::Error),
    /// The proxy makes no way through.
    #[error("connect through the proxy")]
    Tunnel(#[source] TunnelError),
    /// The endpoint could not prove who it is, or the two sides do not agree on a protocol.
    #[error("TLS handshake")]
    Tls(#[source] io::Error),
    /// The two sides do not speak the same version of HTTP.
    #[error("the endpoint does not offer HTTP/2")]
    Protocol,
    /// The connection was closed at once.
    #[error("start of HTTP")]
    Http(#[source] hyper::Error),
    /// The credential is one for the handshake, and there is none.
    #[error("a certificate can't be shown without TLS")]
    Bare,
    /// The generation ran out meanwhile.
    #[error("the certificate is of no use any longer")]
    Gone,
    /// Another request has tried meanwhile, in vain.
    #[error("no connection could be made for another request")]
    Shared,
    /// The upstream has as many connections as it may.
    #[error("too many connections")]
    Full,
}

/// Makes a connection to an endpoint, or waits for one that is being made where requests share them.
///
/// # Errors
///
/// When there is none within `limit`, from the resolution of the name to the end of the handshake.
pub(crate) async fn connect(
    pool: &Arc<Pool>,
    endpoint: &Endpoint,
    bound: Option<&Bound>,
    limit: Duration,
) -> Result<Connection, ConnectError> {
    let key = bound.map_or(endpoint.key, |it| it.key(endpoint.key));
    if !endpoint.may_share() {
        return open(pool, endpoint, bound, limit).await;
    }
    let opening = pool.opening(key);
    let failures = opening.failures();
    let turn = timeout(limit, opening.turn.lock()).await;
    let turn = turn.map_err(|_elapsed| ConnectError::Timeout(limit))?;
    if let Some(stream) = pool.take_stream(key) {
        return Ok(Connection::Shared(stream));
    }
    if opening.failures() != failures {
        return Err(ConnectError::Shared);
    }
    if !endpoint.may_share() {
        // Whoever was first knows by now that each request needs one of its own.
        drop(turn);
        return open(pool, endpoint, bound, limit).await;
    }
    let opened = open(pool, endpoint, bound, limit).await;
    if opened.is_err() {
        opening.failed();
    }
    opened
}

async fn open(
    pool: &Arc<Pool>,
    endpoint: &Endpoint,
    bound: Option<&Bound>,
    limit: Duration,
) -> Result<Connection, ConnectError> {
    let key = bound.map_or(endpoint.key, |it| it.key(endpoint.key));
    let (connection, session) = start(pool, endpoint, bound, limit, Speech::Agreed).await?;
    if let Some(session) = session {
        pool.add(key, session);
    }
    Ok(connection)
}

/// Makes a connection that no other request has a part in.
pub(super) async fn open_apart(
    pool: &Arc<Pool>,
    endpoint: &Endpoint,
    bound: Option<&Bound>,
    limit: Duration,
) -> Result<Connection, ConnectError> {
    let (connection, _session) = start(pool, endpoint, bound, limit, Speech::Agreed).await?;
    Ok(connection)
}

/// Makes a connection that speaks HTTP/1.1 whatever else the endpoint speaks, for a request that there
/// is nothing like in HTTP/2.
///
/// # Errors
///
/// As [`connect`].
pub(crate) async fn connect_for_http1(
    pool: &Arc<Pool>,
    endpoint: &Endpoint,
    bound: Option<&Bound>,
    limit: Duration,
) -> Result<Connection, ConnectError> {
    let started = start(pool, endpoint, bound, limit, Speech::Http1);
    let (connection, _no_session) = started.await?;
    Ok(connection)
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speech {
    /// What the two sides agree on.
    Agreed,
    Http1,
}

async fn start(
    pool: &Arc<Pool>,
    endpoint: &Endpoint,
    bound: Option<&Bound>,
    limit: Duration,
    speech: Speech,
) -> Result<(Connection, Option<Arc<Session>>), ConnectError> {
    let load = &endpoint.origin.load;
    let (held, pending) = load.connect().ok_or(ConnectError::Full)?;
    let wire = timeout(limit, dial(pool, endpoint, bound, speech))
        .await
        .map_err(|_elapsed| ConnectError::Timeout(limit))??;
    let past = Arc::new(Past::default());
    let shares = speech == Speech::Agreed && shares(endpoint.origin.protocol, &wire)?;
    if speech == Speech::Agreed {
        endpoint.agreed(shares);
    }
    let io = UpstreamIo::new(wire, Arc::clone(&past));
    let opened = if shares {
        let started = shared::start(pool, endpoint, io, held, bound.map(Bound::end)).await;
        let (session, stream) = started.map_err(ConnectError::Http)?;
        (Connection::Shared(stream), Some(session))
    } else {
        let sender = start_http1(pool, endpoint, io.holding(held), bound.map(Bound::end)).await;
        let sender = sender.map_err(ConnectError::Http)?;
        let key = bound.map_or(endpoint.key, |it| it.key(endpoint.key));
        let keep_alive = endpoint.origin.keep_alive;
        let connection = Exclusive::new(key, sender, past, keep_alive, Arc::clone(pool));
        (Connection::Exclusive(connection), None)
    };
    drop(pending);
    Ok(opened)
}

/// Tells whether requests share the connection.
fn shares(protocol: Protocol, wire: &Wire) -> Result<bool, ConnectError> {
    let agreed = wire.protocol() == Some(HTTP2);
    match (protocol, wire) {
        (Protocol::Http1, _) => Ok(false),
        (Protocol::Http2, Wire::Plain(_)) => Ok(true),
        (Protocol::Http2, Wire::Tls(_)) if !agreed => Err(ConnectError::Protocol),
        (Protocol::Auto | Protocol::Http2, _) => Ok(agreed),
    }
}

/// Begins HTTP/1.1 on a connection.
async fn start_http1(
    pool: &Pool,
    endpoint: &Endpoint,
    io: UpstreamIo,
    end: Option<End>,
) -> Result<SendRequest<RequestBody>, hyper::Error> {
    let (sender, driver) = http1::Builder::new()
        .max_buf_size(LARGEST_READ)
        .handshake(TokioIo::new(io))
        .await?;
    // Whether what an upgrade leaves is of use, who sent the request decides.
    let driver = driver.with_upgrades();
    let name = Arc::clone(&endpoint.origin.name);
    let clock = Arc::clone(&pool.clock);
    pool.drivers.spawn(async move {
        let ended = match end {
            None => driver.await,
            Some(end) => tokio::select! {
                ended = driver => ended,
                () = end.reached(&*clock) => Ok(()),
            },
        };
        // Where a request was under way it gets the error too, and knows what it means.
        if let Err(error) = ended {
            let error = Chain(&error);
            tracing::debug!(endpoint = &*name, %error, "upstream connection failed");
        }
    });
    Ok(sender)
}

async fn dial(
    pool: &Pool,
    endpoint: &Endpoint,
    bound: Option<&Bound>,
    speech: Speech,
) -> Result<Wire, ConnectError> {
    let config = config(endpoint, bound)?.map(|it| fit(it, speech));
    let mut stream = connect_tcp(pool, endpoint)
        .await
        .map_err(ConnectError::Connect)?;
    if endpoint.origin.proxy.is_some() {
        let opened = open_tunnel(&mut stream, &endpoint.origin.target).await;
        opened.map_err(ConnectError::Tunnel)?;
    }
    let (Some(tls), Some(config)) = (&endpoint.origin.tls, config) else {
        return Ok(Wire::Plain(stream));
    };
    let stream = TlsConnector::from(config)
        .connect(tls.name.clone(), stream)
        .await
        .map_err(ConnectError::Tls)?;
    Ok(Wire::Tls(Box::new(stream)))
}

/// Returns how TLS is spoken there, where it is.
fn config(
    endpoint: &Endpoint,
    bound: Option<&Bound>,
) -> Result<Option<Arc<ClientConfig>>, ConnectError> {
    match (&endpoint.origin.tls, bound) {
        (None, None) => Ok(None),
        (Some(tls), None) => Ok(Some(Arc::clone(&tls.config))),
        (Some(tls), Some(bound)) => bound
            .config(&tls.config)
            .map(Some)
            .ok_or(ConnectError::Gone),
        (None, Some(_)) => Err(ConnectError::Bare),
    }
}

/// Offers no more than is to be spoken.
fn fit(mut config: Arc<ClientConfig>, speech: Speech) -> Arc<ClientConfig> {
    if speech == Speech::Http1 {
        Arc::make_mut(&mut config).alpn_protocols = vec![HTTP1.to_vec()];
    }
    config
}

async fn connect_tcp(pool: &Pool, endpoint: &Endpoint) -> io::Result<TcpStream> {
    let stream = match (&endpoint.origin.proxy, endpoint.address) {
        (Some(proxy), _) => {
            let addresses = proxy.look_up(pool.look_up).await?;
            TcpStream::connect(addresses.as_slice()).await?
        }
        (None, Some(address)) => TcpStream::connect(address).await?,
        (None, None) => {
            let addresses = pool.look_up(&endpoint.origin).await?;
            TcpStream::connect(addresses.as_slice()).await?
        }
    };
    stream.set_nodelay(true)?;
    keep_alive(&stream)?;
    Ok(stream)
}

/// What is read at once at most. Larger buffers come fresh from the system for each answer, which costs more than
/// the calls that they save: a body of 100 KiB took a third more CPU time with hyper's 408 KiB.
const LARGEST_READ: usize = 64 * 1024;
