use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::posts::{Listener, Order, Posts};
use crate::chores;
use crate::pool::SWEEP_INTERVAL;
use crate::service::Worker;

/// What connections should do. They only ever go on to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// What a worker is given to do.
#[derive(Debug)]
pub(super) struct Assignment {
    pub(super) listeners: Vec<Listener>,
    pub(super) connection_limit: usize,
    /// What else it is told while it serves.
    pub(super) orders: mpsc::UnboundedReceiver<Order>,
}

/// Runs one worker on this thread until it has drained; returns how many connections were cut.
///
/// `ready` is told when it accepts, or why it can't.
pub(super) fn run(
    worker: Arc<Worker>,
    assignment: Assignment,
    drain: oneshot::Receiver<Drain>,
    ready: &SyncSender<io::Result<()>>,
) -> usize {
    let Assignment {
        listeners,
        connection_limit,
        orders,
    } = assignment;
    let mut posts = Posts::new(&worker, connection_limit);
    let runtime = match prepare(listeners, &mut posts) {
        Ok(runtime) => runtime,
        Err(error) => {
            // Whoever started the worker waits for this and can't be gone.
            drop(ready.send(Err(error)));
            return 0;
        }
    };
    drop(ready.send(Ok(())));
    let cut = runtime.block_on(drive(worker, posts, orders, drain));
    // Names may still be looked up, which nothing can stop and nobody needs any longer.
    runtime.shutdown_background();
    cut
}

fn prepare(listeners: Vec<Listener>, posts: &mut Posts) -> io::Result<Runtime> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        // Only names are resolved there.
        .max_blocking_threads(RESOLVER_THREADS)
        .build()?;
    {
        let _context = runtime.enter();
        listeners.into_iter().try_for_each(|it| posts.open(it))?;
    }
    Ok(runtime)
}

async fn drive(
    worker: Arc<Worker>,
    mut posts: Posts,
    orders: mpsc::UnboundedReceiver<Order>,
    drain: oneshot::Receiver<Drain>,
) -> usize {
    let Drain { linger, limit } = until_drained(&worker, &mut posts, orders, drain).await;
    let (acceptors, connections) = (posts.acceptors.clone(), posts.connections.clone());
    acceptors.close();
    if !linger.is_zero() {
        posts.tell(Phase::Leaving);
        acceptors.wait().await;
        connections.close();
        // The limit is for what is under way then.
        drop(timeout(linger, connections.wait()).await);
    }
    posts.tell(Phase::Draining);
    // Acceptors end when they have taken what had arrived: only then is every connection tracked.
    acceptors.wait().await;
    connections.close();
    if timeout(limit, connections.wait()).await.is_ok() {
        return 0;
    }
    let cut = connections.len();
    worker.cut();
    posts.tell(Phase::Cut);
    connections.wait().await;
    cut
}

/// Keeps the pool tidy, does the chores and carries out orders until the worker is told to drain;
/// returns how.
async fn until_drained(
    worker: &Worker,
    posts: &mut Posts,
    mut orders: mpsc::UnboundedReceiver<Order>,
    mut drain: oneshot::Receiver<Drain>,
) -> Drain {
    let mut sweep = interval(SWEEP_INTERVAL);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut chores = pin!(chores::run(worker));
    loop {
        tokio::select! {
            () = &mut chores => {}
            // The server was dropped where nobody says anything: there is no time then.
            told = &mut drain => {
                // To what has just been opened, somebody may have connected.
                while let Ok(order) = orders.try_recv() {
                    posts.obey(order);
                }
                return told.unwrap_or_default();
            }
            Some(order) = orders.recv() => posts.obey(order),
            _ = sweep.tick() => worker.pool.sweep(),
        }
    }
}

const RESOLVER_THREADS: usize = 64;

#[cfg(test)]
mod tests;
