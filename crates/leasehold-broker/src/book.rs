//! What is written into the ledger, and when.
//!
//! An intent is on disk before a lease is asked for; everything else is noted as it happens. Names and
//! accessors alone go in: the ledger's room can't hold material.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use leasehold_lease::{ProviderId, SlotId};
use leasehold_ledger::{AnchorEnd, Change, Event, IntentId, Ledger};
use leasehold_model::{
    Accessor, AnchorEpoch, BootTime, Chain, Clock, ConsumerName, CredentialName, Failure,
    GenerationNumber, Holder, LeaseId, ProviderName, SessionEpoch,
};
use leasehold_provider::{BoxFuture, ProviderError, SessionGrant};
use tokio::time::timeout;

/// The ledger, and what is needed to name things as it does.
pub(crate) struct Book {
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    providers: BTreeMap<ProviderId, ProviderName>,
    intents: u64,
    open: BTreeMap<Key, IntentId>,
    leases: BTreeMap<Key, LeaseId>,
    holders: BTreeMap<(ProviderId, Holder), Held>,
    former: BTreeMap<(ProviderId, Accessor), Inherited>,
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
            clock,
            providers,
            intents: 0,
            open: BTreeMap::new(),
            leases: BTreeMap::new(),
            holders: BTreeMap::new(),
            former: BTreeMap::new(),
        }
    }

    /// Returns how many failed commits and unwritten changes there are.
    pub(crate) fn health(&self) -> (u64, usize) {
        let health = self.ledger.health();
        (health.failures, health.unwritten)
    }

    /// Writes what is queued and lets go of the file.
    pub(crate) async fn close(self) {
        let ledger = self.ledger;
        let closed = tokio::task::spawn_blocking(move || ledger.close()).await;
        match closed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error = %Chain(&error), "close the ledger"),
            Err(error) => tracing::error!(error = %Chain(&error), "close the ledger"),
        }
    }

    // === leases ===

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

    // === what leases hang on ===

    /// Notes a login, or that one was prolonged.
    pub(crate) fn session(
        &mut self,
        provider: ProviderId,
        epoch: SessionEpoch,
        t_send: BootTime,
        grant: &SessionGrant,
    ) {
        let holder = Holder::Session(epoch);
        if let Some(held) = self.hold(provider, holder, t_send, grant) {
            let event = Event::SessionOpened {
                epoch,
                accessor: held.accessor,
                logged_in_at: held.since,
                deadline: self.wall(held.deadline),
            };
            self.note(provider, event);
        }
    }

    pub(crate) fn anchor_minted(
        &mut self,
        (provider, epoch): (ProviderId, SessionEpoch),
        anchor: AnchorEpoch,
        t_send: BootTime,
        grant: &SessionGrant,
    ) {
        let holder = Holder::Anchor(anchor);
        if let Some(held) = self.hold(provider, holder, t_send, grant) {
            let event = Event::AnchorMinted {
                epoch,
                accessor: held.accessor,
                deadline: self.wall(held.deadline),
            };
            self.note(provider, event);
        }
    }

    pub(crate) fn anchor_renewed(
        &mut self,
        provider: ProviderId,
        anchor: AnchorEpoch,
        t_send: BootTime,
        grant: &SessionGrant,
    ) {
        let holder = Holder::Anchor(anchor);
        if let Some(held) = self.hold(provider, holder, t_send, grant) {
            let event = Event::AnchorRenewed {
                accessor: held.accessor,
                deadline: self.wall(held.deadline),
            };
            self.note(provider, event);
        }
    }

    /// Notes that the provider confirmed the end of a session or an anchor, or that it is dead.
    pub(crate) fn ended(&mut self, provider: ProviderId, holder: Holder, end: AnchorEnd) {
        let Some(held) = self.holders.remove(&(provider, holder)) else {
            return;
        };
        let kind = match holder {
            Holder::Session(_) => Kind::Session,
            Holder::Anchor(_) => Kind::Anchor,
        };
        self.end(provider, held.accessor, kind, end);
    }

    /// Notes that the provider would not end a session or an anchor.
    pub(crate) fn refused(&mut self, provider: ProviderId, holder: Holder) {
        if let Some(held) = self.holders.get_mut(&(provider, holder)) {
            held.refused = true;
        }
    }

    /// Ends the sessions and anchors that the engine has no longer: they are dead or have run out. One
    /// that the provider would not end lives until its deadline.
    pub(crate) fn keep(&mut self, now: BootTime, alive: &BTreeSet<(ProviderId, Holder)>) {
        let over = |at: &(ProviderId, Holder), held: &Held| {
            !alive.contains(at) && (!held.refused || held.deadline <= now)
        };
        let gone = self.holders.iter().filter(|(at, held)| over(at, held));
        let gone: Vec<_> = gone.map(|(at, _)| *at).collect();
        for (provider, holder) in gone {
            self.ended(provider, holder, AnchorEnd::Lost);
        }
    }

    // === what earlier processes left ===

    /// Remembers something that an earlier process left, to end its entry once it is ended.
    pub(crate) fn adopt(&mut self, provider: ProviderId, accessor: Accessor, it: Inherited) {
        let known = self.former.entry((provider, accessor)).or_insert(it);
        if known.kind == Kind::Unknown {
            *known = it;
        }
    }

    pub(crate) fn adopted(&self) -> impl Iterator<Item = (ProviderId, &Accessor)> {
        self.former
            .keys()
            .map(|(provider, accessor)| (*provider, accessor))
    }

    pub(crate) fn former_ended(&mut self, provider: ProviderId, accessor: &Accessor) {
        let at = (provider, accessor.clone());
        if let Some(former) = self.former.remove(&at) {
            self.end(provider, at.1, former.kind, AnchorEnd::Revoked);
        }
    }

    /// Notes that the provider would not end something. It is tried again by the next process, unless
    /// its time is over.
    pub(crate) fn former_refused(&mut self, provider: ProviderId, accessor: &Accessor) {
        let at = (provider, accessor.clone());
        let now = self.clock.boot();
        let over = |it: &Inherited| it.deadline <= now;
        if self.former.get(&at).is_some_and(over)
            && let Some(former) = self.former.remove(&at)
        {
            self.end(provider, at.1, former.kind, AnchorEnd::Lost);
        }
    }

    /// Drops the intents whose holder has no name to be ended by.
    pub(crate) fn drop_nameless(&self, provider: ProviderId) {
        let holder = nameless();
        self.note(provider, Event::HolderEnded { holder });
    }

    pub(crate) fn orphan_revoked(&self, provider: ProviderId, lease_id: &LeaseId) {
        let lease_id = lease_id.clone();
        self.note(provider, Event::LeaseRevoked { lease_id });
    }

    pub(crate) fn orphan_claimed(&self, provider: ProviderId, lease_id: &LeaseId) {
        let lease_id = lease_id.clone();
        self.note(provider, Event::LeaseExpiryClaimed { lease_id });
    }

    pub(crate) fn orphan_irrevocable(&self, provider: ProviderId, lease_id: &LeaseId) {
        let lease_id = lease_id.clone();
        self.note(provider, Event::LeaseIrrevocable { lease_id });
    }

    // === details ===

    fn hold(
        &mut self,
        provider: ProviderId,
        holder: Holder,
        t_send: BootTime,
        grant: &SessionGrant,
    ) -> Option<Held> {
        let at = (provider, holder);
        let known = self.holders.get(&at);
        let accessor = grant.accessor.as_ref();
        // A renewal need not repeat it; something without one can't be named and has no entry.
        let accessor = accessor.or_else(|| known.map(|it| &it.accessor))?.clone();
        let held = Held {
            accessor,
            since: known.map_or_else(|| self.clock.wall(), |it| it.since),
            deadline: grant.ttl.map_or(BootTime::NEVER, |ttl| t_send.after(ttl)),
            refused: false,
        };
        self.holders.insert(at, held.clone());
        Some(held)
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
