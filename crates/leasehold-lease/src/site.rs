//! Everything about one provider but its credentials.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use leasehold_model::{AnchorEpoch, BootTime, Holder, SessionEpoch};

use crate::ProviderId;
use crate::former::Former;
use crate::governor::{Gate, Governor};
use crate::schedule;
use crate::succession::{ANCHORS, SESSIONS, Succession};
use crate::view::{HolderState, HolderView};

/// One provider: our logins there, what leases hang on, and how calls take turns.
#[derive(Debug)]
pub(crate) struct Site {
    pub(crate) sessions: Succession<SessionEpoch>,
    /// Where leases hang on anchors; otherwise they hang on sessions.
    pub(crate) anchors: Option<Succession<AnchorEpoch>>,
    pub(crate) governor: Governor,
    pub(crate) former: Former,
    /// How many slots there are.
    pub(crate) slots: usize,
    /// How many slots have something to give back.
    pub(crate) busy: usize,
    /// How many slots wait for their first generation.
    pub(crate) awaited: usize,
    /// How many things hang on each session and anchor.
    hanging: BTreeMap<Holder, usize>,
    course: Course,
}

/// Where a provider is in its own life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Serving,
    /// Everything is given back, and the provider is forgotten afterwards.
    Dismissed,
    Forgotten,
}

impl Site {
    pub(crate) fn new(anchored: bool, now: BootTime) -> Self {
        Self {
            sessions: Succession::new(SESSIONS, now),
            anchors: anchored.then(|| Succession::new(ANCHORS, now)),
            governor: Governor::new(now),
            former: Former::default(),
            slots: 0,
            busy: 0,
            awaited: 0,
            hanging: BTreeMap::new(),
            course: Course::Serving,
        }
    }

    /// Takes leave of the provider. What is held there is given back first.
    pub(crate) fn leave(&mut self) {
        if self.course == Course::Serving {
            self.course = Course::Dismissed;
        }
    }

    /// Tells whether sessions and anchors are ended as soon as nothing hangs on them: all is stopping, or
    /// this provider is left and owes no lease of an earlier process any more, which nobody else would
    /// give back.
    pub(crate) fn is_stopping(&self, all: bool) -> bool {
        all || self.course != Course::Serving && self.former.is_over()
    }

    /// Tells, once, that nothing is held any more at a provider that was dismissed.
    pub(crate) fn forget(&mut self) -> bool {
        let over = self.course == Course::Dismissed
            && self.slots == 0
            && self.former.is_over()
            && self.is_empty();
        if over {
            self.course = Course::Forgotten;
        }
        over
    }

    /// Tells whether there is neither a session nor an anchor, and none is being opened.
    pub(crate) fn is_empty(&self) -> bool {
        let anchors = self.anchors.as_ref();
        self.sessions.is_empty() && anchors.is_none_or(|it| it.is_empty())
    }

    /// Returns what a new lease hangs on: the current anchor, or the session where there are none.
    ///
    /// The session takes the place of an anchor that is refused too: service goes on, with the
    /// session's life as its limit, and people are told.
    pub(crate) fn issuer(&self) -> Option<Holder> {
        let session = self.sessions.usable().map(Holder::Session);
        let Some(anchors) = &self.anchors else {
            return session;
        };
        match anchors.usable() {
            Some(anchor) => Some(Holder::Anchor(anchor)),
            None if anchors.refused().is_some() => session,
            None => None,
        }
    }

    /// Returns an anchor that has run out, if any.
    pub(crate) fn anchor_that_ran_out(&mut self, now: BootTime) -> Option<AnchorEpoch> {
        self.anchors.as_mut()?.ran_out(now)
    }

    /// Returns when what hangs on this dies with it.
    pub(crate) fn deadline(&self, holder: Holder) -> BootTime {
        match (holder, &self.anchors) {
            (Holder::Session(epoch), _) => self.sessions.deadline(epoch),
            (Holder::Anchor(epoch), Some(anchors)) => anchors.deadline(epoch),
            (Holder::Anchor(_), None) => BootTime::default(),
        }
    }

    /// Returns for how long this is granted as a rule.
    pub(crate) fn usual_life(&self, holder: Holder) -> Option<Duration> {
        match (holder, &self.anchors) {
            (Holder::Session(epoch), _) => self.sessions.usual_life(epoch),
            (Holder::Anchor(epoch), Some(anchors)) => anchors.usual_life(epoch),
            (Holder::Anchor(_), None) => None,
        }
    }

    /// Tells whether a lease on this should move to what new leases hang on.
    pub(crate) fn should_leave(&self, holder: Holder) -> bool {
        self.issuer().is_some_and(|issuer| issuer != holder)
    }

    /// Draws when a lease on this moves.
    pub(crate) fn leave_at(&self, now: BootTime, holder: Holder, rng: &mut Rng) -> BootTime {
        let ends = self.deadline(holder);
        match holder {
            // It can't be kept alive for ever: use the time that it has.
            Holder::Session(epoch) if self.sessions.is_former(epoch) => {
                now.after(ends.since(now).mul_f64(schedule::between(rng, 0.0, 0.5)))
            }
            Holder::Session(_) | Holder::Anchor(_) => schedule::move_at(now, ends, self.slots, rng),
        }
    }

    pub(crate) fn gate(&self) -> Gate {
        Gate {
            calls: self.sessions.usable().is_some(),
            issues: self.issuer().is_some(),
        }
    }

    pub(crate) fn hang(&mut self, holder: Holder) {
        let count = self.hanging.entry(holder).or_default();
        *count = count.saturating_add(1);
    }

    pub(crate) fn unhang(&mut self, holder: Holder) {
        if let Some(count) = self.hanging.get_mut(&holder) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.hanging.remove(&holder);
            }
        }
    }

    /// Plans the end of sessions and anchors that nothing hangs on: former ones, and once we are
    /// stopping all of them, anchors first, since a session is needed to end them.
    pub(crate) fn end_idle(&mut self, now: BootTime, stopping: bool) {
        let all = self.is_stopping(stopping) && self.busy == 0;
        let Self {
            sessions,
            anchors,
            hanging,
            ..
        } = self;
        let mut sessions_too = all;
        if let Some(anchors) = anchors {
            let idle = |epoch: &AnchorEpoch| !hanging.contains_key(&Holder::Anchor(*epoch));
            end_those(anchors, now, all, idle);
            sessions_too &= anchors.is_empty();
        }
        let idle = |epoch: &SessionEpoch| !hanging.contains_key(&Holder::Session(*epoch));
        end_those(sessions, now, sessions_too, idle);
    }

    /// Returns when there is something to do that no slot knows of.
    pub(crate) fn wake(&self) -> BootTime {
        let gate = self.gate();
        let mut wake = self
            .sessions
            .calls()
            .min(self.sessions.runs_out())
            .min(self.former.wake(gate.calls))
            .min(self.governor.wake(gate));
        if let Some(anchors) = &self.anchors {
            wake = wake.min(anchors.runs_out());
            // Everything about anchors is asked for in a session.
            if gate.calls {
                wake = wake.min(anchors.calls());
            }
        }
        wake
    }

    pub(crate) fn view(&self, provider: ProviderId, views: &mut Vec<HolderView>) {
        let sessions = self.sessions.epochs().map(|epoch| {
            let state = state_of(&self.sessions, epoch);
            (Holder::Session(epoch), state)
        });
        let anchors = self.anchors.iter().flat_map(|anchors| {
            let of = |epoch| (Holder::Anchor(epoch), state_of(anchors, epoch));
            anchors.epochs().map(of)
        });
        views.extend(sessions.chain(anchors).map(|(holder, state)| HolderView {
            provider,
            holder,
            state,
            deadline: self.deadline(holder),
        }));
    }

    pub(crate) fn check_invariants(&self) {
        self.sessions.check_invariants();
        if let Some(anchors) = &self.anchors {
            anchors.check_invariants();
        }
        self.governor.check_invariants();
        assert!(
            self.busy <= self.slots,
            "more slots are busy than there are"
        );
        if self.course == Course::Forgotten {
            assert!(self.is_empty(), "forgotten with a session");
            assert_eq!(self.slots, 0, "forgotten with a credential");
        }
    }
}

fn end_those<E: crate::succession::Epoch>(
    holders: &mut Succession<E>,
    now: BootTime,
    current_too: bool,
    idle: impl Fn(&E) -> bool,
) {
    let over = |epoch: &E| idle(epoch) && (current_too || holders.is_former(*epoch));
    // Collected only where there is something to end, which is rare.
    let ends: Vec<E> = holders.epochs().filter(over).collect();
    for epoch in ends {
        holders.end(now, epoch);
    }
}

fn state_of<E: crate::succession::Epoch>(holders: &Succession<E>, epoch: E) -> HolderState {
    if holders.is_ending(epoch) {
        HolderState::Retiring
    } else if holders.is_former(epoch) {
        HolderState::Maintaining
    } else {
        HolderState::Current
    }
}
