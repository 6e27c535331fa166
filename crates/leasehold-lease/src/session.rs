//! Our logins at one provider, and their succession.

use std::time::Duration;

use fastrand::Rng;
use leasehold_model::{BootTime, Failure, SessionEpoch};

use crate::schedule::{self, Grant};
use crate::{Action, ProviderId, SessionTerms};

/// The sessions of one provider: the current one, in which calls are made, and former ones that live
/// on because leases hang on them.
#[derive(Debug)]
pub(crate) struct Sessions {
    provider: ProviderId,
    current: Option<Session>,
    former: Vec<Session>,
    login: Login,
    next_epoch: SessionEpoch,
    failures: u32,
}

#[derive(Debug)]
struct Session {
    epoch: SessionEpoch,
    deadline: BootTime,
    expected: Option<Duration>,
    renewal: Renewal,
    /// Renewals that failed in a row.
    failures: u32,
    /// When to log in beside it, whatever is hoped for.
    urgent: BootTime,
    /// When it was logged in to.
    since: BootTime,
    end: End,
}

/// Whether a session is to be ended at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    NotYet,
    At(BootTime),
    InFlight,
}

/// When a session or a lease is renewed next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renewal {
    At(BootTime),
    InFlight,
    Never,
}

#[derive(Debug, PartialEq, Eq)]
enum Login {
    Idle,
    At(BootTime),
    InFlight(SessionEpoch),
}

impl Sessions {
    pub(crate) fn new(provider: ProviderId, now: BootTime) -> Self {
        Self {
            provider,
            current: None,
            former: Vec::new(),
            login: Login::At(now),
            next_epoch: SessionEpoch::FIRST,
            failures: 0,
        }
    }

    /// Returns the session to make calls in.
    pub(crate) fn usable(&self) -> Option<SessionEpoch> {
        self.current.as_ref().map(|session| session.epoch)
    }

    /// Returns when what hangs on the session dies with it; the start of time for one that is gone.
    pub(crate) fn deadline(&self, epoch: SessionEpoch) -> BootTime {
        self.find(epoch)
            .map_or(BootTime::default(), |session| session.deadline)
    }

    /// Tells whether leases issued in this session should move to the current one.
    pub(crate) fn is_former(&self, epoch: SessionEpoch) -> bool {
        self.former.iter().any(|session| session.epoch == epoch)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.current.is_none()
            && self.former.is_empty()
            && !matches!(self.login, Login::InFlight(_))
    }

    pub(crate) fn epochs(&self) -> impl Iterator<Item = SessionEpoch> {
        self.former
            .iter()
            .chain(&self.current)
            .map(|session| session.epoch)
    }

    pub(crate) fn logged_in(
        &mut self,
        now: BootTime,
        epoch: SessionEpoch,
        t_send: BootTime,
        terms: SessionTerms,
        rng: &mut Rng,
    ) {
        if self.login != Login::InFlight(epoch) {
            return;
        }
        self.login = Login::Idle;
        let mut session = Session {
            epoch,
            deadline: BootTime::NEVER,
            expected: None,
            renewal: Renewal::Never,
            failures: 0,
            urgent: BootTime::NEVER,
            since: t_send,
            end: End::NotYet,
        };
        let successor_at = session.take_terms(now, t_send, terms, rng);
        self.former.extend(self.current.replace(session));
        if let Some(at) = successor_at {
            self.login = Login::At(at);
        }
    }

    pub(crate) fn login_failed(
        &mut self,
        now: BootTime,
        epoch: SessionEpoch,
        failure: Failure,
        rng: &mut Rng,
    ) {
        if self.login != Login::InFlight(epoch) {
            return;
        }
        self.login = Login::At(schedule::retry_at(now, failure, self.failures, rng));
        self.failures = self.failures.saturating_add(1);
    }

    pub(crate) fn renewed(
        &mut self,
        now: BootTime,
        epoch: SessionEpoch,
        t_send: BootTime,
        terms: SessionTerms,
        rng: &mut Rng,
    ) {
        let Some(session) = self.find_mut(epoch) else {
            return;
        };
        let successor_at = session.take_terms(now, t_send, terms, rng);
        if self.usable() == Some(epoch) {
            self.failures = 0;
            // The successor that a failed renewal made us plan is not needed any more.
            if matches!(self.login, Login::At(_)) {
                self.login = Login::Idle;
            }
        }
        self.plan_successor(epoch, successor_at);
    }

    pub(crate) fn renew_failed(
        &mut self,
        now: BootTime,
        epoch: SessionEpoch,
        failure: Failure,
        rng: &mut Rng,
    ) {
        let Some(session) = self.find_mut(epoch) else {
            return;
        };
        if failure.may_pass() {
            let at = schedule::retry_at(now, failure, session.failures, rng);
            session.renewal = Renewal::At(at);
            session.failures = session.failures.saturating_add(1);
            let urgent = session.urgent;
            self.plan_successor(epoch, Some(urgent));
        } else {
            // The caller drops a dead session. Any other refusal will not change: log in beside it.
            session.renewal = Renewal::Never;
            self.plan_successor(epoch, Some(now));
        }
    }

    /// Forgets a session that is dead, and logs in again where it was the current one. Tells whether
    /// the session was known.
    pub(crate) fn lost(&mut self, now: BootTime, epoch: SessionEpoch, rng: &mut Rng) -> bool {
        if let Some(dead) = self.current.take_if(|session| session.epoch == epoch) {
            if now.since(dead.since) >= PROVEN {
                self.failures = 0;
            }
            if !matches!(self.login, Login::InFlight(_)) {
                self.login = Login::At(if self.failures == 0 {
                    now
                } else {
                    schedule::retry_at(now, Failure::Denied, self.failures, rng)
                });
            }
            self.failures = self.failures.saturating_add(1);
            return true;
        }
        let known = self.former.len();
        self.former.retain(|session| session.epoch != epoch);
        self.former.len() != known
    }

    /// Ends a session that nothing hangs on any more.
    pub(crate) fn end(&mut self, epoch: SessionEpoch, actions: &mut Vec<Action>) {
        let provider = self.provider;
        if let Some(session) = self.find_mut(epoch)
            && session.end == End::NotYet
        {
            session.end = End::InFlight;
            session.renewal = Renewal::Never;
            actions.push(Action::RevokeSession { provider, epoch });
        }
    }

    /// Tries again to end a session, where that can help; forgets it where it can't.
    pub(crate) fn end_failed(
        &mut self,
        now: BootTime,
        epoch: SessionEpoch,
        failure: Failure,
        rng: &mut Rng,
    ) {
        let Some(session) = self.find_mut(epoch) else {
            return;
        };
        if failure.may_pass() {
            let at = schedule::retry_at(now, failure, session.failures, rng);
            session.failures = session.failures.saturating_add(1);
            session.end = End::At(at);
        } else {
            // Dead already, or not ours to end: it is left to run out.
            self.ended(epoch);
        }
    }

    pub(crate) fn ended(&mut self, epoch: SessionEpoch) {
        self.former.retain(|session| session.epoch != epoch);
        if self
            .current
            .as_ref()
            .is_some_and(|session| session.epoch == epoch)
        {
            self.current = None;
        }
    }

    /// Plans no further login.
    pub(crate) fn stop(&mut self) {
        if matches!(self.login, Login::At(_)) {
            self.login = Login::Idle;
        }
    }

    /// Does what has fallen due. Returns a session that has run out, if any: the caller loses it and
    /// calls again.
    pub(crate) fn fire(
        &mut self,
        now: BootTime,
        actions: &mut Vec<Action>,
    ) -> Option<SessionEpoch> {
        let provider = self.provider;
        if let Some(dead) = self.all().find(|it| it.deadline <= now) {
            let epoch = dead.epoch;
            if dead.end == End::NotYet {
                // Our margin has run out and not yet the session: it is not left lying about.
                actions.push(Action::RevokeSession { provider, epoch });
            }
            return Some(epoch);
        }
        for session in self.former.iter_mut().chain(&mut self.current) {
            let epoch = session.epoch;
            if session.renewal.wake() <= now {
                session.renewal = Renewal::InFlight;
                actions.push(Action::RenewSession { provider, epoch });
            }
            if matches!(session.end, End::At(at) if at <= now) {
                session.end = End::InFlight;
                actions.push(Action::RevokeSession { provider, epoch });
            }
        }
        if matches!(self.login, Login::At(at) if at <= now) {
            let epoch = self.next_epoch;
            self.next_epoch = epoch.next();
            self.login = Login::InFlight(epoch);
            actions.push(Action::Login { provider, epoch });
        }
        None
    }

    pub(crate) fn wake(&self) -> BootTime {
        let login = match self.login {
            Login::At(at) => at,
            Login::Idle | Login::InFlight(_) => BootTime::NEVER,
        };
        self.all()
            .flat_map(|session| [session.deadline, session.renewal.wake(), session.end.wake()])
            .fold(login, BootTime::min)
    }

    pub(crate) fn check_invariants(&self) {
        let epochs: Vec<_> = self.epochs().collect();
        assert!(
            epochs.is_sorted_by(|a, b| a < b),
            "epochs only grow: {epochs:?}"
        );
        assert!(epochs.iter().all(|epoch| *epoch < self.next_epoch));
    }

    /// Logs in beside the current session once `at` comes; a former one has its successor already.
    fn plan_successor(&mut self, epoch: SessionEpoch, at: Option<BootTime>) {
        if self.usable() == Some(epoch)
            && self.login == Login::Idle
            && let Some(at) = at
        {
            self.login = Login::At(at);
        }
    }

    fn all(&self) -> impl Iterator<Item = &Session> {
        self.former.iter().chain(&self.current)
    }

    fn find(&self, epoch: SessionEpoch) -> Option<&Session> {
        self.former
            .iter()
            .chain(&self.current)
            .find(|session| session.epoch == epoch)
    }

    fn find_mut(&mut self, epoch: SessionEpoch) -> Option<&mut Session> {
        self.former
            .iter_mut()
            .chain(&mut self.current)
            .find(|session| session.epoch == epoch)
    }
}

impl Session {
    /// Adopts what was granted. Returns when to log in anew, where this session will not last.
    fn take_terms(
        &mut self,
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
            // Well before the end: what hangs on this session has to be replaced and given back.
            let usable = grant.deadline().since(t_send);
            return Some(t_send.after(usable.mul_f64(schedule::between(rng, 0.40, 0.55))));
        }
        self.renewal = Renewal::At(grant.renew_at(rng));
        None
    }
}

impl End {
    fn wake(self) -> BootTime {
        match self {
            Self::At(at) => at,
            Self::NotYet | Self::InFlight => BootTime::NEVER,
        }
    }
}

impl Renewal {
    pub(crate) fn wake(self) -> BootTime {
        match self {
            Self::At(at) => at,
            Self::InFlight | Self::Never => BootTime::NEVER,
        }
    }
}

/// A session that died sooner was never any good: the next login waits.
const PROVEN: Duration = Duration::from_secs(30);
