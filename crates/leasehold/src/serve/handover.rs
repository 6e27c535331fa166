//! Listening sockets, from a gateway to its successor.
//!
//! The successor makes a Unix socket of its own beside the operator's and asks, over the latter, for the
//! handover. It is sent every listening socket once for each worker: the very sockets, and not others on
//! the same port, since connections wait in each that would be reset with it. Both processes have them
//! open until the successor says that it serves; then the former drains, and the end of its process
//! closes the line between the two.

mod wire;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream as StdStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use leasehold_admin::{HandedOver, OperatorSocket, SharedSocket, SocketError};
use leasehold_model::ListenerName;
use leasehold_proxy::Listeners;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::compose::Composition;
use crate::lease::client::{Client, ClientError};

/// What operators reach a gateway by, to be handed to its successor with its listeners.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) admin: TcpListener,
    pub(super) operator: Option<SharedSocket>,
}

/// What a successor was handed.
#[derive(Debug, Default)]
pub(super) struct Opened {
    pub(super) listeners: Vec<(ListenerName, OwnedFd)>,
    pub(super) admin: Option<TcpListener>,
    pub(super) operator: Option<UnixListener>,
}

/// Why a successor could not take over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TakeOverError {
    #[error("make a socket for the handover")]
    Socket(#[from] SocketError),
    #[error("ask the gateway that runs for its sockets")]
    Ask(#[from] ClientError),
    #[error("receive the sockets of the gateway that runs")]
    Receive(#[source] io::Error),
    #[error("tell the gateway that runs to end: it has ended by itself, or serves on")]
    Ready(#[source] io::Error),
    #[error(
        "credentials are not to be had: {}; the gateway that runs serves on",
        names.join(", ")
    )]
    NotReady { names: Vec<String> },
}

/// The line between a gateway and its successor.
#[derive(Debug)]
pub(super) struct Line(UnixStream);

impl Opened {
    /// Returns what systemd has opened.
    pub(super) fn activated(listeners: Vec<(ListenerName, OwnedFd)>) -> Self {
        Self {
            listeners,
            ..Self::default()
        }
    }

    /// Takes the admin listener, where it listens at this address.
    pub(super) fn admin_at(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let fits = |it: &mut TcpListener| {
            it.local_addr().is_ok_and(|at| {
                at.ip() == address.ip() && (at.port() == address.port() || address.port() == 0)
            })
        };
        self.admin.take_if(fits)
    }
}

impl Line {
    /// Waits until the successor serves. `false` where it has gone away instead.
    pub(super) async fn successor_serves(&mut self) -> bool {
        let mut word = [0; READY.len()];
        match self.0.read_exact(&mut word).await {
            Ok(_) if word == *READY => true,
            Ok(_) | Err(_) => false,
        }
    }

    /// Says that this successor serves.
    pub(super) async fn say_ready(&mut self) -> Result<(), TakeOverError> {
        let said = self.0.write_all(READY).await;
        said.map_err(TakeOverError::Ready)
    }

    /// Waits for the end of the former process.
    pub(super) async fn former_ended(mut self) {
        let mut rest = [0; 16];
        // An error is an end too.
        while matches!(self.0.read(&mut rest).await, Ok(read) if read > 0) {}
    }
}

/// Asks the gateway behind an operator's socket for its listening sockets.
pub(super) async fn take(socket: &Path) -> Result<(Opened, Line), TakeOverError> {
    let mut own = socket.as_os_str().to_owned();
    own.push(".next");
    let own = PathBuf::from(own);
    let waiting = OperatorSocket::bind(&own).await?;
    let client = Client::new(socket.to_path_buf());
    let order = json!({ "to": own });
    let asked = async {
        let answer: HandedOver = client.post(&["v1", "handover"], &order).await?;
        info!(
            instance = answer.instance,
            "handed over by the gateway that runs"
        );
        Ok(())
    };
    let received = async {
        let stream = waiting.accept().await.map_err(TakeOverError::Receive)?;
        receive(stream).await.map_err(TakeOverError::Receive)
    };
    let ((), taken) = tokio::try_join!(asked, received)?;
    Ok(taken)
}

/// Waits until everything that requests share can be had: until then the predecessor serves better.
pub(super) async fn await_credentials(composition: &Composition) -> Result<(), TakeOverError> {
    let handles = composition.shared();
    let waits = handles.map(async |(name, handle)| {
        let acquired = handle.acquired(READY_LIMIT).await;
        acquired.is_err().then(|| name.to_string())
    });
    let missing = join_all(waits).await;
    let names: Vec<String> = missing.into_iter().flatten().collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(TakeOverError::NotReady { names })
}

/// Returns a listening socket once more.
pub(super) fn again(listener: &tokio::net::TcpListener) -> io::Result<TcpListener> {
    Ok(listener.as_fd().try_clone_to_owned()?.into())
}

/// Hands the sockets to the successor that waits at `to`.
pub(super) async fn give(to: PathBuf, listeners: &Listeners, own: &Own) -> io::Result<Line> {
    let mut sockets = Vec::new();
    for (name, listener) in listeners.sockets()? {
        sockets.push((wire::Kind::Listener(name), listener));
    }
    sockets.push((wire::Kind::Admin, own.admin.try_clone()?.into()));
    if let Some(operator) = &own.operator {
        let listener = operator.listener().try_clone()?;
        sockets.push((wire::Kind::Operator, listener.into()));
    }
    let sent = spawn_blocking(move || {
        let stream = StdStream::connect(to)?;
        stream.set_write_timeout(Some(LIMIT))?;
        wire::send(&stream, &sockets)?;
        stream.set_nonblocking(true)?;
        Ok::<_, io::Error>(stream)
    });
    let stream = sent.await.map_err(io::Error::other)??;
    Ok(Line(UnixStream::from_std(stream)?))
}

async fn receive(stream: UnixStream) -> io::Result<(Opened, Line)> {
    let stream = stream.into_std()?;
    let received = spawn_blocking(move || {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let opened = wire::receive(&stream)?;
        stream.set_nonblocking(true)?;
        Ok::<_, io::Error>((opened, stream))
    });
    let (opened, stream) = received.await.map_err(io::Error::other)??;
    if opened.listeners.is_empty() {
        warn!("the gateway that runs has handed no listener over");
    }
    Ok((opened, Line(UnixStream::from_std(stream)?)))
}

/// How long a successor waits for its credentials.
const READY_LIMIT: Duration = Duration::from_secs(30);
const READY: &[u8; 6] = b"ready\n";
/// How long the other process may take for one step of the handover.
const LIMIT: Duration = Duration::from_secs(10);
