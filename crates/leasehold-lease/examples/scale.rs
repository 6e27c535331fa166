//! Prints what the engine costs with many credentials: memory a slot, and CPU time a step.
//!
//! A provider that always says yes, in virtual time; its part is counted too. `cargo xtask bench engine` runs it.
#![expect(clippy::print_stdout, reason = "a program that prints figures")]
#![expect(
    clippy::expect_used,
    reason = "a measurement that is out of step has to stop"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use leasehold_lease::{Action, Engine, Event, Kind, SessionTerms, Terms};
use leasehold_model::{BootTime, LeaseId};
use rustix::time::{ClockId, clock_gettime};

fn main() {
    let slots = std::env::args()
        .nth(1)
        .map_or(100_000, |it| it.parse().expect("a number of slots"));
    let before = resident_bytes();
    let mut bench = Bench::new(slots);
    println!("slots                 {slots}");
    println!("lease ttl             {} h", TTL.as_secs() / 3600);
    bench.run("until all are issued", |bench| bench.activated >= slots);
    let resident = resident_bytes().saturating_sub(before);
    println!(
        "memory a slot         {} B resident, the lease id included",
        resident / slots
    );
    let end = bench.now.after(TTL);
    bench.run("a lease's life on", |bench| bench.now >= end);
    bench.step(Event::Shutdown);
    bench.run("until all are revoked", |bench| bench.engine.is_finished());
}

struct Bench {
    engine: Engine,
    rng: Rng,
    now: BootTime,
    answers: BTreeMap<(BootTime, u64), Event>,
    sequence: u64,
    steps: u64,
    renewals: u64,
    activated: usize,
    actions: Vec<Action>,
}

impl Bench {
    fn new(slots: usize) -> Self {
        let now = BootTime::from_nanos(1_000_000_000_000);
        let mut engine = Engine::default();
        let provider = engine.declare_provider(now, true);
        for _ in 0..slots {
            engine.declare(provider, Kind::Leased, now);
        }
        Self {
            engine,
            rng: Rng::with_seed(1),
            now,
            answers: BTreeMap::new(),
            sequence: 0,
            steps: 0,
            renewals: 0,
            activated: 0,
            actions: Vec::new(),
        }
    }

    fn run(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let (began, steps, renewals) = (self.now, self.steps, self.renewals);
        let start = cpu_time();
        while !done(self) {
            let answer = self.answers.first_key_value().map(|(key, _)| *key);
            let next = answer.map_or(BootTime::NEVER, |(at, _)| at);
            let next = next.min(self.engine.wake());
            assert!(next != BootTime::NEVER, "nothing left to do");
            self.now = self.now.max(next);
            let event = answer
                .filter(|(at, _)| *at <= self.now)
                .and_then(|key| self.answers.remove(&key));
            self.step(event.unwrap_or(Event::Tick));
        }
        let cpu = cpu_time().saturating_sub(start);
        let count = self.steps - steps;
        let nanos = u128::from(count.max(1));
        println!(
            "{what:<22}{count} steps, {} ns CPU a step, {} s of virtual time, {} renewals",
            cpu.as_nanos() / nanos,
            self.now.since(began).as_secs(),
            self.renewals - renewals,
        );
    }

    fn step(&mut self, event: Event) {
        self.steps += 1;
        let mut actions = std::mem::take(&mut self.actions);
        self.engine
            .step(self.now, event, &mut self.rng, &mut actions);
        for action in actions.drain(..) {
            self.act(action);
        }
        self.actions = actions;
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "an action is carried out once"
    )]
    fn act(&mut self, action: Action) {
        let t_send = self.now;
        let terms = SessionTerms {
            ttl: Some(TTL),
            renewable: true,
            capped: false,
        };
        let answer = match action {
            Action::Login { provider, epoch } => Event::LoggedIn {
                provider,
                epoch,
                t_send,
                terms,
            },
            Action::RenewSession { provider, epoch } => Event::SessionRenewed {
                provider,
                epoch,
                t_send,
                terms,
            },
            Action::RevokeSession { provider, epoch } => Event::SessionEnded { provider, epoch },
            Action::MintAnchor {
                provider, anchor, ..
            } => Event::AnchorMinted {
                provider,
                anchor,
                t_send,
                terms,
            },
            Action::RenewAnchor {
                provider, anchor, ..
            } => Event::AnchorRenewed {
                provider,
                anchor,
                t_send,
                terms,
            },
            Action::RevokeAnchor {
                provider, anchor, ..
            } => Event::AnchorRevoked { provider, anchor },
            Action::Fetch { slot, number, .. } => Event::Fetched {
                slot,
                number,
                t_send,
                terms: Terms::Leased {
                    lease_id: LeaseId::from(
                        format!("database/creds/app/{}-{}", slot.index(), number.get()).as_str(),
                    ),
                    ttl: TTL,
                    renewable: true,
                },
            },
            Action::Renew { slot, number, .. } => {
                self.renewals += 1;
                Event::Renewed {
                    slot,
                    number,
                    t_send,
                    ttl: TTL,
                    capped: false,
                }
            }
            Action::Revoke { slot, number, .. } => Event::Revoked { slot, number },
            Action::Activate { .. } => {
                self.activated += 1;
                return;
            }
            _ => return,
        };
        self.sequence += 1;
        let at = self.now.after(Duration::from_millis(20));
        self.answers.insert((at, self.sequence), answer);
    }
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("the kernel's word");
    let pages = statm
        .split_whitespace()
        .nth(1)
        .and_then(|it| it.parse().ok());
    pages.map_or(0, |pages: usize| pages * rustix::param::page_size())
}

/// Long enough that the governor's 20 writes a second renew all of them in time.
const TTL: Duration = Duration::from_secs(24 * 3600);
