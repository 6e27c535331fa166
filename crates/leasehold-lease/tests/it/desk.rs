//! An engine that is told by hand what happened, one event after the other.

use std::time::Duration;

use fastrand::Rng;
use leasehold_lease::{Action, Engine, Event, Kind, ProviderId, SessionTerms, SlotId, Terms};
use leasehold_model::{BootTime, GenerationNumber, LeaseId, SessionEpoch};

/// An engine, and the answers that a test writes by hand.
pub(crate) struct Desk {
    pub(crate) engine: Engine,
    rng: Rng,
    pub(crate) now: BootTime,
}

impl Desk {
    pub(crate) fn new() -> Self {
        Self {
            engine: Engine::default(),
            rng: Rng::with_seed(1),
            now: BootTime::from_nanos(1_000_000_000),
        }
    }

    pub(crate) fn provider(&mut self) -> ProviderId {
        self.engine.declare_provider(self.now, false)
    }

    pub(crate) fn anchored_provider(&mut self) -> ProviderId {
        self.engine.declare_provider(self.now, true)
    }

    pub(crate) fn slot(&mut self, provider: ProviderId, kind: Kind) -> SlotId {
        self.engine.declare(provider, kind, self.now)
    }

    pub(crate) fn step(&mut self, event: Event) -> Vec<Action> {
        let mut actions = Vec::new();
        self.engine
            .step(self.now, event, &mut self.rng, &mut actions);
        actions
    }

    /// Lets the time pass, and returns all that the engine does meanwhile.
    pub(crate) fn pass(&mut self, span: Duration) -> Vec<Action> {
        let end = self.now.after(span);
        let mut actions = Vec::new();
        while self.engine.wake() <= end {
            self.now = self.engine.wake().max(self.now);
            actions.extend(self.step(Event::Tick));
        }
        self.now = end;
        actions.extend(self.step(Event::Tick));
        actions
    }

    /// Has the first session of a provider opened for a day.
    pub(crate) fn log_in(&mut self, provider: ProviderId) -> Vec<Action> {
        self.step(Event::Tick);
        self.step(Event::LoggedIn {
            provider,
            epoch: SessionEpoch::FIRST,
            t_send: self.now,
            terms: granted(86_400),
        })
    }

    pub(crate) fn fetched(
        &mut self,
        slot: SlotId,
        number: GenerationNumber,
        terms: Terms,
    ) -> Vec<Action> {
        let t_send = self.now;
        self.step(Event::Fetched {
            slot,
            number,
            t_send,
            terms,
        })
    }
}

pub(crate) fn asks_for(actions: &[Action], wanted: SlotId) -> bool {
    let asks = |it: &Action| matches!(it, Action::Fetch { slot, .. } if *slot == wanted);
    actions.iter().any(asks)
}

pub(crate) fn is_of_an_orphan(action: &Action) -> bool {
    matches!(action, Action::RevokeOrphan { .. })
}

pub(crate) fn lease(name: &str, seconds: u64) -> Terms {
    Terms::Leased {
        lease_id: LeaseId::from(name),
        ttl: Duration::from_secs(seconds),
        renewable: true,
    }
}

pub(crate) fn granted(seconds: u64) -> SessionTerms {
    SessionTerms {
        ttl: Some(Duration::from_secs(seconds)),
        renewable: true,
        capped: false,
    }
}

pub(crate) const FIRST: GenerationNumber = GenerationNumber::FIRST;
