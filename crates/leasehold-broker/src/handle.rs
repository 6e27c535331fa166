use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use leasehold_model::{BootTime, ConsumerName, CredentialName, Failure, GenerationNumber};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::generation::Generation;
use crate::link::{Command, Link, Place};
use crate::report::Subject;

/// A reader's hold on one credential: its active generation, or none.
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

    /// Waits for a generation to use, where there is none yet: a consumer's first request finds none.
    ///
    /// # Errors
    ///
    /// When there is none within `limit`, and at once when the last attempt to get one failed in a way
    /// that does not pass by itself.
    pub async fn acquired(&self, limit: Duration) -> Result<Arc<Generation<P>>, Unavailable> {
        let acquired = async {
            let mut changes = self.cell.changes.subscribe();
            loop {
                if let Ok(generation) = self.current(self.cell.link.clock.boot()) {
                    return Ok(generation);
                }
                if self.is_hopeless() || changes.changed().await.is_err() {
                    return Err(Unavailable);
                }
            }
        };
        timeout(limit, acquired).await.unwrap_or(Err(Unavailable))
    }

    /// Tells the broker that an upstream refused generation `number`, and waits for a newer one.
    ///
    /// Resolves to a newer generation, at once where there is one already; and to `None` where there is
    /// none to be had: the provider has nothing newer, or the attempt failed, or took longer than 10
    /// seconds. However many requests suspect one generation, it is looked into once. Dropping the
    /// future abandons the wait and not the matter.
    pub async fn suspect(
        &self,
        number: GenerationNumber,
        now: BootTime,
    ) -> Option<Arc<Generation<P>>> {
        // From here on nothing that happens can be missed.
        let mut changes = self.cell.changes.subscribe();
        if let Some(newer) = self.newer_than(number, now) {
            return Some(newer);
        }
        let told = self.report(number);
        if told && let Ok(Err(gone)) = timeout(LONGEST_SUSPICION, changes.changed()).await {
            tracing::debug!(error = %gone, "a suspicion outlived its credential");
        }
        self.newer_than(number, self.cell.link.clock.boot())
    }

    /// Tells the broker that generation `number` was refused, and waits for nothing.
    pub fn doubt(&self, number: GenerationNumber) {
        self.report(number);
    }

    /// Returns the credential's declared name.
    #[must_use]
    pub fn credential(&self) -> &CredentialName {
        &self.cell.credential
    }

    /// Returns the consumer it is held for, where the credential is declared `per: consumer`.
    #[must_use]
    pub fn consumer(&self) -> Option<&ConsumerName> {
        self.cell.consumer.as_ref()
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

    pub(crate) fn new(
        credential: CredentialName,
        consumer: Option<ConsumerName>,
        link: Link,
    ) -> Self {
        let last_use = AtomicU64::new(link.clock.boot().as_nanos());
        Self {
            cell: Arc::new(Cell {
                credential,
                consumer,
                active: ArcSwapOption::empty(),
                failure: Mutex::new(None),
                changes: watch::Sender::new(()),
                suspected: AtomicU64::new(NOTHING),
                last_use,
                closed: AtomicBool::new(false),
                place: OnceLock::new(),
                link,
            }),
        }
    }

    pub(crate) fn activate(&self, generation: Arc<Generation<P>>) {
        self.cell.active.store(Some(generation));
        self.settle();
    }

    pub(crate) fn extend(&self, number: GenerationNumber, deadline: BootTime) {
        let active = self.cell.active.load();
        if let Some(active) = active.as_ref().filter(|it| it.number() == number) {
            active.extend(deadline);
        }
    }

    pub(crate) fn withdraw(&self) {
        self.cell.active.store(None);
        self.settle();
    }

    /// Serves nothing any more: the slot is forgotten.
    pub(crate) fn close(&self) {
        self.cell.closed.store(true, Ordering::Release);
        self.withdraw();
    }

    /// Notes what the last attempt to get a generation failed with.
    pub(crate) fn note_failure(&self, failure: Failure) {
        *self.cell.failure.lock() = Some(failure);
        self.settle();
    }

    pub(crate) fn note_success(&self) {
        *self.cell.failure.lock() = None;
    }

    pub(crate) fn subject(&self) -> Subject<'_> {
        Subject {
            credential: self.credential(),
            consumer: self.consumer(),
        }
    }

    /// Wakes all who wait for something to happen here. What was suspected has been looked into.
    pub(crate) fn settle(&self) {
        self.cell.suspected.store(NOTHING, Ordering::Release);
        self.cell.changes.send_replace(());
    }

    pub(crate) fn active(&self) -> Option<Arc<Generation<P>>> {
        self.cell.active.load_full()
    }

    /// Tells which slot the handle reads; once.
    pub(crate) fn take_place(&self, place: Place) {
        if self.cell.place.set(place).is_err() {
            tracing::error!(credential = %self.cell.credential, "a handle was given a second slot");
        }
    }

    pub(crate) fn place(&self) -> Option<Place> {
        self.cell.place.get().copied()
    }

    pub(crate) fn touch(&self, now: BootTime) {
        self.cell
            .last_use
            .fetch_max(now.as_nanos(), Ordering::Relaxed);
    }

    pub(crate) fn last_use(&self) -> BootTime {
        BootTime::from_nanos(self.cell.last_use.load(Ordering::Relaxed))
    }

    fn newer_than(&self, number: GenerationNumber, now: BootTime) -> Option<Arc<Generation<P>>> {
        self.current(now).ok().filter(|it| it.number() > number)
    }

    /// Tells the broker of a suspicion unless it knows; returns whether there is something to wait for.
    fn report(&self, number: GenerationNumber) -> bool {
        let Some(place) = self.place().filter(|_| !self.is_closed()) else {
            return false;
        };
        // Numbers only grow, so whoever suspects a former generation can't hide a later suspicion.
        let known = self
            .cell
            .suspected
            .fetch_max(number.get(), Ordering::AcqRel);
        known >= number.get() || self.cell.link.tell(Command::Suspected { place, number })
    }

    fn is_closed(&self) -> bool {
        self.cell.closed.load(Ordering::Acquire)
    }

    fn is_hopeless(&self) -> bool {
        if self.is_closed() {
            return true;
        }
        let failure = *self.cell.failure.lock();
        // A dead session is replaced at once, and then the credential is asked for again.
        failure.is_some_and(|it| !it.may_pass() && it != Failure::SessionDead)
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
            .field("consumer", &self.cell.consumer)
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

struct Cell<P> {
    credential: CredentialName,
    consumer: Option<ConsumerName>,
    active: ArcSwapOption<Generation<P>>,
    failure: Mutex<Option<Failure>>,
    /// Marked at each activation, withdrawal and failed or needless attempt.
    changes: watch::Sender<()>,
    /// The generation that the broker has been told is suspect.
    suspected: AtomicU64,
    last_use: AtomicU64,
    /// Whether the slot is forgotten: nobody should wait for anything here.
    closed: AtomicBool,
    /// Set when the broker has declared the slot.
    place: OnceLock<Place>,
    link: Link,
}

/// No generation has this number.
const NOTHING: u64 = 0;
/// A request that was refused can't wait for much longer than its caller would.
const LONGEST_SUSPICION: Duration = Duration::from_secs(10);
