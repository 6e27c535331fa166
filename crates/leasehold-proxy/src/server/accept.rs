use std::io;
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::{BootTime, Chain};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use super::connection;
use super::door::Door;
use super::linger::close_gently;
use super::wire::Wire;
use super::worker::Phase;
use crate::service::Worker;

/// Accepts the connections of one listener on one worker.
pub(super) struct Acceptor {
    pub(super) worker: Arc<Worker>,
    pub(super) stage: Stage,
    /// What takes the place of that.
    pub(super) stages: mpsc::UnboundedReceiver<Stage>,
    /// Each connection of the listener on this worker has a clone.
    pub(super) seats: Arc<()>,
    pub(super) connections: TaskTracker,
    /// Connections that are being told that there are too many.
    pub(super) refusals: TaskTracker,
    pub(super) connection_limit: usize,
    pub(super) failures: Failures,
}

/// How connections begin, and what tells them when to end. A listener that is changed has another one.
pub(super) struct Stage {
    pub(super) door: Arc<Door>,
    pub(super) phase: watch::Receiver<Phase>,
}

/// What could not be accepted, told now and then and not each time.
#[derive(Debug, Default)]
pub(super) struct Failures {
    told: Option<BootTime>,
    untold: u64,
}

impl Failures {
    /// Counts one; returns how many there are to tell of, where it is time for it.
    fn count(&mut self, now: BootTime) -> Option<u64> {
        self.untold += 1;
        if self.told.is_some_and(|told| now.since(told) < QUIET) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

impl Acceptor {
    /// Accepts until it is told to end; then takes what has arrived and closes the socket.
    pub(super) async fn run(mut self, listener: Listening) {
        loop {
            tokio::select! {
                biased;
                // First, since the end of the former stage is not that of the listener.
                Some(stage) = self.stages.recv() => self.stage = stage,
                _ = self.stage.phase.changed() => break,
                accepted = listener.accept() => match accepted {
                    Ok(wire) => self.take(wire),
                    Err(error) => self.pause(&error).await,
                },
            }
        }
        if let Err(error) = self.empty(listener) {
            tracing::warn!(
                listener = %self.stage.door.name,
                error = %Chain(&error),
                "connections that had just arrived were lost"
            );
        }
    }

    /// Takes the connections whose handshake the kernel has finished: closing the socket would reset
    /// them, and their requests may have been sent already.
    fn empty(&self, listener: Listening) -> io::Result<()> {
        let listener = listener.into_std()?;
        loop {
            match listener.accept() {
                Ok(wire) => self.take(wire),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn take(&self, wire: Wire) {
        let taken = Arc::strong_count(&self.seats) - 1;
        let full = self.connections.len() >= self.connection_limit;
        if full || taken >= self.stage.door.limits.connections {
            self.refuse(wire);
            return;
        }
        self.connections.spawn(connection::serve(
            Arc::clone(&self.worker),
            Arc::clone(&self.stage.door),
            Arc::clone(&self.seats),
            wire,
            self.stage.phase.clone(),
        ));
    }

    fn refuse(&self, wire: Wire) {
        self.worker.metrics.connections_refused.inc();
        // A client of TLS could not read it before a handshake, which is what there is no room for.
        if self.refusals.len() < MAX_REFUSALS && !self.stage.door.speaks_tls() {
            self.refusals.spawn(tell_full(wire));
        }
    }

    async fn pause(&mut self, error: &io::Error) {
        if is_of_one_connection(error) {
            return;
        }
        if let Some(times) = self.failures.count(self.worker.clock.boot()) {
            tracing::warn!(
                listener = %self.stage.door.name,
                times,
                error = %Chain(error),
                "can't accept connections"
            );
        }
        // Most often there are no file descriptors left; asking again at once would not help.
        sleep(PAUSE).await;
    }
}

/// A socket that connections are accepted from.
pub(super) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listening {
    async fn accept(&self) -> io::Result<Wire> {
        Ok(match self {
            Self::Tcp(listener) => listener.accept().await?.0.into(),
            Self::Unix(listener) => listener.accept().await?.0.into(),
        })
    }

    fn into_std(self) -> io::Result<Emptying> {
        Ok(match self {
            Self::Tcp(listener) => Emptying::Tcp(listener.into_std()?),
            Self::Unix(listener) => Emptying::Unix(listener.into_std()?),
        })
    }
}

/// A socket that what has arrived is still taken from.
enum Emptying {
    Tcp(std::net::TcpListener),
    Unix(std::os::unix::net::UnixListener),
}

impl Emptying {
    fn accept(&self) -> io::Result<Wire> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, _peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream)?.into()
            }
            Self::Unix(listener) => {
                let (stream, _peer) = listener.accept()?;
                stream.set_nonblocking(true)?;
                UnixStream::from_std(stream)?.into()
            }
        })
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Answers whatever is asked: a fresh socket takes that much without waiting for its peer.
async fn tell_full(mut wire: Wire) {
    if wire.write_all(FULL.as_bytes()).await.is_ok() {
        close_gently(&mut wire).await;
    }
}

const FULL: &str = "HTTP/1.1 503 Service Unavailable\r\n\
    content-type: application/problem+json\r\n\
    content-length: 113\r\n\
    retry-after: 1\r\n\
    connection: close\r\n\r\n\
    {\"type\":\"about:blank\",\"title\":\"Service Unavailable\",\
    \"status\":503,\"detail\":\"the gateway has too many connections\"}";
const MAX_REFUSALS: usize = 128;
const PAUSE: Duration = Duration::from_millis(100);
const QUIET: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_told_of_every_ten_seconds() {
        let mut failures = Failures::default();
        let told: Vec<_> = [0, 1, 9, 10, 11, 25]
            .map(|second| BootTime::default().after(Duration::from_secs(second)))
            .into_iter()
            .map(|now| failures.count(now))
            .collect();
        assert_eq!(told, [Some(1), None, None, Some(3), None, Some(2)]);
    }

    #[test]
    fn the_length_of_the_ready_answer_is_right() {
        let (head, body) = FULL.split_once("\r\n\r\n").expect("a head");
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())),
            "{}",
            body.len()
        );
        assert!(serde_json::from_str::<serde_json::Value>(body).is_ok());
    }
}
