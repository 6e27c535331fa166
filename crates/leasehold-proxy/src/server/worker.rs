use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{oneshot, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::task::TaskTracker;

use super::accept::{Acceptor, Failures, Listening};
use super::door::Door;
use super::{Listener, Socket};
use crate::chores;
use crate::pool::SWEEP_INTERVAL;
use crate::service::Worker;

/// What the connections of a worker should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Serve.
    Serving,
    /// End with the next answer: a client that is about to send one more request is not cut off.
    Leaving,
    /// End with the request that is under way.
    Draining,
    /// End now.
    Cut,
}

/// How a worker is to end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Drain {
    /// How long connections may wait for one more request before those that are idle are closed.
    pub(super) linger: Duration,
    /// How long the requests under way may take.
    pub(super) limit: Duration,
}

/// Runs one worker on this thread until it has drained; returns how many connections were cut.
///
/// `ready` is told when it accepts, or why it can't.
pub(super) fn run(
    worker: Arc<Worker>,
    listeners: Vec<Listener>,
    connection_limit: usize,
    drain: oneshot::Receiver<Drain>,
    ready: &SyncSender<io::Result<()>>,
) -> usize {
    let (runtime, listeners) = match prepare(listeners) {
        Ok(prepared) => prepared,
        Err(error) => {
            // Whoever started the worker waits for this and can't be gone.
            drop(ready.send(Err(error)));
            return 0;
        }
    };
    drop(ready.send(Ok(())));
    let cut = runtime.block_on(drive(worker, listeners, connection_limit, drain));
    // Names may still be looked up, which nothing can stop and nobody needs any longer.
    runtime.shutdown_background();
    cut
}

type Prepared = (Runtime, Vec<(Arc<Door>, Listening)>);

fn prepare(listeners: Vec<Listener>) -> io::Result<Prepared> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        // Only names are resolved there.
        .max_blocking_threads(RESOLVER_THREADS)
        .build()?;
    let listeners = {
        let _context = runtime.enter();
        listeners
            .into_iter()
            .map(|it| Ok((it.door, listening(it.socket)?)))
            .collect::<io::Result<_>>()?
    };
    Ok((runtime, listeners))
}

fn listening(socket: Socket) -> io::Result<Listening> {
    Ok(match socket {
        Socket::Tcp(socket) => Listening::Tcp(TcpListener::from_std(socket)?),
        Socket::Unix(socket) => Listening::Unix(UnixListener::from_std(socket)?),
    })
}

async fn drive(
    worker: Arc<Worker>,
    listeners: Vec<(Arc<Door>, Listening)>,
    connection_limit: usize,
    drain: oneshot::Receiver<Drain>,
) -> usize {
    let (phase, watched) = watch::channel(Phase::Serving);
    let connections = TaskTracker::new();
    let acceptors = TaskTracker::new();
    for (door, listener) in listeners {
        let acceptor = Acceptor {
            worker: Arc::clone(&worker),
            door,
            seats: Arc::default(),
            connections: connections.clone(),
            refusals: TaskTracker::new(),
            connection_limit,
            phase: watched.clone(),
            failures: Failures::default(),
        };
        acceptors.spawn(acceptor.run(listener));
    }
    acceptors.close();
    let Drain { linger, limit } = until_drained(&worker, drain).await;

    if !linger.is_zero() {
        worker.leave();
        phase.send_replace(Phase::Leaving);
        acceptors.wait().await;
        connections.close();
        // The limit is for what is under way then.
        drop(timeout(linger, connections.wait()).await);
    }
    phase.send_replace(Phase::Draining);
    // Acceptors end when they have taken what had arrived: only then is every connection tracked.
    acceptors.wait().await;
    connections.close();
    if timeout(limit, connections.wait()).await.is_ok() {
        return 0;
    }
    let cut = connections.len();
    worker.cut();
    phase.send_replace(Phase::Cut);
    connections.wait().await;
    cut
}

/// Keeps the pool tidy and does the chores until the worker is told to drain; returns how.
async fn until_drained(worker: &Worker, mut drain: oneshot::Receiver<Drain>) -> Drain {
    let mut sweep = interval(SWEEP_INTERVAL);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut chores = pin!(chores::run(worker));
    loop {
        tokio::select! {
            () = &mut chores => {}
            // The server was dropped where nobody says anything: there is no time then.
            told = &mut drain => return told.unwrap_or_default(),
            _ = sweep.tick() => worker.pool.sweep(),
        }
    }
}

const RESOLVER_THREADS: usize = 64;

#[cfg(test)]
mod tests;
