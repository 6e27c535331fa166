//! The suite of HTTP/1.1: for each case the bytes that a consumer sends, what it is answered, and
//! exactly what the origin behind the gateway sees of it.
//!
//! What an origin sees is told without the three headers that every request has: `host`, which is its
//! own, `traceparent`, and the credential. Each is checked to be there once.

mod capability;
mod compliance;
mod cookies;
mod lessons;
mod malformed;
mod normalisation;
mod recorder;
mod smuggling;

use std::io::{ErrorKind, Write as _};
use std::time::Duration;

use fastrand::Rng;

use crate::lease::{FakeProvider, Lease};
use crate::rig::{Rig, until};
use recorder::{Recorder, Sight, in_one_chunk};

/// What is sent on a connection of its own, and what comes of it.
#[derive(Debug)]
pub(super) struct Case {
    /// The rule, with its place.
    rule: &'static str,
    sent: &'static [u8],
    /// Whether the consumer closes its side then.
    ends: bool,
    statuses: &'static [u16],
    /// Whether the gateway closes then; where it does not, the next request is understood.
    closes: bool,
    seen: Seen,
}

/// What the origin sees.
#[derive(Clone, Copy, Debug)]
enum Seen {
    /// These requests and nothing else.
    Requests(&'static [&'static str]),
    /// At most a beginning of this, cut off by the end of the connection.
    Beginning(&'static str),
}

/// A request that is refused with 400.
const fn refused(rule: &'static str, sent: &'static [u8]) -> Case {
    Case {
        rule,
        sent,
        ends: false,
        statuses: &[400],
        closes: true,
        seen: Seen::Requests(&[]),
    }
}

/// A request that goes on as `seen`.
const fn passed(rule: &'static str, sent: &'static [u8], seen: &'static [&'static str]) -> Case {
    Case {
        rule,
        sent,
        ends: false,
        statuses: &[200],
        closes: false,
        seen: Seen::Requests(seen),
    }
}

/// A request whose body breaks a rule after a part of it may have gone on.
const fn broken(rule: &'static str, sent: &'static [u8], beginning: &'static str) -> Case {
    Case {
        seen: Seen::Beginning(beginning),
        ..refused(rule, sent)
    }
}

impl Case {
    const fn closing(self) -> Self {
        Self {
            closes: true,
            ..self
        }
    }

    const fn ending(self) -> Self {
        Self { ends: true, ..self }
    }

    const fn answered(self, statuses: &'static [u16]) -> Self {
        Self { statuses, ..self }
    }
}

/// Goes through a class of cases, of which there are as many as are said here.
fn run(cases: &[Case], count: usize) {
    assert_eq!(cases.len(), count, "the suite has lost or gained cases");
    let mut rules: Vec<_> = cases.iter().map(|case| case.rule).collect();
    rules.sort_unstable();
    rules.dedup();
    assert_eq!(rules.len(), count, "each case has a name of its own");
    let mut suite = Suite::start();
    let mut failures = Vec::new();
    for case in cases {
        // In one piece, and in many: what is read at once must make no difference.
        for piece in [usize::MAX, (case.sent.len() / 1000).max(1)] {
            failures.extend(suite.fault(case, piece));
        }
    }
    let more = suite.end();
    assert!(more.whole.is_empty() && more.broken.is_empty(), "{more:?}");
    assert!(
        failures.is_empty(),
        "{} of {count} failed:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// Returns the bytes of a case at random, for others to change: mostly of one that goes on.
pub(crate) fn example(random: &mut Rng) -> &'static [u8] {
    loop {
        let class = random.choice(CLASSES).copied().unwrap_or_default();
        let Some(case) = random.choice(class) else {
            continue;
        };
        let goes_on = case.statuses == [200] && !case.closes;
        if !case.ends && case.sent.len() < 1000 && (goes_on || random.u8(..8) == 0) {
            return case.sent;
        }
    }
}

const CLASSES: &[&[Case]] = &[
    capability::CASES,
    compliance::CASES,
    cookies::CASES,
    malformed::CASES,
    normalisation::CASES,
    smuggling::CASES,
];

/// A gateway with a credential, in front of an origin that records.
struct Suite {
    recorder: Recorder,
    rig: Rig,
    _lease: Lease,
}

impl Suite {
    fn start() -> Self {
        let recorder = Recorder::start();
        let lease = Lease::start(FakeProvider::leasing(Duration::from_secs(600)));
        let rig = lease.setup(&recorder.origin).start();
        until("a generation", || lease.current().ok());
        Self {
            recorder,
            rig,
            _lease: lease,
        }
    }

    /// Plays a case; returns what is wrong where something is.
    fn fault(&self, case: &Case, piece: usize) -> Option<String> {
        match case.seen {
            Seen::Requests(_) => {
                let outcome = self.play(case, piece);
                outcome.fault(case, &self.recorder.take())
            }
            // Not until the gateway is gone can it be told that nothing more comes.
            Seen::Beginning(_) => {
                let mut alone = Self::start();
                let outcome = alone.play(case, piece);
                outcome.fault(case, &alone.end())
            }
        }
    }

    /// Plays a case on a connection of its own, in pieces of that size.
    fn play(&self, case: &Case, piece: usize) -> Outcome {
        let before = self.rig.peek().len();
        let (statuses, closed) = self.converse(case, piece);
        let requests = case.statuses.iter().filter(|status| **status >= 200);
        let wanted = requests.count() + usize::from(!case.closes);
        // Where the answers are wrong already, so may be the number of records.
        if statuses == case.statuses && closed == case.closes {
            let there = || (self.rig.peek().len() >= before + wanted).then_some(());
            until(case.rule, there);
        }
        let there = self.rig.peek().len();
        Outcome {
            statuses,
            closed,
            in_one_piece: piece >= case.sent.len(),
            surplus: there.cast_signed() - (before + wanted).cast_signed(),
        }
    }

    /// Sends a case and returns the statuses of the answers, and whether the connection was closed then.
    fn converse(&self, case: &Case, piece: usize) -> (Vec<u16>, bool) {
        let mut consumer = self.rig.connect();
        let mut pieces = case.sent.chunks(piece.min(case.sent.len()));
        // Whoever is refused in the middle may be cut off; the answer tells.
        let sent = pieces.all(|piece| consumer.stream.write_all(piece).is_ok());
        if sent && case.ends {
            consumer.end();
        }
        let mut statuses = Vec::new();
        for _ in case.statuses {
            let status = if case.sent.starts_with(b"HEAD ") {
                consumer.head().map(|head| status_of(&head))
            } else {
                consumer.try_receive().map(|answer| status_of(&answer.head))
            };
            match status {
                Ok(status) => statuses.push(status),
                Err(_closed) => return (statuses, true),
            }
        }
        if case.closes {
            let closed = match consumer.rest() {
                Ok(rest) => rest.is_empty(),
                Err(error) => error.kind() == ErrorKind::ConnectionReset,
            };
            return (statuses, closed);
        }
        consumer.send(PROBE);
        let understood = consumer.try_receive().is_ok_and(|it| it.status() == "200");
        (statuses, !understood)
    }

    /// Ends the gateway; returns what the origin has seen that was not taken yet.
    fn end(&mut self) -> Sight {
        self.rig.drain(Duration::ZERO);
        self.recorder.until_alone();
        self.recorder.take()
    }
}

/// What came of a case on the consumer's side.
struct Outcome {
    statuses: Vec<u16>,
    closed: bool,
    in_one_piece: bool,
    /// How many records there are beyond those wanted; negative where some are missing.
    surplus: isize,
}

impl Outcome {
    /// Returns what is wrong with it, and with what the origin saw, where something is.
    fn fault(&self, case: &Case, sight: &Sight) -> Option<String> {
        let right = self.statuses == case.statuses
            && self.closed == case.closes
            && self.surplus == 0
            && is_as_wanted(case, sight, self.in_one_piece);
        (!right).then(|| {
            format!(
                "- {}\n  sent {:?}\n  answered {:?}, wanted {:?}\n  closed {}, wanted {}\n  records \
                 beyond those wanted {}\n  in one piece {}\n  origin saw {sight:?}\n  wanted     {:?}",
                case.rule,
                String::from_utf8_lossy(case.sent),
                self.statuses,
                case.statuses,
                self.closed,
                case.closes,
                self.surplus,
                self.in_one_piece,
                case.seen,
            )
        })
    }
}

fn status_of(head: &str) -> u16 {
    let status = head.split(' ').nth(1).unwrap_or_default();
    status.parse().unwrap_or_default()
}

fn is_as_wanted(case: &Case, sight: &Sight, in_one_piece: bool) -> bool {
    let probe = (!case.closes).then_some(PROBE_SEEN);
    match case.seen {
        Seen::Requests(requests) => {
            let wanted = requests.iter().copied().chain(probe);
            let whole = sight.whole.iter();
            let as_wanted = if in_one_piece {
                whole.eq(wanted)
            } else {
                whole
                    .map(|it| in_one_chunk(it))
                    .eq(wanted.map(in_one_chunk))
            };
            as_wanted && sight.broken.is_empty()
        }
        Seen::Beginning(whole) => {
            let begins = |it: &String| whole.starts_with(it) || !in_one_piece;
            sight.whole.is_empty() && sight.broken.iter().all(begins)
        }
    }
}

const PROBE: &str = "GET /probe HTTP/1.1\r\nHost: probe\r\n\r\n";
const PROBE_SEEN: &str = "GET /probe HTTP/1.1\r\n\r\n";
