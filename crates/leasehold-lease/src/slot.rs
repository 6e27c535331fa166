//! One declared credential: its generations and what is due for them.

mod due;
mod retired;

use std::time::Duration;

use fastrand::Rng;
use leasehold_model::{BootTime, Failure, GenerationNumber, LeaseId, SessionEpoch};

use self::retired::{Lease, Retired, Stage};
use crate::schedule::{self, Grant};
use crate::session::{Renewal, Sessions};
use crate::{Action, Kind, Notice, ProviderId, SlotId, Terms};

#[derive(Debug)]
pub(crate) struct Slot {
    id: SlotId,
    pub(crate) provider: ProviderId,
    kind: Kind,
    /// Moves on when a candidate proves to be a generation, not when a poll finds nothing new.
    next_number: GenerationNumber,
    active: Option<Active>,
    fetch: Fetch,
    retired: Vec<Retired>,
    /// Fetches that failed in a row.
    fruitless: u32,
    stopping: bool,
}

/// The generation that is served.
#[derive(Debug)]
struct Active {
    number: GenerationNumber,
    /// The deadline that readers were last told.
    deadline: BootTime,
    hold: Hold,
}

#[derive(Debug)]
enum Hold {
    Leased {
        lease: Lease,
        /// The first grant: what a renewal is measured by.
        expected: Duration,
        renewal: Renewal,
        failures: u32,
    },
    Versioned {
        version: u64,
        confirmed: BootTime,
        max_stale: Duration,
    },
}

/// Where the next candidate is.
#[derive(Debug, PartialEq, Eq)]
enum Fetch {
    Idle,
    At(BootTime),
    InFlight {
        number: GenerationNumber,
        epoch: SessionEpoch,
    },
}

/// What every transition needs beside the slot.
pub(crate) struct Context<'a> {
    pub(crate) now: BootTime,
    pub(crate) sessions: &'a Sessions,
    pub(crate) rng: &'a mut Rng,
    pub(crate) actions: &'a mut Vec<Action>,
}

impl Slot {
    pub(crate) fn new(id: SlotId, provider: ProviderId, kind: Kind, now: BootTime) -> Self {
        Self {
            id,
            provider,
            kind,
            next_number: GenerationNumber::FIRST,
            active: None,
            fetch: Fetch::At(now),
            retired: Vec::new(),
            fruitless: 0,
            stopping: false,
        }
    }

    // === what happened ===

    pub(crate) fn fetched(
        &mut self,
        ctx: &mut Context<'_>,
        number: GenerationNumber,
        t_send: BootTime,
        terms: Terms,
    ) {
        let Some(epoch) = self.take_candidate(number) else {
            return;
        };
        match terms {
            Terms::Leased {
                lease_id,
                ttl,
                renewable,
            } => {
                let lease = Lease {
                    lease_id,
                    epoch,
                    grant: Grant { t_send, ttl },
                };
                self.leased(ctx, number, lease, renewable);
            }
            Terms::Versioned { version } => self.versioned(ctx, number, t_send, version),
            Terms::Rotating { .. } | Terms::Certificate { .. } | Terms::Hinted { .. } => {}
        }
    }

    pub(crate) fn unusable(
        &mut self,
        ctx: &mut Context<'_>,
        number: GenerationNumber,
        t_send: BootTime,
        terms: Terms,
    ) {
        let Some(epoch) = self.take_candidate(number) else {
            return;
        };
        if let Terms::Leased { lease_id, ttl, .. } = terms {
            let lease = Lease {
                lease_id,
                epoch,
                grant: Grant { t_send, ttl },
            };
            self.give_back(ctx.now, number, lease);
        }
        self.plan_retry(ctx, Failure::Misconfigured);
    }

    pub(crate) fn fetch_failed(
        &mut self,
        ctx: &mut Context<'_>,
        number: GenerationNumber,
        failure: Failure,
    ) {
        if self.take_candidate(number).is_some() {
            self.plan_retry(ctx, failure);
        }
    }

    pub(crate) fn renewed(
        &mut self,
        ctx: &mut Context<'_>,
        number: GenerationNumber,
        granted: Grant,
        capped: bool,
    ) {
        let Some(Hold::Leased {
            lease,
            expected,
            renewal,
            failures,
        }) = self.hold(number)
        else {
            return;
        };
        lease.grant = granted;
        *failures = 0;
        if !capped && !granted.is_short_of(*expected) {
            *renewal = Renewal::At(granted.renew_at(ctx.rng));
            return;
        }
        *renewal = Renewal::Never;
        let at = granted.rotate_soon_at(ctx.now, ctx.rng);
        self.plan_fetch(at);
    }

    pub(crate) fn renew_failed(
        &mut self,
        ctx: &mut Context<'_>,
        number: GenerationNumber,
        failure: Failure,
    ) {
        let Some(Hold::Leased {
            lease,
            renewal,
            failures,
            ..
        }) = self.hold(number)
        else {
            return;
        };
        let grant = lease.grant;
        let attempt = *failures;
        *failures = failures.saturating_add(1);
        match failure {
            Failure::LeaseGone => self.expire(ctx),
            Failure::NotRenewable => {
                *renewal = Renewal::Never;
                let at = grant.rotate_soon_at(ctx.now, ctx.rng);
                self.plan_fetch(at);
            }
            Failure::Denied | Failure::Misconfigured => {
                *renewal = Renewal::At(ctx.now.after(grant.ttl.mul_f64(0.125)));
            }
            Failure::Transient
            | Failure::Unreachable
            | Failure::MaybeIssued
            | Failure::SessionDead
            | Failure::SlowDown { .. } => {
                *renewal = Renewal::At(schedule::retry_at(ctx.now, failure, attempt, ctx.rng));
            }
        }
    }

    pub(crate) fn drained(&mut self, now: BootTime, number: GenerationNumber) {
        let draining = self
            .retired
            .iter_mut()
            .find(|retired| retired.number == number);
        if let Some(retired) = draining
            && matches!(retired.stage, Stage::Draining { .. })
        {
            retired.stage = Stage::RevokeAt(now);
        }
    }

    pub(crate) fn revoked(&mut self, ctx: &mut Context<'_>, number: GenerationNumber) {
        let known = self.retired.len();
        self.retired.retain(|retired| retired.number != number);
        if self.retired.len() != known {
            ctx.notify(Notice::Revoked {
                slot: self.id,
                number,
            });
        }
    }

    pub(crate) fn revoke_failed(
        &mut self,
        ctx: &mut Context<'_>,
        number: GenerationNumber,
        failure: Failure,
    ) {
        let slot = self.id;
        if failure == Failure::LeaseGone {
            // Gone is not revoked at our word: nobody has confirmed when it ended.
            self.retired.retain(|retired| retired.number != number);
            return ctx.notify(Notice::ExpiryClaimed { slot, number });
        }
        let Some(retired) = self.retired.iter_mut().find(|it| it.number == number) else {
            return;
        };
        let at = schedule::retry_at(ctx.now, failure, retired.failures, ctx.rng);
        retired.stage = Stage::RevokeAt(at);
        retired.failures = retired.failures.saturating_add(1);
        let needs_a_person = matches!(
            failure,
            Failure::Denied | Failure::Misconfigured | Failure::NotRenewable
        );
        if needs_a_person && !retired.irrevocable {
            retired.irrevocable = true;
            ctx.notify(Notice::Irrevocable {
                slot,
                number,
                failure,
            });
        }
    }

    /// The session is dead, and the leases issued in it with it.
    pub(crate) fn session_lost(&mut self, ctx: &mut Context<'_>, epoch: SessionEpoch) {
        if self
            .active_lease()
            .is_some_and(|lease| lease.epoch == epoch)
        {
            self.expire(ctx);
        }
        let slot = self.id;
        for dead in self
            .retired
            .extract_if(.., |retired| retired.lease.epoch == epoch)
        {
            ctx.notify(Notice::ExpiryClaimed {
                slot,
                number: dead.number,
            });
        }
    }

    /// The session has a successor: leases issued in it move over while it still lives.
    pub(crate) fn session_succeeded(&mut self, ctx: &mut Context<'_>) {
        let issued_in = self.active_lease().map(|lease| lease.epoch);
        if let Some(epoch) = issued_in.filter(|epoch| ctx.sessions.is_former(*epoch)) {
            let left = ctx.sessions.deadline(epoch).since(ctx.now);
            let at = ctx
                .now
                .after(left.mul_f64(schedule::between(ctx.rng, 0.0, 0.5)));
            self.plan_fetch(at);
        }
    }

    pub(crate) fn stop(&mut self, ctx: &mut Context<'_>) {
        self.stopping = true;
        if matches!(self.fetch, Fetch::At(_)) {
            self.fetch = Fetch::Idle;
        }
        if let Some(active) = self.active.take() {
            ctx.actions.push(Action::Withdraw { slot: self.id });
            self.retire(ctx, active);
        }
        // Requests had their time to end before this. A straggler must not cost the lease its
        // revocation, whose time is short.
        for retired in &mut self.retired {
            if matches!(retired.stage, Stage::Draining { .. }) {
                retired.stage = Stage::RevokeAt(ctx.now);
            }
        }
    }

    // === for the engine ===

    pub(crate) fn uses(&self, epoch: SessionEpoch) -> bool {
        let active = self.active_lease().map(|lease| lease.epoch);
        let candidate = match self.fetch {
            Fetch::InFlight { epoch, .. } => Some(epoch),
            Fetch::Idle | Fetch::At(_) => None,
        };
        // A lease that nobody can revoke must not keep its session alive: ending the session is the
        // one way left to end the lease.
        let retired = self
            .retired
            .iter()
            .filter(|it| !it.irrevocable)
            .map(|it| it.lease.epoch);
        retired
            .chain(active)
            .chain(candidate)
            .any(|used| used == epoch)
    }

    pub(crate) fn leftovers(&self) -> impl Iterator<Item = (GenerationNumber, &LeaseId)> {
        self.retired
            .iter()
            .map(|retired| (retired.number, &retired.lease.lease_id))
    }

    pub(crate) fn is_clear(&self) -> bool {
        let fetching = matches!(self.fetch, Fetch::InFlight { .. });
        self.active.is_none() && !fetching && self.retired.iter().all(|it| it.irrevocable)
    }

    pub(crate) fn check_invariants(&self, sessions: &Sessions) {
        let newest = self.active.as_ref().map(|active| active.number);
        assert!(
            newest.is_none_or(|number| number < self.next_number),
            "numbers only grow"
        );
        if let Fetch::InFlight { number, .. } = self.fetch {
            assert!(
                newest.is_none_or(|active| active < number),
                "a candidate is newer"
            );
        }
        for retired in &self.retired {
            assert!(
                newest != Some(retired.number),
                "retired and active at once: {self:?}"
            );
        }
        if let (Some(active), Some(lease)) = (&self.active, self.active_lease()) {
            let of_session = sessions.deadline(lease.epoch);
            assert!(
                active.deadline <= of_session,
                "a lease outlives its session: {self:?}"
            );
        }
        if self.stopping {
            assert!(self.active.is_none(), "nothing is served after stopping");
        }
    }

    // === transitions ===

    fn leased(
        &mut self,
        ctx: &mut Context<'_>,
        number: GenerationNumber,
        lease: Lease,
        renewable: bool,
    ) {
        let deadline = lease
            .grant
            .deadline()
            .min(ctx.sessions.deadline(lease.epoch));
        if self.stopping || deadline <= ctx.now {
            self.give_back(ctx.now, number, lease);
            if !self.stopping {
                // It may be slow for long: each attempt makes a credential that nobody can use.
                self.plan_retry(ctx, Failure::MaybeIssued);
            }
            return;
        }
        self.fruitless = 0;
        let grant = lease.grant;
        let renewal = if renewable {
            Renewal::At(grant.renew_at(ctx.rng))
        } else {
            let at = grant.replace_at(ctx.rng);
            self.plan_fetch(at);
            Renewal::Never
        };
        let hold = Hold::Leased {
            lease,
            expected: grant.ttl,
            renewal,
            failures: 0,
        };
        self.activate(
            ctx,
            Active {
                number,
                deadline,
                hold,
            },
        );
        // The session may have been succeeded while this lease was being issued in it.
        self.session_succeeded(ctx);
    }

    fn versioned(
        &mut self,
        ctx: &mut Context<'_>,
        number: GenerationNumber,
        t_send: BootTime,
        new: u64,
    ) {
        let slot = self.id;
        if self.stopping {
            return ctx.actions.push(Action::Discard { slot, number });
        }
        let Kind::Versioned { poll, max_stale } = self.kind else {
            return ctx.actions.push(Action::Discard { slot, number });
        };
        self.fruitless = 0;
        self.plan_fetch(schedule::poll_at(ctx.now, poll, ctx.rng));
        if let Some(Active {
            hold: Hold::Versioned {
                version, confirmed, ..
            },
            ..
        }) = &mut self.active
            && *version >= new
        {
            // A smaller version comes from a standby that lags behind: it confirms nothing.
            if *version == new {
                *confirmed = t_send;
            }
            return ctx.actions.push(Action::Discard { slot, number });
        }
        let hold = Hold::Versioned {
            version: new,
            confirmed: t_send,
            max_stale,
        };
        self.activate(
            ctx,
            Active {
                number,
                deadline: t_send.after(max_stale),
                hold,
            },
        );
    }

    /// Puts a generation in the place of the one that was served.
    fn activate(&mut self, ctx: &mut Context<'_>, active: Active) {
        let Active {
            number, deadline, ..
        } = active;
        self.next_number = number.next();
        ctx.actions.push(Action::Activate {
            slot: self.id,
            number,
            deadline,
        });
        if let Some(replaced) = self.active.replace(active) {
            self.retire(ctx, replaced);
        }
    }

    /// Stops serving a generation that has reached its end, and asks for another.
    fn expire(&mut self, ctx: &mut Context<'_>) {
        let Some(active) = self.active.take() else {
            return;
        };
        let slot = self.id;
        ctx.actions.push(Action::Withdraw { slot });
        ctx.notify(Notice::Expired {
            slot,
            number: active.number,
        });
        self.retire(ctx, active);
        if self.fruitless == 0 {
            self.plan_fetch(ctx.now);
        }
    }

    fn retire(&mut self, ctx: &Context<'_>, active: Active) {
        // A stored value is not given back: dropping it is all there is to do.
        if let Hold::Leased { lease, .. } = active.hold {
            let until = schedule::drain_until(ctx.now, active.deadline);
            let stage = Stage::Draining { until };
            self.retired.push(Retired::new(active.number, lease, stage));
        }
    }

    /// Gives back a lease that was never served.
    fn give_back(&mut self, now: BootTime, number: GenerationNumber, lease: Lease) {
        self.next_number = number.next();
        self.retired
            .push(Retired::new(number, lease, Stage::RevokeAt(now)));
    }

    fn plan_fetch(&mut self, at: BootTime) {
        match self.fetch {
            Fetch::Idle if !self.stopping => self.fetch = Fetch::At(at),
            Fetch::At(planned) => self.fetch = Fetch::At(planned.min(at)),
            Fetch::Idle | Fetch::InFlight { .. } => {}
        }
    }

    fn plan_retry(&mut self, ctx: &mut Context<'_>, failure: Failure) {
        let at = schedule::retry_at(ctx.now, failure, self.fruitless, ctx.rng);
        self.fruitless = self.fruitless.saturating_add(1);
        // With a live session lost, the retry waits for the next login and for nothing else.
        self.plan_fetch(if failure == Failure::SessionDead {
            ctx.now
        } else {
            at
        });
    }

    fn take_candidate(&mut self, expected: GenerationNumber) -> Option<SessionEpoch> {
        match self.fetch {
            Fetch::InFlight { number, epoch } if number == expected => {
                self.fetch = Fetch::Idle;
                Some(epoch)
            }
            Fetch::Idle | Fetch::At(_) | Fetch::InFlight { .. } => None,
        }
    }

    fn active_lease(&self) -> Option<&Lease> {
        match &self.active.as_ref()?.hold {
            Hold::Leased { lease, .. } => Some(lease),
            Hold::Versioned { .. } => None,
        }
    }

    fn hold(&mut self, number: GenerationNumber) -> Option<&mut Hold> {
        self.active
            .as_mut()
            .filter(|active| active.number == number)
            .map(|it| &mut it.hold)
    }
}

impl Context<'_> {
    fn notify(&mut self, notice: Notice) {
        self.actions.push(Action::Notify(notice));
    }
}
