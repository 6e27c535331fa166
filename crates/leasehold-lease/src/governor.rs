//! In which order, how fast and how many at a time calls go to one provider.
//!
//! What is due waits here until it may go out. Sessions and anchors never wait, since everything else
//! depends on them; they are counted all the same.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use leasehold_model::{BootTime, Failure, GenerationNumber};

use crate::{SlotId, schedule};

/// A call that is due and waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    Fetch(SlotId),
    Renew(SlotId, GenerationNumber),
    Revoke(SlotId, GenerationNumber),
    /// A lease of an earlier process, by its place in the list.
    Orphan(usize),
    /// A session or an anchor of an earlier process, by its place in the list.
    Former(usize),
}

impl Work {
    const fn slot(self) -> Option<SlotId> {
        match self {
            Self::Fetch(slot) | Self::Renew(slot, _) | Self::Revoke(slot, _) => Some(slot),
            Self::Orphan(_) | Self::Former(_) => None,
        }
    }
}

/// What a call weighs. Lower ranks go first; within a rank the one whose time runs out first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    Renewal,
    /// An issue for a credential that nothing is served of.
    Outage,
    /// A stored value, which changes nothing at the provider.
    Read,
    /// An issue beside a generation that is served.
    Rotation,
    Revocation,
}

/// What may be asked for at this time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gate {
    /// There is a session to make calls in.
    pub(crate) calls: bool,
    /// There is something for a lease to hang on.
    pub(crate) issues: bool,
}

#[derive(Debug)]
pub(crate) struct Governor {
    waiting: [BTreeSet<(BootTime, u64, Work)>; RANKS],
    next_turn: u64,
    in_flight: [usize; RANKS],
    tokens: f64,
    /// 1 as a rule; less after the provider asked for fewer calls.
    pace: f64,
    counted_at: BootTime,
    circuit: Circuit,
    /// Revocations wait for no token: little time is left for them.
    hurries: bool,
}

/// Whether the provider can be reached.
#[derive(Clone, Copy, Debug)]
struct Circuit {
    /// Calls that did not reach it, in a row.
    unreached: u32,
    /// With the circuit open, when the next call may find out.
    probe_at: BootTime,
}

/// What an answer told about the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    Opened,
    Closed,
}

impl Governor {
    pub(crate) fn new(now: BootTime) -> Self {
        Self {
            waiting: Default::default(),
            next_turn: 0,
            in_flight: [0; RANKS],
            tokens: BURST,
            pace: 1.0,
            counted_at: now,
            circuit: Circuit {
                unreached: 0,
                probe_at: now,
            },
            hurries: false,
        }
    }

    /// Lets a call wait for its turn; it harms to wait beyond `harm`.
    pub(crate) fn enqueue(&mut self, rank: Rank, harm: BootTime, work: Work) {
        let turn = self.next_turn;
        self.next_turn = turn.wrapping_add(1);
        if let Some(queue) = self.waiting.get_mut(rank as usize) {
            queue.insert((harm, turn, work));
        }
    }

    /// Drops what waits for a slot: its number may be given to another, of another provider too.
    pub(crate) fn forget(&mut self, slot: SlotId) {
        for queue in &mut self.waiting {
            queue.retain(|(_, _, work)| work.slot() != Some(slot));
        }
    }

    /// Returns the next call that may go out now. Whoever takes it says with [`Governor::start`] that
    /// it does go out; one that is not wanted any more is just dropped.
    pub(crate) fn next(&mut self, now: BootTime, gate: Gate) -> Option<(Rank, Work)> {
        if !gate.calls || !self.may_probe(now) {
            return None;
        }
        self.refill(now);
        let paid = self.tokens >= 1.0;
        let goes = |rank: &Rank| self.waits(*rank, gate) && (paid || self.is_free(*rank));
        let rank = ORDER.into_iter().find(goes)?;
        let queue = self.waiting.get_mut(rank as usize)?;
        queue.pop_first().map(|(_, _, work)| (rank, work))
    }

    /// Counts a call that goes out.
    pub(crate) fn start(&mut self, rank: Rank) {
        if let Some(count) = self.in_flight.get_mut(rank as usize) {
            *count = count.saturating_add(1);
        }
        if !self.is_free(rank) {
            self.tokens -= 1.0;
        }
    }

    /// Lets revocations out as fast as places allow.
    pub(crate) const fn hurry(&mut self) {
        self.hurries = true;
    }

    /// Counts a call about a session or an anchor, which goes out whatever waits.
    pub(crate) fn start_at_once(&mut self, now: BootTime) {
        self.refill(now);
        self.tokens -= 1.0;
    }

    /// Counts a call as ended.
    pub(crate) fn end(&mut self, rank: Rank) {
        if let Some(count) = self.in_flight.get_mut(rank as usize) {
            *count = count.saturating_sub(1);
        }
    }

    /// Takes in what a call told about the provider.
    pub(crate) fn heard(
        &mut self,
        now: BootTime,
        failure: Option<Failure>,
        rng: &mut Rng,
    ) -> Option<Turn> {
        if matches!(failure, Some(Failure::SlowDown { .. })) {
            self.refill(now);
            self.pace = (self.pace / 2.0).max(SLOWEST);
        }
        let was_open = self.is_open();
        match failure {
            Some(Failure::Unreachable) => {
                self.circuit.unreached = self.circuit.unreached.saturating_add(1);
            }
            // An issue that had no answer and one that was answered badly look the same.
            Some(Failure::MaybeIssued) => {}
            _ => {
                self.circuit.unreached = 0;
                return was_open.then_some(Turn::Closed);
            }
        }
        let beyond = self.circuit.unreached.saturating_sub(UNREACHED_MOST);
        self.circuit.probe_at = schedule::retry_at(now, Failure::Unreachable, beyond, rng);
        (self.is_open() && !was_open).then_some(Turn::Opened)
    }

    /// Returns when a call that waits may go out, if no answer comes first.
    pub(crate) fn wake(&self, gate: Gate) -> BootTime {
        let waits = |rank: Rank| self.waits(rank, gate);
        if !gate.calls || !ORDER.into_iter().any(waits) {
            return BootTime::NEVER;
        }
        let free = |rank: Rank| self.is_free(rank) && waits(rank);
        let paid_at = if ORDER.into_iter().any(free) {
            self.counted_at
        } else {
            self.paid_at()
        };
        if !self.is_open() {
            return paid_at;
        }
        if self.in_flight.iter().any(|count| *count > 0) {
            return BootTime::NEVER;
        }
        paid_at.max(self.circuit.probe_at)
    }

    /// Returns when there is a token for a write.
    fn paid_at(&self) -> BootTime {
        if self.tokens >= 1.0 {
            return self.counted_at;
        }
        let missing = (1.0 - self.tokens) / (WRITES_A_SECOND * self.pace);
        // A little late, so that rounding can't leave the bucket a hair short at that time.
        let missing = Duration::from_secs_f64(missing).saturating_add(TICK);
        self.counted_at.after(missing)
    }

    pub(crate) const fn is_open(&self) -> bool {
        self.circuit.unreached >= UNREACHED_MOST
    }

    pub(crate) fn check_invariants(&self) {
        for (rank, most) in PLACES.iter().enumerate() {
            let count = self.in_flight.get(rank).copied().unwrap_or(0);
            assert!(count <= *most, "{count} calls of rank {rank} in flight");
        }
        assert!(self.tokens <= BURST, "more tokens than the bucket holds");
    }

    /// Tells whether a call goes out without a token: a read changes nothing at the provider, and with
    /// eight revocations in flight others are served as before, however fast they follow each other.
    fn is_free(&self, rank: Rank) -> bool {
        rank == Rank::Read || (rank == Rank::Revocation && self.hurries)
    }

    /// With the circuit open, one call at a time finds out whether it can be closed.
    fn may_probe(&self, now: BootTime) -> bool {
        !self.is_open()
            || (self.circuit.probe_at <= now && self.in_flight.iter().all(|count| *count == 0))
    }

    /// Tells whether a call of this rank waits and may go out but for its token.
    fn waits(&self, rank: Rank, gate: Gate) -> bool {
        let queue = self.waiting.get(rank as usize);
        queue.is_some_and(|queue| !queue.is_empty()) && self.has_place(rank, gate)
    }

    fn has_place(&self, rank: Rank, gate: Gate) -> bool {
        let issues = self
            .count(Rank::Outage)
            .saturating_add(self.count(Rank::Rotation));
        match rank {
            Rank::Outage | Rank::Rotation => gate.issues && issues < ISSUES,
            Rank::Renewal | Rank::Read | Rank::Revocation => {
                self.count(rank) < PLACES.get(rank as usize).copied().unwrap_or(0)
            }
        }
    }

    fn count(&self, rank: Rank) -> usize {
        self.in_flight.get(rank as usize).copied().unwrap_or(0)
    }

    fn refill(&mut self, now: BootTime) {
        let passed = now.since(self.counted_at).as_secs_f64();
        self.counted_at = self.counted_at.max(now);
        self.tokens = (passed * WRITES_A_SECOND)
            .mul_add(self.pace, self.tokens)
            .min(BURST);
        self.pace = passed.mul_add(RECOVERY_A_SECOND, self.pace).min(1.0);
    }
}

const RANKS: usize = 5;
const ORDER: [Rank; RANKS] = [
    Rank::Renewal,
    Rank::Outage,
    Rank::Read,
    Rank::Rotation,
    Rank::Revocation,
];
/// More at a time does not make OpenBao issue faster: it commits about 110 writes a second.
const ISSUES: usize = 4;
/// How many calls of each rank may be in flight. With 8 revocations other clients' reads kept a p99 of
/// 8 ms; revoking in bulk took it to seconds.
const PLACES: [usize; RANKS] = [8, ISSUES, 8, ISSUES, 8];
/// A fifth of what OpenBao commits at most, so that others have their share.
const WRITES_A_SECOND: f64 = 20.0;
const BURST: f64 = 10.0;
const TICK: Duration = Duration::from_millis(1);
/// How far a provider that asks for fewer calls slows us down at most.
const SLOWEST: f64 = 1.0 / 16.0;
const RECOVERY_A_SECOND: f64 = 0.1;
/// How many calls in a row may find nobody before only one at a time finds out.
const UNREACHED_MOST: u32 = 5;
