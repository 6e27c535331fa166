//! What is written into the ledger, and when.
//!
//! An intent is on disk before a lease is asked for; everything else is noted as it happens. Names and
//! accessors alone go in: the ledger's room can't hold material.

mod former;
mod holders;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leasehold_lease::{ProviderId, SlotId};
use leasehold_ledger::{AnchorEnd, Change, Event, IntentId, Ledger};
use leasehold_model::{
    Accessor, BootTime, Chain, Clock, ConsumerName, CredentialName, Failure, GenerationNumber,
    Holder, LeaseId, ProviderName,
};
use leasehold_provider::{BoxFuture, ProviderError};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// The ledger, and what is needed to name things as it does.
pub(crate) struct Book {
    ledger: Arc<Ledger>,
    /// Ledgers of earlier processes: what they list is ended there too.
    others: Vec<Ledger>,
    clock: Arc<dyn Clock>,
    providers: BTreeMap<ProviderId, ProviderName>,
    intents: u64,
    open: BTreeMap<Key, IntentId>,
    leases: BTreeMap<Key, LeaseId>,
    holders: BTreeMap<(ProviderId, Holder), Held>,
    former: BTreeMap<(ProviderId, Accessor), Inherited>,
    /// When leases of earlier processes run out.
    orphans: BTreeMap<(ProviderId, LeaseId), BootTime>,
}

/// A generation, by its slot and number.
pub(crate) type Key = (SlotId, GenerationNumber);

/// A login or an anchor of this process.
#[derive(Clone, Debug)]
struct Held {
    accessor: Accessor,
    since: SystemTime,
    deadline: BootTime,
    /// The provider would not end it: it lives until it runs out.
    refused: bool,
}

/// What something of an earlier process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Session,
    Anchor,
    /// Something that an intent names and that has no entry of its own, after a repair.
    Unknown,
}

/// Something of an earlier process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Inherited {
    pub(crate) kind: Kind,
    /// When it ends by itself, as far as the ledger knows.
    pub(crate) deadline: BootTime,
}

/// Whom a lease is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) key: Key,
    pub(crate) provider: ProviderId,
    pub(crate) holder: Holder,
    pub(crate) credential: &'a CredentialName,
    pub(crate) consumer: Option<&'a ConsumerName>,
}

/// Resolves once an intent is on disk; an error means that nothing may be asked for.
pub(crate) type Intent = BoxFuture<'static, Result<(), ProviderError>>;

impl Book {
    pub(crate) fn new(
        ledger: Ledger,
        clock: Arc<dyn Clock>,
        providers: BTreeMap<ProviderId, ProviderName>,
    ) -> Self {
        Self {
            ledger: Arc::new(ledger),
            others: Vec::new(),
            clock,
            providers,
            intents: 0,
            open: BTreeMap::new(),
            leases: BTreeMap::new(),
            holders: BTreeMap::new(),
            former: BTreeMap::new(),
            orphans: BTreeMap::new(),
        }
    }

    /// Learns of a provider that was declared after the ledger was opened.
    pub(crate) fn know(&mut self, provider: ProviderId, name: ProviderName) {
        self.providers.insert(provider, name);
    }

    /// Returns how many failed commits and unwritten changes there are.
    pub(crate) fn health(&self) -> (u64, usize) {
        let health = self.ledger.health();
        (health.failures, health.unwritten)
    }

    /// Keeps the ledger of another process beside its own, until nothing of that process is left.
    pub(crate) fn inherit(&mut self, ledger: Ledger) {
        self.others.push(ledger);
    }

    /// Lets go of the ledgers of other processes, where nothing is left of any.
    pub(crate) fn let_go(&mut self) {
        if !self.others.is_empty() && self.former.is_empty() && self.orphans.is_empty() {
            for ledger in self.others.drain(..) {
                drop(spawn_blocking(move || close(&ledger)));
            }
        }
    }

    /// Writes what is queued and lets go of the files.
    pub(crate) async fn close(self) {
        let (ledger, others) = (self.ledger, self.others);
        let closed = spawn_blocking(move || {
            close(&ledger);
            others.iter().for_each(close);
        });
        if let Err(error) = closed.await {
            tracing::error!(error = %Chain(&error), "close the ledger");
        }
    }

    /// Begins to write that a lease is about to be asked for.
    pub(crate) fn intend(&mut self, asked: Asked<'_>) -> Intent {
        let id = IntentId(self.intents);
        self.intents = self.intents.saturating_add(1);
        self.open.insert(asked.key, id);
        let event = Event::IntentWritten {
            id,
            credential: asked.credential.clone(),
            consumer: asked.consumer.cloned(),
            generation: asked.key.1,
            holder: self.accessor(asked.provider, asked.holder),
            at: self.clock.wall(),
        };
        let change = self.change(asked.provider, event);
        let written = change.map(|change| self.ledger.write(change));
        Box::pin(async move {
            let Some(written) = written else {
                return Ok(());
            };
            match timeout(LONGEST_WRITE, written).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(unwritten().caused_by(error)),
                Err(elapsed) => Err(unwritten().caused_by(elapsed)),
            }
        })
    }

    pub(crate) fn issued(
        &mut self,
        provider: ProviderId,
        key: Key,
        lease_id: &LeaseId,
        deadline: BootTime,
    ) {
        let Some(id) = self.open.remove(&key) else {
            return;
        };
        self.leases.insert(key, lease_id.clone());
        let event = Event::IntentIssued {
            id,
            lease_id: lease_id.clone(),
            deadline: self.wall(deadline),
        };
        self.note(provider, event);
    }

    /// Notes that an attempt brought nothing to life, as far as that is known.
    pub(crate) fn failed(&mut self, provider: ProviderId, key: Key, failure: Failure) {
        let Some(id) = self.open.remove(&key) else {
            return;
        };
        self.note(
            provider,
            match failure {
                Failure::MaybeIssued => Event::IntentMaybeLeaked { id },
                _ => Event::IntentFailed { id },
            },
        );
    }

    pub(crate) fn renewed(&self, provider: ProviderId, lease_id: &LeaseId, deadline: BootTime) {
        let event = Event::LeaseRenewed {
            lease_id: lease_id.clone(),
            deadline: self.wall(deadline),
        };
        self.note(provider, event);
    }

    pub(crate) fn retired(&self, provider: ProviderId, lease_id: &LeaseId) {
        let lease_id = lease_id.clone();
        self.note(provider, Event::LeaseRetired { lease_id });
    }

    pub(crate) fn revoked(&mut self, provider: ProviderId, key: Key) {
        if let Some(lease_id) = self.leases.remove(&key) {
            self.note(provider, Event::LeaseRevoked { lease_id });
        }
    }

    pub(crate) fn claimed(&mut self, provider: ProviderId, key: Key) {
        if let Some(lease_id) = self.leases.remove(&key) {
            self.note(provider, Event::LeaseExpiryClaimed { lease_id });
        }
    }

    pub(crate) fn irrevocable(&self, provider: ProviderId, key: Key) {
        if let Some(lease_id) = self.leases.get(&key).cloned() {
            self.note(provider, Event::LeaseIrrevocable { lease_id });
        }
    }

    fn end(&self, provider: ProviderId, accessor: Accessor, kind: Kind, end: AnchorEnd) {
        let holder = accessor.clone();
        match kind {
            Kind::Session => self.note(provider, Event::SessionEnded { accessor }),
            Kind::Anchor => self.note(provider, Event::AnchorEnded { accessor, end }),
            Kind::Unknown => {}
        }
        self.note(provider, Event::HolderEnded { holder });
    }

    fn accessor(&self, provider: ProviderId, holder: Holder) -> Accessor {
        let held = self.holders.get(&(provider, holder));
        held.map_or_else(nameless, |it| it.accessor.clone())
    }

    fn note(&self, provider: ProviderId, event: Event) {
        if let Some(change) = self.change(provider, event) {
            if is_an_end(&change.event) {
                self.others.iter().for_each(|it| it.note(change.clone()));
            }
            self.ledger.note(change);
        }
    }

    fn change(&self, provider: ProviderId, event: Event) -> Option<Change> {
        let provider = self.providers.get(&provider)?.clone();
        Some(Change { provider, event })
    }

    /// Returns the time of day at a point of the boot clock.
    fn wall(&self, at: BootTime) -> SystemTime {
        let (boot, wall) = (self.clock.boot(), self.clock.wall());
        let ahead = at.since(boot).min(FAR_OFF);
        let then = wall.checked_add(ahead).unwrap_or(wall);
        then.checked_sub(boot.since(at)).unwrap_or(wall)
    }
}

fn close(ledger: &Ledger) {
    if let Err(error) = ledger.close() {
        tracing::error!(error = %Chain(&error), "close the ledger");
    }
}

/// Tells whether something of an earlier process may have come to its end.
const fn is_an_end(event: &Event) -> bool {
    matches!(
        event,
        Event::SessionEnded { .. }
            | Event::AnchorEnded { .. }
            | Event::HolderEnded { .. }
            | Event::LeaseRevoked { .. }
            | Event::LeaseExpiryClaimed { .. }
            | Event::LeaseIrrevocable { .. }
    )
}

/// What an intent says of a holder without an accessor: a batch token has none.
pub(crate) fn nameless() -> Accessor {
    Accessor::from("")
}

fn unwritten() -> ProviderError {
    let detail = "the intent could not be written, so nothing was asked for";
    ProviderError::new("write to the ledger", Failure::Transient, detail)
}

/// Longer than a healthy disk takes by far.
const LONGEST_WRITE: Duration = Duration::from_secs(30);
/// What has no end has it in a hundred years.
const FAR_OFF: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);
