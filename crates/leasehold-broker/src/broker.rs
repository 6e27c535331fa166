mod act;
mod change;
mod control;
mod counts;
mod derived;
mod family;
mod ledger;
mod outcomes;
mod suspects;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use fastrand::Rng;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use leasehold_lease::{Action, Engine, Event, Kind, ProviderId, SlotId};
use leasehold_model::{BootTime, Clock, CredentialName, Provenance, ProviderName};
use leasehold_provider::{FingerprintKey, Provider, Source};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::control::Waits;
use self::counts::Counts;
use crate::book::Book;
use crate::call::{Call, Caller};
use crate::change::{Change, Changes};
use crate::control::{Control, Request};
use crate::end::{End, Leftover};
use crate::family::{Family, FamilyLimits};
use crate::handle::Handle;
use crate::link::{Command, Link, Place};
use crate::metrics::BrokerMetrics;
use crate::report;
use crate::spec::{CredentialSpec, Prepare, UnknownProvider};

/// Keeps the leases of one gateway alive.
pub struct Broker<P> {
    engine: Engine,
    rng: Rng,
    fingerprints: FingerprintKey,
    metrics: BrokerMetrics,
    /// By the numbers of their sites; one that has been forgotten is empty.
    providers: Vec<Option<(ProviderName, Caller)>>,
    ids: Vec<ProviderId>,
    by_name: BTreeMap<ProviderName, ProviderId>,
    /// By the numbers of their slots; a slot that has been forgotten is empty.
    credentials: Vec<Option<Credential<P>>>,
    families: BTreeMap<usize, (Family<P>, Arc<Declared<P>>)>,
    tenures: u64,
    link: Link,
    commands: mpsc::UnboundedReceiver<Command>,
    control: Control,
    requests: mpsc::Receiver<Request>,
    changes: Changes<P>,
    drafts: mpsc::Receiver<Change<P>>,
    /// How long giving everything back may take.
    budget: Duration,
    waits: Waits,
    calls: FuturesUnordered<Call>,
    actions: Vec<Action>,
    /// What has yet to be told to the engine of what was derived.
    consequences: VecDeque<Event>,
    next_sweep: BootTime,
    counts: Counts,
    book: Option<Book>,
    stopping: bool,
}

struct Credential<P> {
    handle: Handle<P>,
    place: Place,
    /// The number of the family that it belongs to.
    family: Option<usize>,
    declared: Arc<Declared<P>>,
    /// Nobody needs it any more, or another has taken its name over.
    dismissed: bool,
}

/// What the slots of a credential have in common.
struct Declared<P> {
    provider: ProviderId,
    source: Source,
    kind: Kind,
    prepare: Prepare<P>,
    /// What each is asked for with, where that is a credential of its own.
    parent: Option<Handle<P>>,
}

/// A fetched generation between its arrival and the engine's verdict.
struct Candidate<P> {
    prepared: P,
    provenance: Provenance,
}

impl<P: Send + Sync + 'static> Broker<P> {
    /// Makes a broker that has nothing declared yet.
    #[must_use]
    pub fn new(
        clock: Arc<dyn Clock>,
        fingerprints: FingerprintKey,
        metrics: BrokerMetrics,
    ) -> Self {
        let (tell, commands) = mpsc::unbounded_channel();
        let (control, requests) = Control::new();
        let (change, drafts) = mpsc::channel(WAITING);
        let link = Link {
            clock,
            commands: tell,
        };
        let changes = Changes {
            link: link.clone(),
            requests: change,
            families: Arc::default(),
        };
        Self {
            engine: Engine::default(),
            rng: Rng::new(),
            fingerprints,
            metrics,
            providers: Vec::new(),
            by_name: BTreeMap::new(),
            credentials: Vec::new(),
            ids: Vec::new(),
            families: BTreeMap::new(),
            tenures: 0,
            link,
            commands,
            control,
            requests,
            changes,
            drafts,
            budget: Duration::ZERO,
            waits: Waits::default(),
            calls: FuturesUnordered::new(),
            actions: Vec::new(),
            consequences: VecDeque::new(),
            next_sweep: BootTime::NEVER,
            counts: Counts::default(),
            book: None,
            stopping: false,
        }
    }

    /// Declares a provider. `anchored` tells whether it is to make anchors, so that leases outlive
    /// logins.
    pub fn provider(&mut self, name: ProviderName, provider: Arc<dyn Provider>, anchored: bool) {
        let now = self.now();
        let id = self.engine.declare_provider(now, anchored);
        self.metrics.circuit(&name, false);
        self.by_name.insert(name.clone(), id);
        if let Some(book) = &mut self.book {
            book.know(id, name.clone());
        }
        let caller = Caller::new(provider, id, Arc::clone(&self.link.clock));
        self.providers.push(Some((name, caller)));
        self.ids.push(id);
    }

    /// Declares a credential and returns the hold that readers take on it.
    ///
    /// # Errors
    ///
    /// When its provider has not been declared before.
    pub fn credential(&mut self, spec: CredentialSpec<P>) -> Result<Handle<P>, UnknownProvider> {
        let (name, declared) = self.declared(spec, None)?;
        self.metrics.ready(&name, false);
        let handle = Handle::new(name, None, self.link.clone());
        self.occupy(handle.clone(), None, Arc::new(declared));
        Ok(handle)
    }

    /// Declares a credential that each consumer is to have for itself, within `limits`.
    ///
    /// # Errors
    ///
    /// When its provider has not been declared before.
    pub fn family(
        &mut self,
        spec: CredentialSpec<P>,
        limits: FamilyLimits,
    ) -> Result<Family<P>, UnknownProvider> {
        let (name, declared) = self.declared(spec, None)?;
        let number = self.changes.families.fetch_add(1, Ordering::Relaxed);
        let family = Family::new(number, name, limits, self.link.clone());
        let held = (family.clone(), Arc::new(declared));
        self.families.insert(number, held);
        Ok(family)
    }

    /// Returns the hold by which credentials and providers come and go while the broker runs.
    #[must_use]
    pub fn changes(&self) -> Changes<P> {
        self.changes.clone()
    }

    /// Returns the hold that operators take on the broker.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Keeps leases alive until `shutdown`, then gives everything back, taking `budget` at most.
    ///
    /// Requests should have ended by then: a lease is revoked once no request uses it any more.
    pub async fn run(mut self, shutdown: CancellationToken, budget: Duration) -> End {
        self.next_sweep = self.now();
        self.budget = budget;
        self.step(Event::Tick, None);
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.proceed() => {}
            }
        }
        self.stopping = true;
        self.step(Event::Shutdown, None);
        let budget = self.budget;
        let everything_given_back = async {
            while !self.engine.is_finished() {
                self.proceed().await;
            }
        };
        let in_time = tokio::time::timeout(budget, everything_given_back)
            .await
            .is_ok();
        self.count(self.now());
        let end = End {
            leases: self.leftovers(),
            unanswered: if in_time { 0 } else { self.calls.len() },
            sessions: self.engine.open_sessions(),
            orphans: self.engine.orphans(),
        };
        if let Some(book) = self.book.take() {
            report::left_for_the_next(end.orphans, book.adopted().count());
            book.close().await;
        }
        end
    }

    /// Waits for the next thing to happen and deals with it. Nothing is lost where the wait is
    /// abandoned.
    async fn proceed(&mut self) {
        // Tokio's clock stands still while the machine sleeps: look at ours often enough.
        let wake = self.engine.wake().min(self.waits.until());
        let nap = wake.since(self.now()).min(LONGEST_NAP);
        tokio::select! {
            Some(outcome) = self.calls.next(), if !self.calls.is_empty() => self.conclude(outcome),
            Some(command) = self.commands.recv() => self.obey(command),
            Some(request) = self.requests.recv() => self.attend(request),
            Some(change) = self.drafts.recv(), if !self.stopping => self.change(change),
            () = tokio::time::sleep(nap) => self.step(Event::Tick, None),
        }
        self.look_around();
    }

    /// Does what falls due outside the engine.
    fn look_around(&mut self) {
        let now = self.now();
        self.waits.give_up(now);
        if now >= self.next_sweep && !self.stopping {
            self.next_sweep = self.sweep(now);
        }
        if self.counts.are_due(now) {
            self.count(now);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Drained { place, number } => {
                if let Some(slot) = self.held_at(place) {
                    self.step(Event::Drained { slot, number }, None);
                }
            }
            Command::Suspected { place, number } => self.suspect(place, number),
            Command::Wanted { family, consumer } => self.admit(family, &consumer),
        }
    }

    fn step(&mut self, event: Event, mut candidate: Option<Candidate<P>>) {
        let now = self.now();
        let mut actions = std::mem::take(&mut self.actions);
        self.engine.step(now, event, &mut self.rng, &mut actions);
        for action in actions.drain(..) {
            self.act(now, action, &mut candidate);
        }
        self.actions = actions;
        // Each is about a credential that nothing is derived from, so this goes no deeper.
        while let Some(event) = self.consequences.pop_front() {
            self.step(event, None);
        }
    }

    fn declared(
        &self,
        spec: CredentialSpec<P>,
        parent: Option<Handle<P>>,
    ) -> Result<(CredentialName, Declared<P>), UnknownProvider> {
        let CredentialSpec {
            name,
            provider,
            source,
            kind,
            prepare,
        } = spec;
        let Some(provider) = self.by_name.get(&provider).copied() else {
            return Err(UnknownProvider {
                credential: name,
                provider,
            });
        };
        let declared = Declared {
            provider,
            source,
            kind,
            prepare,
            parent,
        };
        Ok((name, declared))
    }

    /// Gives a handle a slot.
    fn occupy(&mut self, handle: Handle<P>, family: Option<usize>, declared: Arc<Declared<P>>) {
        let now = self.now();
        let slot = self.engine.declare(declared.provider, declared.kind, now);
        self.tenures += 1;
        let place = Place {
            slot,
            tenure: self.tenures,
        };
        handle.take_place(place);
        if self.credentials.len() <= slot.index() {
            self.credentials.resize_with(slot.index() + 1, || None);
        }
        if let Some(free) = self.credentials.get_mut(slot.index()) {
            *free = Some(Credential {
                handle,
                place,
                family,
                declared,
                dismissed: false,
            });
        }
    }

    fn now(&self) -> BootTime {
        self.link.clock.boot()
    }

    fn at(&self, slot: SlotId) -> Option<&Credential<P>> {
        self.credentials.get(slot.index())?.as_ref()
    }

    fn provider_of(&self, credential: &Credential<P>) -> Option<&(ProviderName, Caller)> {
        self.caller(credential.declared.provider)
    }

    fn caller(&self, provider: ProviderId) -> Option<&(ProviderName, Caller)> {
        self.providers.get(provider.index())?.as_ref()
    }

    /// Returns the slot, unless it has been forgotten since and belongs to another.
    fn held_at(&self, place: Place) -> Option<SlotId> {
        let credential = self.at(place.slot)?;
        (credential.place == place).then_some(place.slot)
    }

    fn leftovers(&self) -> Vec<Leftover> {
        let named = |left: leasehold_lease::Leftover| {
            let credential = self.at(left.slot)?;
            Some(Leftover {
                credential: credential.handle.credential().clone(),
                generation: left.number,
                lease_id: left.lease_id,
            })
        };
        self.engine
            .leftovers()
            .into_iter()
            .filter_map(named)
            .collect()
    }
}

impl<P> fmt::Debug for Broker<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broker")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

/// Changes that may wait for the broker to take them.
const WAITING: usize = 4;
const LONGEST_NAP: Duration = Duration::from_secs(5);
