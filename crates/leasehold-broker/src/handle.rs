use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use leasehold_model::{BootTime, CredentialName, Failure, GenerationNumber, Provenance};
use parking_lot::Mutex;
use tokio::sync::mpsc;

/// A reader's hold on one declared credential: its active generation, or none.
///
/// Cloning is cheap and reading takes no lock.
pub struct Handle<P> {
    cell: Arc<Cell<P>>,
}

impl<P> Handle<P> {
    /// Returns the generation to use for a request that starts at `now`.
    ///
    /// The request keeps it until it has ended: the last holder's drop is what lets the broker
    /// revoke a generation that has been replaced.
    ///
    /// # Errors
    ///
    /// When there is none, or when the one there is has reached its deadline.
    pub fn current(&self, now: BootTime) -> Result<Arc<Generation<P>>, Unavailable> {
        // The deadline is checked here and not only by the engine, so that an engine that is held up
        // can't keep a dead credential in use.
        self.cell
            .active
            .load_full()
            .filter(|it| now < it.deadline())
            .ok_or(Unavailable)
    }

    /// Returns the credential's declared name.
    #[must_use]
    pub fn credential(&self) -> &CredentialName {
        &self.cell.credential
    }

    /// Returns how the credential stands, for readiness reports.
    #[must_use]
    pub fn standing(&self, now: BootTime) -> Standing {
        match self.current(now) {
            Ok(_) => Standing::Ready,
            Err(Unavailable) => Standing::Unavailable {
                failure: *self.cell.failure.lock(),
            },
        }
    }

    pub(crate) fn new(credential: CredentialName) -> Self {
        Self {
            cell: Arc::new(Cell {
                credential,
                active: ArcSwapOption::empty(),
                failure: Mutex::new(None),
            }),
        }
    }

    pub(crate) fn activate(&self, generation: Arc<Generation<P>>) {
        self.cell.active.store(Some(generation));
    }

    pub(crate) fn extend(&self, number: GenerationNumber, deadline: BootTime) {
        if let Some(active) = self
            .cell
            .active
            .load()
            .as_ref()
            .filter(|it| it.number == number)
        {
            active
                .deadline
                .store(deadline.as_nanos(), Ordering::Relaxed);
        }
    }

    pub(crate) fn withdraw(&self) {
        self.cell.active.store(None);
    }

    pub(crate) fn note_failure(&self, failure: Option<Failure>) {
        *self.cell.failure.lock() = failure;
    }
}

impl<P> Clone for Handle<P> {
    fn clone(&self) -> Self {
        Self {
            cell: Arc::clone(&self.cell),
        }
    }
}

impl<P> fmt::Debug for Handle<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle")
            .field("credential", &self.cell.credential)
            .finish_non_exhaustive()
    }
}

/// There is no generation that may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

/// How a credential stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is a generation to use.
    Ready,
    /// There is none.
    Unavailable {
        /// What the last attempt to get one failed with; `None` while the first is under way.
        failure: Option<Failure>,
    },
}

/// One concrete value of a credential, in the form injection prepared it in.
///
/// Dropping the last reference wipes it and tells the broker that it has drained.
pub struct Generation<P> {
    number: GenerationNumber,
    provenance: Provenance,
    deadline: AtomicU64,
    prepared: P,
    /// Kept for what its drop does.
    _drained: Drained,
}

impl<P> Generation<P> {
    /// Returns the generation's number.
    #[must_use]
    pub const fn number(&self) -> GenerationNumber {
        self.number
    }

    /// Returns where it came from.
    #[must_use]
    pub const fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Returns what injection made of it.
    #[must_use]
    pub const fn prepared(&self) -> &P {
        &self.prepared
    }

    /// Returns the time from which it must not be used.
    #[must_use]
    pub fn deadline(&self) -> BootTime {
        BootTime::from_nanos(self.deadline.load(Ordering::Relaxed))
    }

    pub(crate) fn new(
        number: GenerationNumber,
        provenance: Provenance,
        deadline: BootTime,
        prepared: P,
        drained: Drained,
    ) -> Self {
        let deadline = AtomicU64::new(deadline.as_nanos());
        Self {
            number,
            provenance,
            deadline,
            prepared,
            _drained: drained,
        }
    }
}

impl<P> fmt::Debug for Generation<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("number", &self.number)
            .field("provenance", &self.provenance)
            .finish_non_exhaustive()
    }
}

/// Tells the broker, when dropped with its generation, that nobody uses that generation any more.
pub(crate) struct Drained {
    pub(crate) slot: leasehold_lease::SlotId,
    pub(crate) number: GenerationNumber,
    pub(crate) notify: mpsc::UnboundedSender<(leasehold_lease::SlotId, GenerationNumber)>,
}

impl Drop for Drained {
    fn drop(&mut self) {
        if self.notify.send((self.slot, self.number)).is_err() {
            tracing::debug!("a generation outlived the broker");
        }
    }
}

struct Cell<P> {
    credential: CredentialName,
    active: ArcSwapOption<Generation<P>>,
    failure: Mutex<Option<Failure>>,
}
