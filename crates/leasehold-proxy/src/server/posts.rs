//! The listeners that one worker accepts on, which may change while it runs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::Chain;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use super::LINGER;
use super::accept::{Acceptor, Failures, Listening, Stage};
use super::bound::Socket;
use super::door::Door;
use super::worker::Phase;
use crate::service::Worker;

/// A socket that a worker accepts on, and how the connections begin.
#[derive(Debug)]
pub(super) struct Listener {
    /// What orders name it by. A worker may have several sockets of one listener.
    pub(super) number: u64,
    pub(super) door: Arc<Door>,
    pub(super) socket: Socket,
}

/// What a worker is told while it serves.
#[derive(Debug)]
pub(super) enum Order {
    /// To accept on one more socket.
    Open(Listener),
    /// To begin a listener's connections by another door. Those of before end as in
    /// [`super::Listeners::apply`].
    Change {
        number: u64,
        door: Arc<Door>,
        limit: Duration,
    },
    /// To accept no more at a listener.
    Close { number: u64, limit: Duration },
}

/// The listeners of a worker.
pub(super) struct Posts {
    worker: Arc<Worker>,
    connection_limit: usize,
    pub(super) connections: TaskTracker,
    pub(super) acceptors: TaskTracker,
    posts: Vec<Post>,
    /// How those are told that had another door, or another listener, and are on their way out.
    former: Vec<Arc<watch::Sender<Phase>>>,
    retiring: TaskTracker,
}

struct Post {
    number: u64,
    phase: Arc<watch::Sender<Phase>>,
    stages: mpsc::UnboundedSender<Stage>,
}

impl Posts {
    pub(super) fn new(worker: &Arc<Worker>, connection_limit: usize) -> Self {
        Self {
            worker: Arc::clone(worker),
            connection_limit,
            connections: TaskTracker::new(),
            acceptors: TaskTracker::new(),
            posts: Vec::new(),
            former: Vec::new(),
            retiring: TaskTracker::new(),
        }
    }

    /// Begins to accept on one more socket.
    pub(super) fn open(&mut self, listener: Listener) -> io::Result<()> {
        let Listener {
            number,
            door,
            socket,
        } = listener;
        let socket = match socket {
            Socket::Tcp(socket) => Listening::Tcp(TcpListener::from_std(socket)?),
            Socket::Unix(socket) => Listening::Unix(UnixListener::from_std(socket)?),
        };
        let (phase, watched) = watch::channel(Phase::Serving);
        let (stages, next) = mpsc::unbounded_channel();
        let acceptor = Acceptor {
            worker: Arc::clone(&self.worker),
            stage: Stage {
                door,
                phase: watched,
            },
            stages: next,
            seats: Arc::default(),
            connections: self.connections.clone(),
            refusals: TaskTracker::new(),
            connection_limit: self.connection_limit,
            failures: Failures::default(),
        };
        self.acceptors.spawn(acceptor.run(socket));
        self.posts.push(Post {
            number,
            phase: Arc::new(phase),
            stages,
        });
        Ok(())
    }

    /// Carries out an order.
    pub(super) fn obey(&mut self, order: Order) {
        match order {
            Order::Open(listener) => {
                let door = Arc::clone(&listener.door);
                if let Err(error) = self.open(listener) {
                    tracing::error!(
                        listener = %door.name,
                        error = %Chain(&error),
                        "a worker does not accept at the listener"
                    );
                }
            }
            Order::Change {
                number,
                door,
                limit,
            } => self.change(number, &door, limit),
            Order::Close { number, limit } => {
                let closed = self.posts.extract_if(.., |it| it.number == number);
                for post in closed.collect::<Vec<_>>() {
                    self.retire(post.phase, limit);
                }
            }
        }
    }

    /// Tells all connections, and those that accept them.
    pub(super) fn tell(&self, phase: Phase) {
        let posts = self.posts.iter().map(|it| &it.phase);
        for it in posts.chain(&self.former) {
            raise(it, phase);
        }
    }

    fn change(&mut self, number: u64, door: &Arc<Door>, limit: Duration) {
        let mut former = Vec::new();
        for post in self.posts.iter_mut().filter(|it| it.number == number) {
            let (phase, watched) = watch::channel(Phase::Serving);
            let stage = Stage {
                door: Arc::clone(door),
                phase: watched,
            };
            // Before the former phase ends: an acceptor that has a next stage does not end with it.
            if post.stages.send(stage).is_err() {
                tracing::error!(listener = %door.name, "nobody accepts at the listener any more");
            }
            former.push(std::mem::replace(&mut post.phase, Arc::new(phase)));
        }
        for phase in former {
            self.retire(phase, limit);
        }
    }

    /// Ends the connections that listen to a phase, in order.
    fn retire(&mut self, phase: Arc<watch::Sender<Phase>>, limit: Duration) {
        self.former.retain(|it| !it.is_closed());
        self.former.push(Arc::clone(&phase));
        raise(&phase, Phase::Leaving);
        self.retiring.spawn(async move {
            for (next, wait) in [(Phase::Draining, LINGER), (Phase::Cut, limit)] {
                if timeout(wait, phase.closed()).await.is_ok() {
                    return;
                }
                raise(&phase, next);
            }
        });
    }
}

/// Tells those that listen, where they have not been told more already.
fn raise(told: &watch::Sender<Phase>, phase: Phase) {
    told.send_if_modified(|now| {
        let higher = *now < phase;
        if higher {
            *now = phase;
        }
        higher
    });
}
