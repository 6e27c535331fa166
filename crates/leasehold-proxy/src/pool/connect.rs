use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use leasehold_model::Chain;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::idle::{Connection, Pool};
use super::io::{UpstreamIo, Wire};
use super::keepalive::keep_alive;
use crate::gateway::Endpoint;

/// Why no connection to an endpoint could be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// It took longer than it may.
    #[error("no connection within {} ms", .0.as_millis())]
    Timeout(Duration),
    /// The name is not known, or nobody listens at the address.
    #[error("connect")]
    Connect(#[source] io::Error),
    /// The endpoint could not prove who it is, or the two sides do not agree on a protocol.
    #[error("TLS handshake")]
    Tls(#[source] io::Error),
    /// The connection was closed at once.
    #[error("start of HTTP")]
    Http(#[source] hyper::Error),
}

/// Makes a connection to an endpoint.
///
/// # Errors
///
/// When there is none within `limit`, from the resolution of the name to the end of the handshake.
pub(crate) async fn connect(
    pool: &Arc<Pool>,
    endpoint: &Endpoint,
    limit: Duration,
) -> Result<Connection, ConnectError> {
    let wire = timeout(limit, dial(pool, endpoint))
        .await
        .map_err(|_elapsed| ConnectError::Timeout(limit))??;
    let heard = Arc::new(AtomicBool::new(false));
    let io = UpstreamIo::new(wire, Arc::clone(&heard));
    let (sender, driver) = http1::Builder::new()
        .max_buf_size(LARGEST_READ)
        .handshake(TokioIo::new(io))
        .await
        .map_err(ConnectError::Http)?;
    let name = endpoint.name.clone();
    pool.drivers.spawn(async move {
        // Where a request was under way it gets the error too, and knows what it means.
        if let Err(error) = driver.await {
            let error = Chain(&error);
            tracing::debug!(endpoint = name, %error, "upstream connection failed");
        }
    });
    Ok(Connection::new(
        endpoint.key,
        sender,
        heard,
        Arc::clone(pool),
    ))
}

async fn dial(pool: &Pool, endpoint: &Endpoint) -> Result<Wire, ConnectError> {
    let stream = connect_tcp(pool, endpoint)
        .await
        .map_err(ConnectError::Connect)?;
    let Some(tls) = &endpoint.tls else {
        return Ok(Wire::Plain(stream));
    };
    let stream = TlsConnector::from(Arc::clone(&tls.config))
        .connect(tls.name.clone(), stream)
        .await
        .map_err(ConnectError::Tls)?;
    Ok(Wire::Tls(Box::new(stream)))
}

async fn connect_tcp(pool: &Pool, endpoint: &Endpoint) -> io::Result<TcpStream> {
    let (host, port) = (&endpoint.host, endpoint.port);
    let addresses = endpoint.resolver.resolve(host, port, pool.look_up).await?;
    let stream = TcpStream::connect(addresses.as_slice()).await?;
    stream.set_nodelay(true)?;
    keep_alive(&stream)?;
    Ok(stream)
}

/// What is read at once at most. Larger buffers come fresh from the system for each answer, which costs more than
/// the calls that they save: a body of 100 KiB took a third more CPU time with hyper's 408 KiB.
const LARGEST_READ: usize = 64 * 1024;
