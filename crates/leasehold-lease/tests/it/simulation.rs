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
    AnchorEpoch, BootTime, Failure, GenerationNumber, Holder, LeaseId, SessionEpoch,
};

/// Runs one scenario from start to shutdown and checks every step.
pub(crate) fn run(seed: u64, scenario: &Scenario) -> Outcome {
    let mut simulation = Simulation::new(seed, scenario.clone());
    let end = simulation.now.after(scenario.length);
    simulation.run_until(end, |_| false);
    simulation.step(Event::Shutdown);
    let faults_end = simulation.now.after(scenario.faults_at_shutdown);
    simulation.run_until(faults_end, Engine::is_finished);
    simulation.scenario.failure = 0.0;
    simulation.scenario.session_death = 0.0;
    let limit = simulation.now.after(seconds(600));
    simulation.run_until(limit, Engine::is_finished);
    assert!(
        simulation.engine.is_finished(),
        "seed {seed}: not finished: {:#?}",
        simulation.engine
    );
    let now = simulation.now;
    let sessions = simulation.sessions.iter().filter(|(_, it)| it.ends > now);
    let sessions: BTreeMap<_, _> = sessions.collect();
    assert!(
        sessions.is_empty(),
        "seed {seed}: sessions left alive: {sessions:?}"
    );
    // A lease dies with its session, so none is left either. Where each must have been revoked by
    // name, the test asserts that none was claimed.
    simulation.outcome
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
    pub(crate) answers: BTreeMap<(BootTime, u64), Event>,
    pub(crate) sequence: u64,
    pub(crate) sessions: BTreeMap<SessionEpoch, Life>,
    pub(crate) leases: BTreeMap<LeaseId, Life>,
    pub(crate) anchors: BTreeMap<AnchorEpoch, Life>,
    pub(crate) orphans: BTreeSet<LeaseId>,
    /// When the last credentials of each slot were made.
    pub(crate) made: BTreeMap<SlotId, VecDeque<BootTime>>,
    /// The slots that know how long their credentials live.
    pub(crate) granted: BTreeSet<SlotId>,
    pub(crate) version: u64,
    pub(crate) known_gone: BTreeSet<LeaseId>,
    pub(crate) candidates: BTreeMap<(SlotId, GenerationNumber), Option<LeaseId>>,
    pub(crate) served: BTreeMap<SlotId, Served>,
    pub(crate) outcome: Outcome,
    pub(crate) stopping: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) issued: BootTime,
    pub(crate) ends: BootTime,
    pub(crate) holder: Option<Holder>,
}

#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) number: GenerationNumber,
    pub(crate) deadline: BootTime,
    pub(crate) lease: Option<LeaseId>,
    pub(crate) version: u64,
}

impl Simulation {
    fn new(seed: u64, scenario: Scenario) -> Self {
        let now = BootTime::from_nanos(1_000_000_000_000);
        let mut engine = Engine::default();
        let provider = engine.declare_provider(now, scenario.anchored);
        let poll = Kind::Versioned {
            poll: seconds(10),
            max_stale: seconds(300),
        };
        let kinds = (0..scenario.leased)
            .map(|_| Kind::Leased)
            .chain((0..scenario.versioned).map(|_| poll))
            .map(|kind| (engine.declare(provider, kind, now), kind))
            .collect();
        Self {
            scenario,
            engine,
            rng: Rng::with_seed(seed),
            engine_rng: Rng::with_seed(!seed),
            start: now,
            now,
            provider,
            kinds,
            answers: BTreeMap::new(),
            sequence: 0,
            sessions: BTreeMap::new(),
            leases: BTreeMap::new(),
            anchors: BTreeMap::new(),
            orphans: BTreeSet::new(),
            made: BTreeMap::new(),
            granted: BTreeSet::new(),
            version: 1,
            known_gone: BTreeSet::new(),
            candidates: BTreeMap::new(),
            served: BTreeMap::new(),
            outcome: Outcome::default(),
            stopping: false,
        }
    }

    fn run_until(&mut self, end: BootTime, done: impl Fn(&Engine) -> bool) {
        while !done(&self.engine) {
            let answer = self.answers.first_key_value().map(|(key, _)| *key);
            let answered_at = answer.map_or(BootTime::NEVER, |(at, _)| at);
            let next = answered_at.min(self.engine.wake());
            if next > end {
                self.now = end;
                return;
            }
            self.now = self.now.max(next);
            let event = answer
                .filter(|(at, _)| *at <= self.now)
                .map(|key| self.answers.remove(&key).expect("the key was just seen"));
            self.step(event.unwrap_or(Event::Tick));
        }
    }

    fn step(&mut self, event: Event) {
        self.stopping |= event == Event::Shutdown;
        if let Event::RenewFailed {
            slot,
            number,
            failure: Failure::LeaseGone,
            ..
        } = &event
            && let Some(served) = self.served.get(slot).filter(|it| it.number == *number)
        {
            self.known_gone.extend(served.lease.clone());
        }
        let mut actions = Vec::new();
        self.engine
            .step(self.now, event, &mut self.engine_rng, &mut actions);
        for action in actions {
            self.act(action);
        }
        self.check();
    }

    /// What must hold after each step, whatever the provider does.
    fn check(&self) {
        for (slot, served) in &self.served {
            assert!(
                self.now < served.deadline,
                "{slot:?} is served past its deadline"
            );
            let Some((id, life)) = served
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
            // A session that ran out took the lease with it. One that was killed can't be known of
            // before the next call is refused.
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

    fn act(&mut self, action: Action) {
        match action {
            Action::Login { epoch, .. } => self.login(epoch),
            Action::RenewSession { epoch, .. } => self.renew_session(epoch),
            Action::RevokeSession { epoch, .. } => self.revoke_session(epoch),
            Action::Fetch {
                slot,
                number,
                holder,
            } => self.fetch(slot, number, holder),
            Action::MintAnchor { epoch, anchor, .. } => self.mint(epoch, anchor),
            Action::RenewAnchor { epoch, anchor, .. } => self.renew_anchor(epoch, anchor),
            Action::RevokeAnchor { epoch, anchor, .. } => self.revoke_anchor(epoch, anchor),
            Action::RevokeOrphan {
                epoch, lease_id, ..
            } => self.revoke_orphan(epoch, lease_id),
            Action::RevokeFormer {
                epoch, accessor, ..
            } => self.revoke_former(epoch, accessor),
            Action::Forget { slot } => self.forget(slot),
            Action::Renew {
                slot,
                number,
                epoch,
                lease_id,
            } => {
                self.renew(slot, number, epoch, &lease_id);
            }
            Action::Revoke {
                slot,
                number,
                epoch,
                lease_id,
            } => {
                self.revoke(slot, number, epoch, &lease_id);
            }
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
            Action::Notify(Notice::ExpiryClaimed { .. }) => self.outcome.claimed += 1,
            Action::Notify(Notice::Irrevocable { .. }) => self.outcome.irrevocable += 1,
            Action::Notify(_) => {}
        }
    }

    fn forget(&mut self, slot: SlotId) {
        assert!(
            !self.served.contains_key(&slot),
            "what is served is forgotten"
        );
        self.outcome.forgotten += 1;
    }

    fn activate(&mut self, slot: SlotId, number: GenerationNumber, deadline: BootTime) {
        let lease = self
            .candidates
            .remove(&(slot, number))
            .expect("a candidate that was fetched");
        let version = lease
            .as_ref()
            .and_then(|it| it.as_str().parse().ok())
            .unwrap_or(0);
        if !self.served.contains_key(&slot) {
            self.outcome.back_at = self.now.since(self.start);
        }
        self.outcome.activations += 1;
        let served = Served {
            number,
            deadline,
            lease,
            version,
        };
        if let Some(old) = self.served.insert(slot, served) {
            assert!(old.number < number, "generations only grow");
            assert!(
                old.version == 0 || old.version < version,
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
        self.push(at, Event::Drained { slot, number });
    }

    pub(crate) fn answer(&mut self, event: Event) {
        let at = self
            .now
            .after(self.scenario.slowest.mul_f64(self.rng.f64()));
        self.push(at, event);
    }

    fn push(&mut self, at: BootTime, event: Event) {
        self.sequence += 1;
        self.answers.insert((at, self.sequence), event);
    }
}
