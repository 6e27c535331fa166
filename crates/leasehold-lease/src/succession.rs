//! What leases hang on at one provider, and how one follows the other: our logins, and our anchors.

use std::fmt;
use std::time::Duration;

use fastrand::Rng;
use leasehold_model::{AnchorEpoch, BootTime, Failure, SessionEpoch};

use crate::SessionTerms;
use crate::schedule::{self, Grant};

/// Numbers the holders of one sort.
pub(crate) trait Epoch: Copy + Ord + fmt::Debug {
    /// The first.
    const FIRST: Self;
    /// The one after this.
    fn next(self) -> Self;
}

impl Epoch for SessionEpoch {
    const FIRST: Self = Self::FIRST;
    fn next(self) -> Self {
        Self::next(self)
    }
}

impl Epoch for AnchorEpoch {
    const FIRST: Self = Self::FIRST;
    fn next(self) -> Self {
        Self::next(self)
    }
}

/// By what numbers holders of one sort are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    /// The window in which a grant is renewed, as parts of it.
    pub(crate) renew: (f64, f64),
    /// After how long one is succeeded, whatever it could still be prolonged to.
    pub(crate) longest: Option<Duration>,
}

/// How sessions are kept.
pub(crate) const SESSIONS: Manner = Manner {
    renew: (schedule::RENEW_FROM, schedule::RENEW_TO),
    longest: None,
};

/// How anchors are kept: renewed early, since every lease hangs on them, and changed once a day.
pub(crate) const ANCHORS: Manner = Manner {
    renew: (0.25, 0.40),
    longest: Some(Duration::from_secs(24 * 60 * 60)),
};

/// The holders of one sort at one provider: the current one, and former ones that live on because
/// leases hang on them.
#[derive(Debug)]
pub(crate) struct Succession<E> {
    manner: Manner,
    current: Option<Tenure<E>>,
    former: Vec<Tenure<E>>,
    opening: Opening<E>,
    next_epoch: E,
    /// Openings that failed, and holders that died young, in a row.
    failures: u32,
    /// Why no holder can be had until a person mends it.
    refused: Option<Failure>,
    /// When the current holder is to be succeeded because it may hold what we do not know of.
    collect: Option<BootTime>,
    /// When that was last so of any.
    collected: Option<BootTime>,
}

/// What is to be done about a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due<E> {
    /// Open a new one.
    Open(E),
    /// Prolong it.
    Renew(E),
    /// End it at the provider.
    End(E),
    /// It has run out, or is about to: nothing may hang on it any more.
    RanOut(E),
}

#[derive(Debug)]
struct Tenure<E> {
    epoch: E,
    deadline: BootTime,
    expected: Option<Duration>,
    renewal: Renewal,
    /// Renewals that failed in a row.
    failures: u32,
    /// When to open a successor, whatever is hoped for.
    urgent: BootTime,
    /// When it was opened.
    since: BootTime,
    /// Until when it lives at the provider, if it is not prolonged.
    lasts: BootTime,
    /// Its deadline has passed. It is ended all the same: our margin has run out and not yet the holder,
    /// and a renewal that is answered too late may have prolonged it.
    ran_out: bool,
    end: End,
}

/// Whether a holder is to be ended at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    NotYet,
    At(BootTime),
    InFlight,
}

/// When a holder or a lease is renewed next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    At(BootTime),
    /// It is due and waits for its turn.
    Queued,
    InFlight,
    Never,
}

#[derive(Debug, PartialEq, Eq)]
enum Opening<E> {
    Idle,
    At(BootTime),
    InFlight(E),
}

impl<E: Epoch> Succession<E> {
    /// Makes a succession whose first holder is opened at `now`.
    pub(crate) fn new(manner: Manner, now: BootTime) -> Self {
        Self {
            manner,
            current: None,
            former: Vec::new(),
            opening: Opening::At(now),
            next_epoch: E::FIRST,
            failures: 0,
            refused: None,
            collect: None,
            collected: None,
        }
    }

    /// Returns the holder to make calls with.
    pub(crate) fn usable(&self) -> Option<E> {
        self.current.as_ref().map(|tenure| tenure.epoch)
    }

    /// Returns why no holder can be had, where that is for a person to mend.
    pub(crate) const fn refused(&self) -> Option<Failure> {
        self.refused
    }

    /// Returns when what hangs on the holder dies with it; the start of time for one that is gone.
    pub(crate) fn deadline(&self, epoch: E) -> BootTime {
        self.find(epoch)
            .filter(|tenure| !tenure.ran_out)
            .map_or(BootTime::default(), |tenure| tenure.deadline)
    }

    /// Returns for how long the holder was granted at first.
    pub(crate) fn usual_life(&self, epoch: E) -> Option<Duration> {
        self.find(epoch)?.expected
    }

    /// Tells whether the holder has a successor.
    pub(crate) fn is_former(&self, epoch: E) -> bool {
        self.former.iter().any(|tenure| tenure.epoch == epoch)
    }

    /// Tells whether the holder is being ended.
    pub(crate) fn is_ending(&self, epoch: E) -> bool {
        self.find(epoch)
            .is_some_and(|tenure| tenure.end != End::NotYet)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.current.is_none()
            && self.former.is_empty()
            && !matches!(self.opening, Opening::InFlight(_))
    }

    pub(crate) fn epochs(&self) -> impl Iterator<Item = E> {
        self.all().map(|tenure| tenure.epoch)
    }

    /// Takes in what was granted. Tells which holder was succeeded, if any.
    pub(crate) fn opened(
        &mut self,
        now: BootTime,
        epoch: E,
        t_send: BootTime,
        terms: SessionTerms,
        rng: &mut Rng,
    ) -> Option<E> {
        if self.opening != Opening::InFlight(epoch) {
            return None;
        }
        self.opening = Opening::Idle;
        self.refused = None;
        self.collect = None;
        let mut tenure = Tenure::new(epoch, t_send);
        let successor_at = tenure.take_terms(self.manner, now, t_send, terms, rng);
        let succeeded = self.current.replace(tenure);
        let succeeded_epoch = succeeded.as_ref().map(|it| it.epoch);
        self.former.extend(succeeded);
        if let Some(at) = successor_at {
            self.opening = Opening::At(at);
        }
        succeeded_epoch
    }

    /// Takes in that none could be opened. Tells whether that is news for a person.
    pub(crate) fn open_failed(
        &mut self,
        now: BootTime,
        epoch: E,
        failure: Failure,
        rng: &mut Rng,
    ) -> bool {
        if self.opening != Opening::InFlight(epoch) {
            return false;
        }
        self.opening = Opening::At(schedule::retry_at(now, failure, self.failures, rng));
        self.failures = self.failures.saturating_add(1);
        // One that could not be asked for, as its session is dead, has been refused by nobody.
        let refused = !failure.may_pass() && failure != Failure::SessionDead;
        let news = refused && self.refused.is_none();
        if refused {
            self.refused = Some(failure);
        }
        news
    }

    pub(crate) fn renewed(
        &mut self,
        now: BootTime,
        epoch: E,
        t_send: BootTime,
        terms: SessionTerms,
        rng: &mut Rng,
    ) {
        let manner = self.manner;
        let Some(tenure) = self.find_mut(epoch) else {
            return;
        };
        let successor_at = tenure.take_terms(manner, now, t_send, terms, rng);
        if self.usable() == Some(epoch) {
            self.failures = 0;
            // The successor that a failed renewal made us plan is not needed any more.
            if matches!(self.opening, Opening::At(_)) {
                self.opening = Opening::Idle;
            }
        }
        let at = successor_at.into_iter().chain(self.collect).min();
        self.plan_successor(epoch, at);
    }

    pub(crate) fn renew_failed(
        &mut self,
        now: BootTime,
        epoch: E,
        failure: Failure,
        rng: &mut Rng,
    ) {
        // One that is being ended is not prolonged any more.
        let tenure = self.find_mut(epoch);
        let Some(tenure) = tenure.filter(|it| it.end == End::NotYet) else {
            return;
        };
        if failure.may_pass() || failure == Failure::SessionDead {
            let at = schedule::retry_at(now, failure, tenure.failures, rng);
            tenure.renewal = Renewal::At(at);
            tenure.failures = tenure.failures.saturating_add(1);
            let urgent = tenure.urgent;
            self.plan_successor(epoch, Some(urgent));
        } else {
            // The caller drops a dead holder. Any other refusal will not change: open one beside it.
            tenure.renewal = Renewal::Never;
            self.plan_successor(epoch, Some(now));
        }
    }

    /// Takes in that a holder has run out, and opens another where it was the current one.
    pub(crate) fn run_out(&mut self, now: BootTime, epoch: E, rng: &mut Rng) {
        let current = self.current.take_if(|tenure| tenure.epoch == epoch);
        if let Some(tenure) = current {
            self.reopen(now, tenure.since, rng);
            self.former.push(tenure);
        }
        if let Some(tenure) = self.find_mut(epoch) {
            tenure.ran_out = true;
        }
        self.end(now, epoch);
    }

    /// Forgets a holder that is dead, and opens another where it was the current one. Tells whether
    /// the holder was known.
    pub(crate) fn lost(&mut self, now: BootTime, epoch: E, rng: &mut Rng) -> bool {
        if let Some(dead) = self.current.take_if(|tenure| tenure.epoch == epoch) {
            self.reopen(now, dead.since, rng);
            return true;
        }
        let known = self.former.len();
        self.former.retain(|tenure| tenure.epoch != epoch);
        self.former.len() != known
    }

    /// Plans a successor because a person asks for one.
    pub(crate) fn succeed(&mut self, now: BootTime) {
        if self.current.is_some() && !matches!(self.opening, Opening::InFlight(_)) {
            self.opening = Opening::At(now);
        }
    }

    /// Plans a successor because something may hang on the holder that we do not know of: ending it
    /// is what collects that. Once an hour at most, since every lease has to move for it.
    pub(crate) fn taint(&mut self, now: BootTime, epoch: E) {
        if self.usable() != Some(epoch) || self.collect.is_some() {
            return;
        }
        let soonest = self.collected.map_or(now, |last| last.after(COLLECT_EVERY));
        let at = soonest.max(now).after(COLLECT_AFTER);
        self.collect = Some(at);
        self.collected = Some(at);
        match self.opening {
            Opening::At(planned) => self.opening = Opening::At(planned.min(at)),
            Opening::Idle => self.opening = Opening::At(at),
            Opening::InFlight(_) => {}
        }
    }

    /// Plans the end of a holder that nothing hangs on any more.
    pub(crate) fn end(&mut self, now: BootTime, epoch: E) {
        if let Some(tenure) = self.find_mut(epoch)
            && tenure.end == End::NotYet
        {
            tenure.end = End::At(now);
            tenure.renewal = Renewal::Never;
        }
    }

    /// Tries again to end a holder, where that can help; forgets it where it can't. Tells whether it
    /// was forgotten.
    pub(crate) fn end_failed(
        &mut self,
        now: BootTime,
        epoch: E,
        failure: Failure,
        rng: &mut Rng,
    ) -> bool {
        let Some(tenure) = self.find_mut(epoch) else {
            return false;
        };
        if failure.may_pass() {
            let at = schedule::retry_at(now, failure, tenure.failures, rng);
            tenure.failures = tenure.failures.saturating_add(1);
            tenure.end = End::At(at);
            return false;
        }
        // Dead already, or not ours to end: it is left to run out.
        self.ended(epoch);
        true
    }

    pub(crate) fn ended(&mut self, epoch: E) {
        self.former.retain(|tenure| tenure.epoch != epoch);
        self.current.take_if(|tenure| tenure.epoch == epoch);
    }

    /// Plans no further opening.
    pub(crate) fn stop(&mut self) {
        if matches!(self.opening, Opening::At(_)) {
            self.opening = Opening::Idle;
        }
    }

    /// Returns a holder that has run out, if any.
    pub(crate) fn ran_out(&mut self, now: BootTime) -> Option<E> {
        // One that ran out before and could not be ended has ended by itself by now.
        self.former
            .retain(|it| !(it.ran_out && it.gone_at() <= now && it.end != End::InFlight));
        let dead = self.all().find(|it| !it.ran_out && it.deadline <= now)?;
        Some(dead.epoch)
    }

    /// Returns what has fallen due, one thing at a time.
    pub(crate) fn next_due(&mut self, now: BootTime) -> Option<Due<E>> {
        if let Some(dead) = self.ran_out(now) {
            return Some(Due::RanOut(dead));
        }
        for tenure in self.former.iter_mut().chain(&mut self.current) {
            if tenure.renewal.wake() <= now {
                tenure.renewal = Renewal::InFlight;
                return Some(Due::Renew(tenure.epoch));
            }
            if matches!(tenure.end, End::At(at) if at <= now) {
                tenure.end = End::InFlight;
                return Some(Due::End(tenure.epoch));
            }
        }
        if matches!(self.opening, Opening::At(at) if at <= now) {
            let epoch = self.next_epoch;
            self.next_epoch = epoch.next();
            self.opening = Opening::InFlight(epoch);
            return Some(Due::Open(epoch));
        }
        None
    }

    /// Returns when the first holder runs out.
    pub(crate) fn runs_out(&self) -> BootTime {
        let of = |tenure: &Tenure<E>| match (tenure.ran_out, tenure.end) {
            (false, _) => tenure.deadline,
            (true, End::InFlight) => BootTime::NEVER,
            (true, End::NotYet | End::At(_)) => tenure.gone_at(),
        };
        self.all().map(of).fold(BootTime::NEVER, BootTime::min)
    }

    /// Returns when there is a call to make.
    pub(crate) fn calls(&self) -> BootTime {
        let opening = match self.opening {
            Opening::At(at) => at,
            Opening::Idle | Opening::InFlight(_) => BootTime::NEVER,
        };
        self.all()
            .flat_map(|tenure| [tenure.renewal.wake(), tenure.end.wake()])
            .fold(opening, BootTime::min)
    }

    pub(crate) fn check_invariants(&self) {
        let epochs: Vec<_> = self.epochs().collect();
        assert!(
            epochs.is_sorted_by(|a, b| a < b),
            "epochs only grow: {epochs:?}"
        );
        assert!(epochs.iter().all(|epoch| *epoch < self.next_epoch));
    }

    /// Opens another in the place of one that is no more.
    fn reopen(&mut self, now: BootTime, since: BootTime, rng: &mut Rng) {
        if now.since(since) >= PROVEN {
            self.failures = 0;
        }
        if !matches!(self.opening, Opening::InFlight(_)) {
            self.opening = Opening::At(if self.failures == 0 {
                now
            } else {
                schedule::retry_at(now, Failure::Denied, self.failures, rng)
            });
        }
        self.failures = self.failures.saturating_add(1);
    }

    /// Opens one beside the current holder once `at` comes; a former one has its successor already.
    fn plan_successor(&mut self, epoch: E, at: Option<BootTime>) {
        if self.usable() == Some(epoch)
            && self.opening == Opening::Idle
            && let Some(at) = at
        {
            self.opening = Opening::At(at);
        }
    }

    fn all(&self) -> impl Iterator<Item = &Tenure<E>> {
        self.former.iter().chain(&self.current)
    }

    fn find(&self, epoch: E) -> Option<&Tenure<E>> {
        self.all().find(|tenure| tenure.epoch == epoch)
    }

    fn find_mut(&mut self, epoch: E) -> Option<&mut Tenure<E>> {
        self.former
            .iter_mut()
            .chain(&mut self.current)
            .find(|tenure| tenure.epoch == epoch)
    }
}

impl<E> Tenure<E> {
    const fn new(epoch: E, since: BootTime) -> Self {
        Self {
            epoch,
            deadline: BootTime::NEVER,
            expected: None,
            renewal: Renewal::Never,
            failures: 0,
            urgent: BootTime::NEVER,
            since,
            lasts: BootTime::NEVER,
            ran_out: false,
            end: End::NotYet,
        }
    }

    /// Returns when a holder that ran out has surely ended at the provider.
    fn gone_at(&self) -> BootTime {
        self.lasts.after(schedule::CLAIM_AFTER)
    }

    /// Adopts what was granted. Returns when to open a successor, where this holder will not last.
    fn take_terms(
        &mut self,
        manner: Manner,
        now: BootTime,
        t_send: BootTime,
        terms: SessionTerms,
        rng: &mut Rng,
    ) -> Option<BootTime> {
        let Some(ttl) = terms.ttl else {
            self.deadline = BootTime::NEVER;
            self.renewal = Renewal::Never;
            return None;
        };
        let grant = Grant { t_send, ttl };
        self.deadline = grant.deadline();
        self.lasts = t_send.after(ttl);
        let short = self
            .expected
            .is_some_and(|expected| grant.is_short_of(expected));
        // At a login, `capped` only says that the role asks for more than it may have: logging in
        // again would give no more.
        let renewed = self.expected.is_some();
        let expected = *self.expected.get_or_insert(ttl);
        self.failures = 0;
        self.urgent = grant.urgent_at(expected);
        if renewed && (terms.capped || short) {
            self.renewal = Renewal::Never;
            return Some(now);
        }
        if !terms.renewable {
            self.renewal = Renewal::Never;
            // Well before the end: what hangs on this holder has to be replaced and given back.
            let usable = grant.deadline().since(t_send);
            return Some(t_send.after(usable.mul_f64(schedule::between(rng, 0.40, 0.55))));
        }
        if self.end == End::NotYet {
            let (from, to) = manner.renew;
            let at = t_send.after(ttl.mul_f64(schedule::between(rng, from, to)));
            self.renewal = Renewal::At(at);
        }
        manner.longest.map(|longest| self.since.after(longest))
    }
}

impl End {
    const fn wake(self) -> BootTime {
        match self {
            Self::At(at) => at,
            Self::NotYet | Self::InFlight => BootTime::NEVER,
        }
    }
}

impl Renewal {
    pub(crate) const fn wake(self) -> BootTime {
        match self {
            Self::At(at) => at,
            Self::Queued | Self::InFlight | Self::Never => BootTime::NEVER,
        }
    }
}

/// A holder that died sooner was never any good: the next opening waits.
const PROVEN: Duration = Duration::from_secs(30);
/// How often a holder is changed at most to collect what may hang on it unknown.
const COLLECT_EVERY: Duration = Duration::from_secs(60 * 60);
/// How long after the failure: whatever broke the call has had time to pass.
const COLLECT_AFTER: Duration = Duration::from_secs(30);
