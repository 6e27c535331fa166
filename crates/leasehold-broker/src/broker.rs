mod outcomes;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use leasehold_lease::{Action, Engine, Event, Kind, Notice, ProviderId, SlotId};
use leasehold_model::{
    BootTime, Clock, CredentialName, GenerationNumber, LeaseId, Provenance, ProviderName,
};
use leasehold_provider::{FingerprintKey, Material, Provider, Source};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::call::{Call, Caller, Target};
use crate::handle::{Drained, Generation, Handle};
use crate::metrics::BrokerMetrics;
use crate::report;

/// Turns the material of a generation into the form that it is injected in.
pub type Prepare<P> =
    Box<dyn Fn(&Material) -> Result<P, Box<dyn Error + Send + Sync>> + Send + Sync>;

/// One credential as declared.
pub struct CredentialSpec<P> {
    /// Its name.
    pub name: CredentialName,
    /// Who is asked for it.
    pub provider: ProviderName,
    /// What is asked for.
    pub source: Source,
    /// By what rules it ages.
    pub kind: Kind,
    /// What is made of it. An error keeps the generation out of service.
    pub prepare: Prepare<P>,
}

/// A credential names a provider that has not been declared.
#[derive(Debug, thiserror::Error)]
#[error("credential {credential} names provider {provider}, which is not declared")]
pub struct UnknownProvider {
    /// The credential.
    pub credential: CredentialName,
    /// The provider it names.
    pub provider: ProviderName,
}

/// What the broker could not give back before it had to stop.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Leases known by name.
    pub leases: Vec<Leftover>,
    /// Calls that had no answer yet: an issue among them may still bring a credential to life.
    pub unanswered: usize,
    /// Sessions that have not been ended: they run out by themselves, and what hangs on them too.
    pub sessions: usize,
}

impl End {
    /// Tells whether nothing was left behind.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        *self == Self::default()
    }
}

/// A lease that could not be given back before the broker had to stop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// The credential.
    pub credential: CredentialName,
    /// The generation.
    pub generation: GenerationNumber,
    /// The lease, to be revoked by hand.
    pub lease_id: LeaseId,
}

/// Keeps the leases of one gateway alive.
pub struct Broker<P> {
    engine: Engine,
    rng: Rng,
    clock: Arc<dyn Clock>,
    fingerprints: FingerprintKey,
    metrics: BrokerMetrics,
    providers: Vec<(ProviderName, Caller)>,
    by_name: BTreeMap<ProviderName, ProviderId>,
    credentials: Vec<Credential<P>>,
    drained: mpsc::UnboundedReceiver<(SlotId, GenerationNumber)>,
    notify_drained: mpsc::UnboundedSender<(SlotId, GenerationNumber)>,
    calls: FuturesUnordered<Call>,
    actions: Vec<Action>,
}

struct Credential<P> {
    handle: Handle<P>,
    provider: ProviderId,
    source: Source,
    prepare: Prepare<P>,
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
        let (notify_drained, drained) = mpsc::unbounded_channel();
        Self {
            engine: Engine::default(),
            rng: Rng::new(),
            clock,
            fingerprints,
            metrics,
            providers: Vec::new(),
            by_name: BTreeMap::new(),
            credentials: Vec::new(),
            drained,
            notify_drained,
            calls: FuturesUnordered::new(),
            actions: Vec::new(),
        }
    }

    /// Declares a provider.
    pub fn provider(&mut self, name: ProviderName, provider: Arc<dyn Provider>) {
        let id = self.engine.declare_provider(self.clock.boot(), false);
        self.by_name.insert(name.clone(), id);
        let caller = Caller::new(provider, id, Arc::clone(&self.clock));
        self.providers.push((name, caller));
    }

    /// Declares a credential and returns the hold that readers take on it.
    ///
    /// # Errors
    ///
    /// When its provider has not been declared before.
    pub fn credential(&mut self, spec: CredentialSpec<P>) -> Result<Handle<P>, UnknownProvider> {
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
        self.metrics.ready(&name, false);
        let handle = Handle::new(name);
        // Slots are numbered as they are declared, so a slot's number is its place in the list.
        self.engine.declare(provider, kind, self.clock.boot());
        self.credentials.push(Credential {
            handle: handle.clone(),
            provider,
            source,
            prepare,
        });
        Ok(handle)
    }

    /// Keeps leases alive until `shutdown`, then gives everything back, taking `budget` at most.
    ///
    /// Requests should have ended by then: a lease is revoked once no request uses it any more.
    pub async fn run(mut self, shutdown: CancellationToken, budget: Duration) -> End {
        self.step(Event::Tick, None);
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.proceed() => {}
            }
        }
        for (_, caller) in &self.providers {
            caller.stop_issuing();
        }
        self.step(Event::Shutdown, None);
        let everything_given_back = async {
            while !self.engine.is_finished() {
                self.proceed().await;
            }
        };
        let in_time = tokio::time::timeout(budget, everything_given_back)
            .await
            .is_ok();
        End {
            leases: self.leftovers(),
            unanswered: if in_time { 0 } else { self.calls.len() },
            sessions: self.engine.open_sessions(),
        }
    }

    /// Waits for the next thing to happen and deals with it. Nothing is lost where the wait is
    /// abandoned.
    async fn proceed(&mut self) {
        let now = self.clock.boot();
        // Tokio's clock stands still while the machine sleeps: look at ours often enough.
        let nap = self.engine.wake().since(now).min(LONGEST_NAP);
        tokio::select! {
            Some(outcome) = self.calls.next(), if !self.calls.is_empty() => self.conclude(outcome),
            Some((slot, number)) = self.drained.recv() => {
                self.step(Event::Drained { slot, number }, None);
            }
            () = tokio::time::sleep(nap) => self.step(Event::Tick, None),
        }
    }

    fn step(&mut self, event: Event, mut candidate: Option<Candidate<P>>) {
        let now = self.clock.boot();
        let mut actions = std::mem::take(&mut self.actions);
        self.engine.step(now, event, &mut self.rng, &mut actions);
        for action in actions.drain(..) {
            self.act(now, action, &mut candidate);
        }
        self.actions = actions;
    }

    fn act(&mut self, now: BootTime, action: Action, candidate: &mut Option<Candidate<P>>) {
        match action {
            Action::Activate {
                slot,
                number,
                deadline,
            } => {
                if let Some(candidate) = candidate.take() {
                    self.activate(now, slot, number, deadline, candidate);
                }
            }
            Action::Discard { .. } => *candidate = None,
            Action::Extend {
                slot,
                number,
                deadline,
            } => {
                if let Some(credential) = self.credentials.get(slot.index()) {
                    credential.handle.extend(number, deadline);
                }
            }
            Action::Withdraw { slot } => {
                if let Some(credential) = self.credentials.get(slot.index()) {
                    credential.handle.withdraw();
                    self.metrics.ready(credential.handle.credential(), false);
                }
            }
            Action::Notify(notice) => {
                if let Some(credential) =
                    slot_of(&notice).and_then(|slot| self.credentials.get(slot.index()))
                {
                    report::notice(&self.metrics, credential.handle.credential(), &notice);
                }
            }
            Action::Login { provider, epoch } => {
                self.call_session(provider, |it| it.login(epoch));
            }
            Action::RenewSession { provider, epoch } => {
                self.call_session(provider, |it| it.renew_session(epoch));
            }
            Action::RevokeSession { provider, epoch } => {
                self.call_session(provider, |it| it.revoke_session(epoch));
            }
            Action::Fetch {
                slot,
                number,
                holder,
            } => {
                self.call(slot, |it, of| {
                    it.fetch(slot, number, holder, of.source.clone())
                });
            }
            Action::MintAnchor { .. }
            | Action::RenewAnchor { .. }
            | Action::RevokeAnchor { .. }
            | Action::RevokeOrphan { .. }
            | Action::RevokeFormer { .. }
            | Action::Forget { .. } => {}
            Action::Renew {
                slot,
                number,
                epoch,
                lease_id,
            } => {
                let target = Target {
                    slot,
                    number,
                    epoch,
                };
                self.call(slot, |it, _| it.renew(target, lease_id));
            }
            Action::Revoke {
                slot,
                number,
                epoch,
                lease_id,
            } => {
                let target = Target {
                    slot,
                    number,
                    epoch,
                };
                self.call(slot, |it, _| it.revoke(target, lease_id));
            }
        }
    }

    fn activate(
        &self,
        now: BootTime,
        slot: SlotId,
        number: GenerationNumber,
        deadline: BootTime,
        candidate: Candidate<P>,
    ) {
        let Some(credential) = self.credentials.get(slot.index()) else {
            return;
        };
        let Candidate {
            prepared,
            provenance,
        } = candidate;
        let name = credential.handle.credential();
        report::activated(&self.metrics, name, number, &provenance, now, deadline);
        let drained = Drained {
            slot,
            number,
            notify: self.notify_drained.clone(),
        };
        let generation = Generation::new(number, provenance, deadline, prepared, drained);
        credential.handle.activate(Arc::new(generation));
    }

    fn call(&self, slot: SlotId, make: impl FnOnce(&Caller, &Credential<P>) -> Call) {
        let Some(credential) = self.credentials.get(slot.index()) else {
            return;
        };
        if let Some((_, caller)) = self.providers.get(credential.provider.index()) {
            self.calls.push(make(caller, credential));
        }
    }

    fn call_session(&self, provider: ProviderId, make: impl FnOnce(&Caller) -> Call) {
        if let Some((_, caller)) = self.providers.get(provider.index()) {
            self.calls.push(make(caller));
        }
    }

    fn leftovers(&self) -> Vec<Leftover> {
        let named = |left: leasehold_lease::Leftover| {
            let credential = self.credentials.get(left.slot.index())?;
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

impl<P> fmt::Debug for CredentialSpec<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialSpec")
            .field("name", &self.name)
            .field("provider", &self.provider)
            .field("source", &self.source)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

const fn slot_of(notice: &Notice) -> Option<SlotId> {
    match notice {
        Notice::Rotating { slot, .. }
        | Notice::Expired { slot, .. }
        | Notice::Revoked { slot, .. }
        | Notice::ExpiryClaimed { slot, .. }
        | Notice::Irrevocable { slot, .. }
        | Notice::Suspect { slot, .. }
        | Notice::SuspicionDismissed { slot, .. } => Some(*slot),
        Notice::AnchorUnavailable { .. }
        | Notice::AnchorSucceeded { .. }
        | Notice::AnchorLost { .. }
        | Notice::AnchorEnded { .. }
        | Notice::OrphanClaimed { .. }
        | Notice::OrphanIrrevocable { .. }
        | Notice::CircuitOpened { .. }
        | Notice::CircuitClosed { .. } => None,
    }
}

const LONGEST_NAP: Duration = Duration::from_secs(5);
