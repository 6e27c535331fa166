//! Other listeners for a server that runs.

use std::io::{self, ErrorKind};
use std::mem;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::ListenerName;
use tokio::sync::mpsc::UnboundedSender;

use super::BindError;
use super::bound::{self, Bound};
use super::door::Door;
use super::files::Files;
use super::posts::{Listener, Order};
use super::spec::{ListenerAddress, ListenerSpec};

/// The hold by which the listeners of a server are changed while it runs.
///
/// It keeps their sockets, so that they can be handed to another process.
#[derive(Debug)]
pub struct Listeners {
    workers: Vec<UnboundedSender<Order>>,
    standing: Vec<Standing>,
    files: Files,
    next: u64,
}

#[derive(Debug)]
struct Standing {
    /// What the workers know it by.
    number: u64,
    bound: Bound,
}

/// Listeners that are ready to take the place of those of a server. Their sockets are open.
#[derive(Debug)]
#[must_use = "nothing changes until this is applied"]
pub struct NextListeners(Vec<Next>);

#[derive(Debug)]
enum Next {
    /// It stays where it is, and may be another in everything else.
    Kept { number: u64, spec: ListenerSpec },
    Opened {
        bound: Bound,
        shared: Vec<bound::Socket>,
    },
}

/// What became of a server's listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerChanges {
    /// Those that were not there before, and where they listen.
    pub opened: Vec<(ListenerName, ListenerAddress)>,
    /// Those that serve otherwise than before.
    pub changed: Vec<ListenerName>,
    /// Those that accept nothing any more.
    pub closed: Vec<ListenerName>,
}

impl Listeners {
    /// Deals listeners out among workers.
    pub(super) fn deal(
        listeners: Vec<Bound>,
        workers: usize,
    ) -> io::Result<(Self, Vec<Vec<Listener>>)> {
        let mut all = Self {
            workers: Vec::new(),
            standing: Vec::new(),
            files: Files::default(),
            next: 0,
        };
        let mut dealt: Vec<_> = std::iter::repeat_with(Vec::new).take(workers).collect();
        for bound in listeners {
            let shared = bound.share()?;
            for (place, listener) in all.enter(bound, shared).enumerate() {
                if let Some(worker) = dealt.get_mut(place % workers) {
                    worker.push(listener);
                }
            }
        }
        Ok((all, dealt))
    }

    pub(super) fn served_by(mut self, workers: Vec<UnboundedSender<Order>>) -> Self {
        self.workers = workers;
        self
    }

    pub(super) fn files(&self) -> Files {
        self.files.clone()
    }

    /// Opens what these listeners need and nobody listens on yet. Where that fails, nothing has changed.
    ///
    /// # Errors
    ///
    /// When an address can't be bound, or somebody listens there already, and when the file of a Unix
    /// socket that stays is to have another mode.
    pub fn prepare(&self, specs: &[ListenerSpec]) -> Result<NextListeners, BindError> {
        let next = specs.iter().map(|spec| {
            let kept = self.standing.iter().find(|it| it.is_place_of(spec));
            let Some(kept) = kept else {
                let bound = Bound::open(spec, self.workers.len())?;
                let shared = bound.share().map_err(|it| BindError::of(spec, it))?;
                return Ok(Next::Opened { bound, shared });
            };
            if kept.has_other_mode(spec) {
                let message = "the mode of a socket that is listened on can't change: give it another \
                               path, or restart the gateway";
                let error = io::Error::new(ErrorKind::InvalidInput, message);
                return Err(BindError::of(spec, error));
            }
            Ok(Next::Kept {
                number: kept.number,
                spec: spec.clone(),
            })
        });
        Ok(NextListeners(next.collect::<Result<_, _>>()?))
    }

    /// Puts the listeners to work. Connections of those that serve otherwise, or not at all, end with
    /// their next answer, after five seconds without one, and at the latest `limit` after that.
    pub fn apply(&mut self, next: NextListeners, limit: Duration) -> ListenerChanges {
        let mut changes = ListenerChanges::default();
        let mut gone = mem::take(&mut self.standing);
        for it in next.0 {
            match it {
                Next::Kept { number, spec } => {
                    let place = gone.iter().position(|it| it.number == number);
                    if let Some(kept) = place.map(|place| gone.remove(place)) {
                        self.alter(kept, spec, limit, &mut changes);
                    }
                }
                Next::Opened { bound, shared } => {
                    changes.opened.push(bound.named_address());
                    let listeners: Vec<_> = self.enter(bound, shared).collect();
                    for (worker, listener) in self.workers.iter().zip(listeners) {
                        tell(worker, Order::Open(listener));
                    }
                }
            }
        }
        for Standing { number, bound } in gone {
            self.tell_all(|| Order::Close { number, limit });
            self.files.remove_of(&bound.address);
            changes.closed.push(bound.spec.name);
        }
        changes
    }

    /// Returns the addresses bound, in the order of the listeners.
    #[must_use]
    pub fn addresses(&self) -> Vec<(ListenerName, ListenerAddress)> {
        let standing = self.standing.iter();
        standing.map(|it| it.bound.named_address()).collect()
    }

    /// As [`super::Server::sockets`].
    ///
    /// # Errors
    ///
    /// When the system has no descriptor left.
    pub fn sockets(&self) -> io::Result<Vec<(ListenerName, OwnedFd)>> {
        bound::sockets(self.standing.iter().map(|it| &it.bound))
    }

    /// Writes a listener down; returns what workers accept on.
    fn enter(
        &mut self,
        mut bound: Bound,
        shared: Vec<bound::Socket>,
    ) -> impl Iterator<Item = Listener> + use<> {
        let number = self.next;
        self.next += 1;
        self.files.add(bound.file.take());
        let door = Arc::clone(&bound.door);
        self.standing.push(Standing { number, bound });
        shared.into_iter().map(move |socket| Listener {
            number,
            door: Arc::clone(&door),
            socket,
        })
    }

    /// Makes a listener that stays where it is into what it is to be.
    fn alter(
        &mut self,
        mut kept: Standing,
        spec: ListenerSpec,
        limit: Duration,
        changes: &mut ListenerChanges,
    ) {
        if kept.bound.spec != spec {
            let (number, door) = (kept.number, Arc::new(Door::new(&spec)));
            self.tell_all(|| Order::Change {
                number,
                door: Arc::clone(&door),
                limit,
            });
            changes.changed.push(spec.name.clone());
            kept.bound.door = door;
            kept.bound.spec = spec;
        }
        self.standing.push(kept);
    }

    fn tell_all(&self, order: impl Fn() -> Order) {
        for worker in &self.workers {
            tell(worker, order());
        }
    }
}

fn tell(worker: &UnboundedSender<Order>, order: Order) {
    if worker.send(order).is_err() {
        tracing::error!("a worker that has ended can't be told of other listeners");
    }
}

impl Standing {
    /// Tells whether a listener is to be where this one is.
    fn is_place_of(&self, spec: &ListenerSpec) -> bool {
        match (&self.bound.spec.address, &spec.address) {
            (ListenerAddress::Tcp(here), ListenerAddress::Tcp(there)) => {
                // Port 0 is another one each time.
                here == there && (here.port() != 0 || self.bound.spec.name == spec.name)
            }
            (ListenerAddress::Unix { path, .. }, ListenerAddress::Unix { path: there, .. }) => {
                path == there
            }
            (ListenerAddress::Tcp(_), ListenerAddress::Unix { .. })
            | (ListenerAddress::Unix { .. }, ListenerAddress::Tcp(_)) => false,
        }
    }

    fn has_other_mode(&self, spec: &ListenerSpec) -> bool {
        match (&self.bound.spec.address, &spec.address) {
            (ListenerAddress::Unix { mode, .. }, ListenerAddress::Unix { mode: other, .. }) => {
                mode != other
            }
            _ => false,
        }
    }
}
