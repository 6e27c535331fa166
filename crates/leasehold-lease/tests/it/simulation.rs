#![expect(
    clippy::expect_used,
    reason = "a simulation that is out of step has to stop the test"
)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::scenario::{Outcome, Scenario, seconds};
use fastrand::Rng;
use leasehold_lease::{Action, Engine, Event, Kind, Notice, ProviderId, SlotId};
use leasehold_model::{
    Accessor, AnchorEpoch, BootTime, Failure, GenerationNumber, Holder, LeaseId, SessionEpoch,
};

/// Runs one scenario from start to shutdown and checks every step.
pub(crate) fn run(seed: u64, scenario: &Scenario) -> Outcome {
    let _named = NamedOnFailure(seed);
    let mut simulation = Simulation::new(seed, scenario.clone());
    let end = simulation.now.after(scenario.length);
    simulation.run_until(end, |_| false);
    if scenario.leaves {
        return leave(seed, simulation);
    }
    simulation.step(Event::Shutdown);
    let stopped = simulation.now;
    let faults_end = simulation.now.after(scenario.faults_at_shutdown);
    simulation.run_until(faults_end, Engine::is_finished);
    simulation.calm_down();
    let limit = simulation.now.after(seconds(600));
    simulation.run_until(limit, Engine::is_finished);
    assert!(
        simulation.engine.is_finished(),
        "seed {seed}: not finished: {:#?}",
        simulation.engine
    );
    simulation.check_end(seed);
    simulation.outcome.given_back_in = simulation.now.since(stopped);
    simulation.outcome
}

/// Ends a run as a reload does that takes the provider out: the engine goes on, and nothing may be left.
fn leave(seed: u64, mut simulation: Simulation) -> Outcome {
    let provider = simulation.provider;
    simulation.step(Event::ProviderDismissed { provider });
    let faults_end = simulation.now.after(simulation.scenario.faults_at_shutdown);
    simulation.run_until(faults_end, |_| false);
    simulation.calm_down();
    // A lease that nobody may revoke is waited for until it has run out.
    let limit = simulation.now.after(seconds(4000));
    simulation.run_until(limit, |_| false);
    assert_eq!(
        simulation.outcome.left, 1,
        "seed {seed}: not left: {:#?}",
        simulation.engine
    );
    assert!(simulation.kinds.is_empty(), "every credential is forgotten");
    simulation.check_end(seed);
    simulation.step(Event::Shutdown);
    assert!(simulation.engine.is_finished(), "seed {seed}: not finished");
    simulation.outcome
}

/// Tells the seed of a run that a check stopped.
struct NamedOnFailure(u64);

impl Drop for NamedOnFailure {
    #[expect(
        clippy::print_stderr,
        reason = "the test has failed; this is how to replay it"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("to replay: cargo xtask simulate --seed {}", self.0);
        }
    }
}

pub(crate) struct Simulation {
    pub(crate) scenario: Scenario,
    pub(crate) engine: Engine,
    pub(crate) rng: Rng,
    pub(crate) engine_rng: Rng,
    pub(crate) start: BootTime,
    pub(crate) now: BootTime,
    pub(crate) provider: ProviderId,
    pub(crate) kinds: BTreeMap<SlotId, Kind>,
    /// Slots that were declared while the gateway ran.
    pub(crate) consumers: BTreeSet<SlotId>,
    pub(crate) agenda: BTreeMap<(BootTime, u64), Happening>,
    pub(crate) sequence: u64,
    pub(crate) sessions: BTreeMap<SessionEpoch, Life>,
    pub(crate) anchors: BTreeMap<AnchorEpoch, Life>,
    pub(crate) leases: BTreeMap<LeaseId, Life>,
    pub(crate) orphans: BTreeSet<LeaseId>,
    pub(crate) version: u64,
    pub(crate) known_gone: BTreeSet<LeaseId>,
    pub(crate) candidates: BTreeMap<(SlotId, GenerationNumber), Value>,
    pub(crate) served: BTreeMap<SlotId, Served>,
    /// What was delivered on a lease and has not come to an end that people are told of.
    pub(crate) fateless: BTreeSet<(SlotId, GenerationNumber)>,
    /// When the last credentials of each slot were made.
    pub(crate) made: BTreeMap<SlotId, VecDeque<BootTime>>,
    /// How long the latest credential of each slot was to live.
    pub(crate) granted: BTreeMap<SlotId, Duration>,
    /// Slots for which a person asked, which no budget bounds.
    pub(crate) unbounded: BTreeSet<SlotId>,
    /// When writes went out, of the last second.
    pub(crate) writes: VecDeque<BootTime>,
    pub(crate) outcome: Outcome,
    pub(crate) stopping: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) issued: BootTime,
    pub(crate) ends: BootTime,
    pub(crate) holder: Option<Holder>,
}

/// What a candidate is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Value {
    pub(crate) lease: Option<LeaseId>,
    /// The version of a stored value, zero otherwise.
    pub(crate) version: u64,
}

#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) number: GenerationNumber,
    pub(crate) deadline: BootTime,
    pub(crate) value: Value,
}

/// What is to happen at a time.
#[derive(Debug)]
pub(crate) enum Happening {
    Event(Event),
    /// An upstream refuses what is served then.
    Refusal(SlotId),
    /// A person asks for something.
    Ask,
    /// A consumer comes or goes.
    Consumer,
}

impl Simulation {
    fn new(seed: u64, scenario: Scenario) -> Self {
        let now = BootTime::from_nanos(1_000_000_000_000);
        let mut engine = Engine::default();
        let provider = engine.declare_provider(now, scenario.anchored);
        let kinds = scenario.kinds();
        let kinds = kinds
            .into_iter()
            .map(|kind| (engine.declare(provider, kind, now), kind))
            .collect();
        let mut simulation = Self {
            scenario,
            engine,
            rng: Rng::with_seed(seed),
            engine_rng: Rng::with_seed(!seed),
            start: now,
            now,
            provider,
            kinds,
            consumers: BTreeSet::new(),
            agenda: BTreeMap::new(),
            sequence: 0,
            sessions: BTreeMap::new(),
            anchors: BTreeMap::new(),
            leases: BTreeMap::new(),
            orphans: BTreeSet::new(),
            version: 1,
            known_gone: BTreeSet::new(),
            candidates: BTreeMap::new(),
            served: BTreeMap::new(),
            fateless: BTreeSet::new(),
            made: BTreeMap::new(),
            granted: BTreeMap::new(),
            unbounded: BTreeSet::new(),
            writes: VecDeque::new(),
            outcome: Outcome::default(),
            stopping: false,
        };
        simulation.leave_behind();
        simulation.write_agenda();
        simulation
    }

    /// Puts what an earlier process left into the engine's hands.
    fn leave_behind(&mut self) {
        for number in 0..self.scenario.orphans {
            let lease_id = LeaseId::from(format!("orphan-{number}").as_str());
            self.orphans.insert(lease_id.clone());
            let runs_out = self.now.after(seconds(3600));
            self.engine
                .adopt_orphan(self.provider, lease_id, runs_out, self.now);
        }
        for number in 0..self.scenario.formers {
            let accessor = Accessor::from(format!("former-{number}").as_str());
            self.engine.adopt_former(self.provider, accessor, self.now);
        }
    }

    /// Draws when upstreams refuse, people ask and consumers come and go.
    fn write_agenda(&mut self) {
        let slots: Vec<SlotId> = self.kinds.keys().copied().collect();
        let length = self.scenario.length.as_secs_f64();
        let plan = [
            self.scenario.refusals,
            self.scenario.asks,
            self.scenario.consumers,
        ];
        for (what, a_second) in plan.into_iter().enumerate() {
            // With none a second, the first is never.
            let mut draw = || self.rng.f64() * 2.0 / a_second;
            let mut times = Vec::new();
            let mut at = draw();
            while at < length {
                times.push(at);
                at += draw();
            }
            for at in times {
                let when = self.start.after(Duration::from_secs_f64(at));
                let slot = self.rng.choice(&slots).copied();
                let happening = match (what, slot) {
                    (0, Some(slot)) => Happening::Refusal(slot),
                    (1, _) => Happening::Ask,
                    _ => Happening::Consumer,
                };
                self.push(when, happening);
            }
        }
    }

    /// Ends every fault, so that what is left must come to its end.
    fn calm_down(&mut self) {
        let calm = Scenario {
            lease_ttl: self.scenario.lease_ttl,
            lease_max: self.scenario.lease_max,
            session_ttl: self.scenario.session_ttl,
            session_max: self.scenario.session_max,
            anchored: self.scenario.anchored,
            anchor_period: self.scenario.anchor_period,
            revocations_fail: self.scenario.revocations_fail,
            mints_fail: self.scenario.mints_fail,
            sessions_renewable: self.scenario.sessions_renewable,
            leaves: self.scenario.leaves,
            ..Scenario::calm()
        };
        self.scenario = calm;
    }

    fn run_until(&mut self, end: BootTime, done: impl Fn(&Engine) -> bool) {
        let mut idle = 0;
        while !done(&self.engine) {
            let first = self.agenda.first_key_value().map(|(key, _)| *key);
            let happens_at = first.map_or(BootTime::NEVER, |(at, _)| at);
            let next = happens_at.min(self.engine.wake());
            if next > end {
                self.now = end;
                return;
            }
            idle = if next > self.now { 0 } else { idle + 1 };
            assert!(idle < 10_000, "the engine spins: {:#?}", self.engine);
            self.now = self.now.max(next);
            let happening = first
                .filter(|(at, _)| *at <= self.now)
                .map(|key| self.agenda.remove(&key).expect("the key was just seen"));
            if let Some(event) = happening.map_or(Some(Event::Tick), |it| self.event_of(it)) {
                self.step(event);
            }
        }
    }

    fn event_of(&mut self, happening: Happening) -> Option<Event> {
        match happening {
            Happening::Event(event) => Some(event),
            _ if self.stopping => None,
            Happening::Refusal(slot) => {
                let number = self.served.get(&slot)?.number;
                Some(Event::Suspected { slot, number })
            }
            Happening::Ask => self.ask(),
            Happening::Consumer => self.consumer(),
        }
    }

    fn ask(&mut self) -> Option<Event> {
        let slots: Vec<SlotId> = self.kinds.keys().copied().collect();
        let slot = *self.rng.choice(&slots)?;
        self.unbounded.insert(slot);
        Some(match self.rng.u32(0..4) {
            0 => Event::AnchorRotationAsked {
                provider: self.provider,
            },
            1 => Event::RevocationAsked { slot, number: None },
            _ => Event::RotationAsked { slot },
        })
    }

    fn consumer(&mut self) -> Option<Event> {
        let here: Vec<SlotId> = self.consumers.iter().copied().collect();
        if here.len() < 5 && self.rng.bool() {
            let slot = self.engine.declare(self.provider, Kind::Leased, self.now);
            assert!(
                self.kinds.insert(slot, Kind::Leased).is_none(),
                "{slot:?} is in use"
            );
            self.consumers.insert(slot);
            return Some(Event::Tick);
        }
        let slot = *self.rng.choice(&here)?;
        Some(Event::Dismissed { slot })
    }

    fn step(&mut self, event: Event) {
        let leaves = matches!(event, Event::ProviderDismissed { .. });
        self.stopping |= leaves || event == Event::Shutdown;
        self.note(&event);
        let mut actions = Vec::new();
        self.engine
            .step(self.now, event, &mut self.engine_rng, &mut actions);
        for action in actions {
            self.act(action);
        }
        self.check();
    }

    fn note(&mut self, event: &Event) {
        if let Event::RenewFailed {
            slot,
            number,
            failure: Failure::LeaseGone,
            ..
        } = event
            && let Some(served) = self.served.get(slot).filter(|it| it.number == *number)
        {
            self.known_gone.extend(served.value.lease.clone());
        }
        if let Event::Fetched { slot, number, .. } = event
            && let Some(value) = self.candidates.get(&(*slot, *number))
            && value.lease.is_some()
        {
            self.fateless.insert((*slot, *number));
        }
    }

    /// What must hold after each step, whatever the provider does.
    fn check(&self) {
        for (slot, served) in &self.served {
            assert!(
                self.now < served.deadline,
                "{slot:?} is served past its deadline"
            );
            let Some((id, life)) = served
                .value
                .lease
                .as_ref()
                .and_then(|id| self.leases.get_key_value(id))
            else {
                continue;
            };
            assert!(
                self.now < life.ends,
                "{slot:?} is served after its lease has ended"
            );
            assert!(
                !self.known_gone.contains(id),
                "{slot:?} is served and known to be gone"
            );
            // What ran out took the lease with it. What was killed can't be known of before the next
            // call is refused.
            let holder = match life.holder {
                Some(Holder::Session(epoch)) => self.sessions.get(&epoch),
                Some(Holder::Anchor(anchor)) => self.anchors.get(&anchor),
                None => None,
            };
            assert!(
                holder.is_none_or(|holder| self.now < holder.ends),
                "{slot:?} is served after what it hangs on has ended"
            );
        }
    }

    /// What must hold at the end: nothing is alive, and nothing came to an end that nobody was told of.
    fn check_end(&self, seed: u64) {
        // One whose margin ran out while it could not be ended has that margin left to live.
        let now = self.now.after(seconds(10));
        let alive = |it: &&Life| it.ends > now;
        let sessions: Vec<_> = self.sessions.values().filter(alive).collect();
        assert!(
            sessions.is_empty(),
            "seed {seed}: sessions left alive: {sessions:?}"
        );
        let anchors: Vec<_> = self.anchors.values().filter(alive).collect();
        assert!(
            anchors.is_empty(),
            "seed {seed}: anchors left alive: {anchors:?}"
        );
        // A lease dies with what it hangs on, so none is left either. Where each must have been
        // revoked by name, the test asserts that none was claimed.
        assert!(
            self.fateless.is_empty(),
            "seed {seed}: forgotten: {:?}",
            self.fateless
        );
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Login { epoch, .. } => self.login(epoch),
            Action::RenewSession { epoch, .. } => self.renew_session(epoch),
            Action::RevokeSession { epoch, .. } => self.revoke_session(epoch),
            Action::MintAnchor { epoch, anchor, .. } => self.mint(epoch, anchor),
            Action::RenewAnchor { epoch, anchor, .. } => self.renew_anchor(epoch, anchor),
            Action::RevokeAnchor { epoch, anchor, .. } => self.revoke_anchor(epoch, anchor),
            Action::RevokeOrphan {
                epoch, lease_id, ..
            } => self.revoke_orphan(epoch, lease_id),
            Action::RevokeFormer {
                epoch, accessor, ..
            } => self.revoke_former(epoch, accessor),
            Action::Fetch {
                slot,
                number,
                holder,
            } => self.fetch(slot, number, holder),
            Action::Renew {
                slot,
                number,
                epoch,
                lease_id,
            } => self.renew(slot, number, epoch, &lease_id),
            Action::Revoke {
                slot,
                number,
                epoch,
                lease_id,
            } => self.revoke(slot, number, epoch, &lease_id),
            Action::Activate {
                slot,
                number,
                deadline,
            } => self.activate(slot, number, deadline),
            Action::Discard { slot, number } => {
                self.candidates
                    .remove(&(slot, number))
                    .expect("a candidate that was fetched");
            }
            Action::Extend {
                slot,
                number,
                deadline,
            } => {
                let served = self
                    .served
                    .get_mut(&slot)
                    .expect("only what is served is extended");
                assert_eq!(served.number, number);
                served.deadline = deadline;
            }
            Action::Withdraw { slot } => self.withdraw(slot),
            Action::Forget { slot } => self.forget(slot),
            Action::ForgetProvider { .. } => self.outcome.left += 1,
            Action::Notify(notice) => self.notice(&notice),
        }
    }

    fn notice(&mut self, notice: &Notice) {
        match notice {
            Notice::Revoked { slot, number } => {
                self.fateless.remove(&(*slot, *number));
            }
            Notice::ExpiryClaimed { slot, number } => {
                self.outcome.claimed += 1;
                self.fateless.remove(&(*slot, *number));
            }
            Notice::Irrevocable { slot, number, .. } => {
                self.outcome.irrevocable += 1;
                self.fateless.remove(&(*slot, *number));
            }
            Notice::Suspect { .. } => self.outcome.suspects += 1,
            Notice::CircuitOpened { .. } => self.outcome.circuits += 1,
            Notice::AnchorUnavailable { .. } => self.outcome.unavailable += 1,
            _ => {}
        }
    }

    fn forget(&mut self, slot: SlotId) {
        assert!(
            !self.served.contains_key(&slot),
            "what is served is forgotten"
        );
        assert!(
            self.consumers.remove(&slot) || self.stopping && self.scenario.leaves,
            "only what was dismissed is forgotten"
        );
        self.kinds.remove(&slot);
        self.granted.remove(&slot);
        self.made.remove(&slot);
        let left = self.fateless.iter().find(|(it, _)| *it == slot);
        assert_eq!(left, None, "forgotten with a lease that nobody was told of");
        self.outcome.forgotten += 1;
    }

    fn activate(&mut self, slot: SlotId, number: GenerationNumber, deadline: BootTime) {
        let value = self
            .candidates
            .remove(&(slot, number))
            .expect("a candidate that was fetched");
        if !self.served.contains_key(&slot) {
            self.outcome.back_at = self.now.since(self.start);
        }
        self.outcome.activations += 1;
        self.granted.insert(slot, self.scenario.least_life());
        let served = Served {
            number,
            deadline,
            value,
        };
        let version = served.value.version;
        if let Some(old) = self.served.insert(slot, served) {
            assert!(old.number < number, "generations only grow");
            assert!(
                old.value.version == 0 || old.value.version < version,
                "versions only grow"
            );
            self.drain(slot, old.number);
        }
    }

    fn withdraw(&mut self, slot: SlotId) {
        if let Some(old) = self.served.remove(&slot) {
            self.outcome.interruptions += u32::from(!self.stopping);
            self.drain(slot, old.number);
        }
    }

    fn drain(&mut self, slot: SlotId, number: GenerationNumber) {
        let at = self.now.after(Duration::from_millis(self.rng.u64(0..500)));
        self.push(at, Happening::Event(Event::Drained { slot, number }));
    }

    pub(crate) fn answer(&mut self, event: Event) {
        let at = self
            .now
            .after(self.scenario.slowest.mul_f64(self.rng.f64()));
        self.push(at, Happening::Event(event));
    }

    fn push(&mut self, at: BootTime, happening: Happening) {
        self.sequence += 1;
        self.agenda.insert((at, self.sequence), happening);
    }
}
