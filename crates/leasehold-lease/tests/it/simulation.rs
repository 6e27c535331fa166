#![expect(
    clippy::expect_used,
    reason = "a simulation that is out of step has to stop the test"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use leasehold_lease::{
    Action, Engine, Event, Kind, Notice, ProviderId, SessionTerms, SlotId, Terms,
};
use leasehold_model::{BootTime, Failure, GenerationNumber, LeaseId, SessionEpoch};

/// What the simulated provider is like.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) length: Duration,
    pub(crate) leased: u32,
    versioned: u32,
    session_ttl: Duration,
    session_max: Duration,
    pub(crate) lease_ttl: Duration,
    lease_max: Duration,
    /// The chance that a call fails for no reason of ours.
    failure: f64,
    /// The chance that a call kills the session it was made in.
    session_death: f64,
    renewal_works: bool,
    /// The chance that a read is answered by a standby that is one version behind.
    stale: f64,
}

impl Scenario {
    pub(crate) fn calm() -> Self {
        Self {
            length: seconds(1200),
            leased: 3,
            versioned: 1,
            session_ttl: seconds(3600),
            session_max: seconds(86_400),
            lease_ttl: seconds(60),
            lease_max: seconds(180),
            failure: 0.0,
            session_death: 0.0,
            renewal_works: true,
            stale: 0.0,
        }
    }

    pub(crate) fn tiny() -> Self {
        Self {
            lease_ttl: seconds(3),
            lease_max: seconds(8),
            length: seconds(120),
            ..Self::calm()
        }
    }

    pub(crate) fn short_sessions() -> Self {
        Self {
            session_ttl: seconds(60),
            session_max: seconds(180),
            ..Self::calm()
        }
    }

    pub(crate) fn faulty() -> Self {
        Self {
            failure: 0.3,
            session_death: 0.02,
            ..Self::short_sessions()
        }
    }

    pub(crate) fn broken_renewal() -> Self {
        Self {
            renewal_works: false,
            lease_ttl: seconds(30),
            lease_max: seconds(600),
            ..Self::calm()
        }
    }

    pub(crate) fn stale_reads() -> Self {
        Self {
            leased: 0,
            versioned: 2,
            stale: 0.5,
            ..Self::calm()
        }
    }
}

/// What a run came to.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) activations: u32,
    pub(crate) interruptions: u32,
    pub(crate) issued: u32,
    pub(crate) logins: u32,
    pub(crate) claimed: u32,
}

/// Runs one scenario from start to shutdown and checks every step.
pub(crate) fn run(seed: u64, scenario: &Scenario) -> Outcome {
    let mut simulation = Simulation::new(seed, scenario.clone());
    let end = simulation.now.after(scenario.length);
    simulation.run_until(end, |_| false);
    simulation.scenario.failure = 0.0;
    simulation.scenario.session_death = 0.0;
    simulation.step(Event::Shutdown);
    let limit = simulation.now.after(seconds(600));
    simulation.run_until(limit, Engine::is_finished);
    assert!(
        simulation.engine.is_finished(),
        "seed {seed}: not finished: {:#?}",
        simulation.engine
    );
    assert_eq!(simulation.engine.leftovers(), [], "seed {seed}");
    let now = simulation.now;
    let alive: Vec<_> = simulation
        .leases
        .iter()
        .filter(|(_, it)| it.ends > now)
        .collect();
    assert!(alive.is_empty(), "seed {seed}: left alive: {alive:?}");
    simulation.outcome
}

struct Simulation {
    scenario: Scenario,
    engine: Engine,
    rng: Rng,
    engine_rng: Rng,
    now: BootTime,
    provider: ProviderId,
    kinds: BTreeMap<SlotId, Kind>,
    answers: BTreeMap<(BootTime, u64), Event>,
    sequence: u64,
    sessions: BTreeMap<SessionEpoch, Life>,
    leases: BTreeMap<LeaseId, Life>,
    version: u64,
    candidates: BTreeMap<(SlotId, GenerationNumber), Option<LeaseId>>,
    served: BTreeMap<SlotId, Served>,
    outcome: Outcome,
    stopping: bool,
}

#[derive(Clone, Debug)]
struct Life {
    issued: BootTime,
    ends: BootTime,
    session: Option<SessionEpoch>,
}

#[derive(Debug)]
struct Served {
    number: GenerationNumber,
    deadline: BootTime,
    lease: Option<LeaseId>,
    version: u64,
}

impl Simulation {
    fn new(seed: u64, scenario: Scenario) -> Self {
        let now = BootTime::from_nanos(1_000_000_000_000);
        let mut engine = Engine::default();
        let provider = engine.declare_provider(now);
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
            now,
            provider,
            kinds,
            answers: BTreeMap::new(),
            sequence: 0,
            sessions: BTreeMap::new(),
            leases: BTreeMap::new(),
            version: 1,
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
            let Some(life) = served
                .lease
                .as_ref()
                .and_then(|lease| self.leases.get(lease))
            else {
                continue;
            };
            assert!(
                self.now < life.ends,
                "{slot:?} is served after its lease has ended"
            );
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Login { epoch, .. } => self.login(epoch),
            Action::RenewSession { epoch, .. } => self.renew_session(epoch),
            Action::RevokeSession { provider, epoch } => {
                self.kill_session(epoch);
                self.answer(Event::SessionEnded { provider, epoch });
            }
            Action::Fetch {
                slot,
                number,
                epoch,
            } => self.fetch(slot, number, epoch),
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
            Action::Notify(_) => {}
        }
    }

    fn login(&mut self, epoch: SessionEpoch) {
        self.outcome.logins += 1;
        let provider = self.provider;
        if self.fails() {
            return self.answer(Event::LoginFailed {
                provider,
                epoch,
                failure: Failure::Transient,
            });
        }
        let life = Life {
            issued: self.now,
            ends: self.now.after(self.scenario.session_ttl),
            session: None,
        };
        self.sessions.insert(epoch, life);
        let terms = terms(self.scenario.session_ttl, false);
        self.answer(Event::LoggedIn {
            provider,
            epoch,
            t_send: self.now,
            terms,
        });
    }

    fn renew_session(&mut self, epoch: SessionEpoch) {
        let provider = self.provider;
        if let Some(failure) = self.refusal(epoch) {
            return self.answer(Event::SessionRenewFailed {
                provider,
                epoch,
                failure,
            });
        }
        let life = self.sessions.get_mut(&epoch).expect("a live session");
        let (ttl, capped) = granted(
            self.now,
            life,
            self.scenario.session_ttl,
            self.scenario.session_max,
        );
        life.ends = self.now.after(ttl);
        let terms = terms(ttl, capped);
        self.answer(Event::SessionRenewed {
            provider,
            epoch,
            t_send: self.now,
            terms,
        });
    }

    fn fetch(&mut self, slot: SlotId, number: GenerationNumber, epoch: SessionEpoch) {
        assert!(!self.stopping, "a fetch after shutdown");
        if let Some(failure) = self.refusal(epoch) {
            return self.answer(Event::FetchFailed {
                slot,
                number,
                epoch,
                failure,
            });
        }
        let terms = match self.kinds.get(&slot) {
            Some(Kind::Leased) => self.issue(epoch),
            Some(Kind::Versioned { .. }) | None => {
                self.version += u64::from(self.rng.f64() < 0.2);
                let behind = u64::from(self.rng.f64() < self.scenario.stale);
                Terms::Versioned {
                    version: (self.version - behind).max(1),
                }
            }
        };
        let lease = match &terms {
            Terms::Leased { lease_id, .. } => Some(lease_id.clone()),
            Terms::Versioned { version } => {
                // Carried in the place of a lease id, for the check at activation.
                Some(LeaseId::from(version.to_string().as_str()))
            }
        };
        self.candidates.insert((slot, number), lease);
        self.answer(Event::Fetched {
            slot,
            number,
            t_send: self.now,
            terms,
        });
    }

    fn issue(&mut self, epoch: SessionEpoch) -> Terms {
        self.outcome.issued += 1;
        let lease_id = LeaseId::from(format!("lease-{}", self.outcome.issued).as_str());
        let ttl = self.scenario.lease_ttl;
        let life = Life {
            issued: self.now,
            ends: self.now.after(ttl),
            session: Some(epoch),
        };
        self.leases.insert(lease_id.clone(), life);
        Terms::Leased {
            lease_id,
            ttl,
            renewable: true,
        }
    }

    fn renew(
        &mut self,
        slot: SlotId,
        number: GenerationNumber,
        epoch: SessionEpoch,
        lease: &LeaseId,
    ) {
        let refusal = self.refusal(epoch);
        let broken = (!self.scenario.renewal_works).then_some(Failure::Transient);
        let (ttl, max) = (self.scenario.lease_ttl, self.scenario.lease_max);
        let now = self.now;
        let life = self.leases.get_mut(lease).filter(|life| life.ends > now);
        let gone = life.is_none().then_some(Failure::LeaseGone);
        if let Some(failure) = refusal.or(broken).or(gone) {
            return self.answer(Event::RenewFailed {
                slot,
                number,
                epoch,
                failure,
            });
        }
        let life = life.expect("checked above");
        let (ttl, capped) = granted(now, life, ttl, max);
        life.ends = now.after(ttl);
        self.answer(Event::Renewed {
            slot,
            number,
            t_send: now,
            ttl,
            capped,
        });
    }

    fn revoke(
        &mut self,
        slot: SlotId,
        number: GenerationNumber,
        epoch: SessionEpoch,
        lease: &LeaseId,
    ) {
        let served = self.served.get(&slot).map(|served| served.number);
        assert_ne!(served, Some(number), "what is served must not be revoked");
        if let Some(failure) = self.refusal(epoch) {
            return self.answer(Event::RevokeFailed {
                slot,
                number,
                epoch,
                failure,
            });
        }
        if let Some(life) = self.leases.get_mut(lease) {
            life.ends = life.ends.min(self.now);
        }
        self.answer(Event::Revoked { slot, number });
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

    /// Returns why the provider refuses a call made in this session, if it does.
    fn refusal(&mut self, epoch: SessionEpoch) -> Option<Failure> {
        if self.rng.f64() < self.scenario.session_death {
            self.kill_session(epoch);
        }
        if self
            .sessions
            .get(&epoch)
            .is_none_or(|life| life.ends <= self.now)
        {
            self.kill_session(epoch);
            return Some(Failure::SessionDead);
        }
        self.fails().then_some(Failure::Transient)
    }

    fn kill_session(&mut self, epoch: SessionEpoch) {
        self.sessions.remove(&epoch);
        // Its leases die with it.
        self.leases.retain(|_, life| life.session != Some(epoch));
    }

    fn fails(&mut self) -> bool {
        self.rng.f64() < self.scenario.failure
    }

    fn answer(&mut self, event: Event) {
        let at = self.now.after(Duration::from_millis(self.rng.u64(1..60)));
        self.push(at, event);
    }

    fn push(&mut self, at: BootTime, event: Event) {
        self.sequence += 1;
        self.answers.insert((at, self.sequence), event);
    }
}

/// Returns what a renewal gives: the time asked for, or what is left of the maximum life, in whole
/// seconds as OpenBao answers.
fn granted(now: BootTime, life: &Life, ttl: Duration, max: Duration) -> (Duration, bool) {
    let left = Duration::from_secs(life.issued.after(max).since(now).as_secs());
    (ttl.min(left), left < ttl)
}

fn terms(ttl: Duration, capped: bool) -> SessionTerms {
    SessionTerms {
        ttl: Some(ttl),
        renewable: true,
        capped,
    }
}

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
