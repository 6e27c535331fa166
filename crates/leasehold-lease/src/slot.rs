//! One declared credential: its generations and what is due for them.

mod budget;
mod due;
mod fetched;
mod hold;
mod release;
mod retired;
mod suspicion;
mod view;

use std::time::Duration;

use fastrand::Rng;
use leasehold_model::{BootTime, Failure, GenerationNumber, Holder, LeaseId};

use self::budget::Budget;
use self::hold::{Active, Hold};
use self::retired::{Lease, Retired, Stage};
use self::suspicion::Suspicion;
use crate::governor::{Rank, Work};
use crate::schedule::{self, Grant};
use crate::site::Site;
use crate::succession::Renewal;
use crate::{Action, Kind, Notice, ProviderId, SlotId};

#[derive(Debug)]
pub(crate) struct Slot {
    id: SlotId,
    pub(crate) provider: ProviderId,
    kind: Kind,
    /// Moves on when a candidate proves to be a generation, not when a poll finds nothing new.
    next_number: GenerationNumber,
    active: Option<Active>,
    fetch: Fetch,
    /// A person asked for the fetch that is planned: it waits for no budget.
    asked: bool,
    /// What it is derived from has a successor: the next one waits for no budget either, however many
    /// attempts it takes.
    outdated: bool,
    retired: Vec<Retired>,
    /// Fetches that failed in a row.
    fruitless: u32,
    /// How long credentials of this slot live as a rule: as long as the latest was granted, or as what
    /// it hangs on is granted where that is less.
    life: Option<Duration>,
    budget: Budget,
    suspicion: Suspicion,
    /// Whether there has been a generation to serve.
    served: bool,
    /// Calls about this slot that have no answer yet.
    unanswered: u32,
    course: Course,
}

/// Where a slot is in its own life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Serving,
    /// Everything is given back.
    Stopping,
    /// The same, and the slot is forgotten afterwards.
    Dismissed,
    Forgotten,
}

/// Where the next candidate is.
#[derive(Debug, PartialEq, Eq)]
enum Fetch {
    Idle,
    At(BootTime),
    /// It is due and waits for its turn.
    Queued(Rank),
    InFlight {
        number: GenerationNumber,
        holder: Holder,
        rank: Rank,
    },
}

/// What every transition needs beside the slot.
pub(crate) struct Context<'a> {
    pub(crate) now: BootTime,
    pub(crate) site: &'a mut Site,
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
            asked: false,
            outdated: false,
            retired: Vec::new(),
            fruitless: 0,
            life: None,
            budget: Budget::default(),
            suspicion: Suspicion::default(),
            served: false,
            unanswered: 0,
            course: Course::Serving,
        }
    }

    // === what happened ===

    pub(crate) fn renewed(
        &mut self,
        ctx: &mut Context<'_>,
        number: GenerationNumber,
        granted: Grant,
        capped: bool,
    ) {
        if let Some(retired) = self.retired(number) {
            retired.prolonged(granted);
        }
        let Some(Hold::Leased {
            lease,
            expected,
            shorter,
            renewal,
            failures,
        }) = self.hold(number)
        else {
            return;
        };
        lease.grant = granted;
        *failures = 0;
        *renewal = Renewal::At(granted.renew_at(ctx.rng));
        if !capped && !granted.is_short_of(*expected) {
            *shorter = None;
            return;
        }
        // The same again, and no word of a maximum life: the role was given shorter leases.
        if !capped && shorter.is_some_and(|it| granted.ttl.abs_diff(it) <= ROUNDING) {
            *expected = granted.ttl;
            *shorter = None;
            return;
        }
        if capped {
            *renewal = Renewal::Never;
        }
        *shorter = Some(granted.ttl);
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
        if let Some(retired) = self.retired(number)
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
        let Some(retired) = self.retired(number) else {
            return;
        };
        let at = schedule::retry_at(ctx.now, failure, retired.failures, ctx.rng);
        retired.stage = Stage::RevokeAt(at);
        retired.failures = retired.failures.saturating_add(1);
        if schedule::needs_a_person(failure) && !retired.irrevocable {
            retired.irrevocable = true;
            ctx.notify(Notice::Irrevocable {
                slot,
                number,
                failure,
            });
        }
    }

    /// A session or an anchor is dead, and the leases that hang on it with it.
    pub(crate) fn holder_lost(&mut self, ctx: &mut Context<'_>, holder: Holder) {
        let of_active = self.active_lease().map(|lease| lease.holder);
        if of_active == Some(holder) {
            self.expire(ctx);
        }
        let slot = self.id;
        let died = |retired: &mut Retired| retired.lease.holder == holder;
        for dead in self.retired.extract_if(.., died) {
            let number = dead.number;
            ctx.notify(Notice::ExpiryClaimed { slot, number });
        }
    }

    /// There is something else to hang on: a lease that hangs on the former moves over while that lives.
    pub(crate) fn holder_succeeded(&mut self, ctx: &mut Context<'_>) {
        let held_by = self.active_lease().map(|lease| lease.holder);
        let Some(holder) = held_by.filter(|it| ctx.site.should_leave(*it)) else {
            return;
        };
        let at = ctx.site.leave_at(ctx.now, holder, ctx.rng);
        self.plan_fetch(at);
    }

    /// The provider can be reached again: a credential that nothing is served of does not wait out a
    /// backoff from before. The budget still holds.
    pub(crate) fn provider_is_back(&mut self, ctx: &mut Context<'_>) {
        if self.active.is_none() && matches!(self.fetch, Fetch::At(_)) {
            self.plan_fetch(ctx.now);
        }
    }

    /// An upstream refused a generation.
    pub(crate) fn suspected(&mut self, ctx: &mut Context<'_>, number: GenerationNumber) {
        let slot = self.id;
        let is_active = self.active.as_ref().is_some_and(|it| it.number == number);
        if !is_active || self.suspicion.is_of(number) {
            return;
        }
        let under_way = self.is_fetching();
        let afforded = !self.kind.is_issued() || self.budget.allows_suspicion(ctx.now, self.life);
        if !(under_way || afforded && self.suspicion.may_follow(ctx.now)) {
            return ctx.notify(Notice::SuspicionDismissed { slot, number });
        }
        self.suspicion.follow(ctx.now, number);
        ctx.notify(Notice::Suspect { slot, number });
        self.plan_fetch(ctx.now);
    }

    /// A person wants a successor now.
    pub(crate) fn rotation_asked(&mut self, ctx: &Context<'_>) {
        // A fetch that is under way is what was asked for: no later one is let past the budget for it.
        self.asked = !self.is_fetching();
        self.plan_fetch(ctx.now);
    }

    /// What it is derived from has a successor.
    pub(crate) fn parent_succeeded(&mut self, ctx: &mut Context<'_>) {
        self.outdated = true;
        self.plan_fetch(ctx.now);
    }

    /// What it is derived from is served no more. Another is asked for at once: that fails until there
    /// is something to ask with.
    pub(crate) fn parent_lost(&mut self, ctx: &mut Context<'_>) {
        self.expire(ctx);
    }

    /// A person wants a generation dead now, whoever uses it; another is fetched.
    pub(crate) fn revocation_asked(
        &mut self,
        ctx: &mut Context<'_>,
        number: Option<GenerationNumber>,
    ) {
        let meant = |it: GenerationNumber| number.is_none_or(|number| number == it);
        let active = self
            .active
            .take_if(|it| meant(it.number) && it.hold.lease().is_some());
        if let Some(active) = active {
            ctx.actions.push(Action::Withdraw { slot: self.id });
            self.retire(ctx, active);
            self.hurry_fetch(ctx);
            self.rotation_asked(ctx);
        }
        for retired in self.retired.iter_mut().filter(|it| meant(it.number)) {
            retired.hasten(ctx.now);
        }
    }

    /// Gives everything back once the requests that still use it have ended, and is forgotten then.
    pub(crate) fn dismiss(&mut self, ctx: &mut Context<'_>) {
        self.cease(ctx, Course::Dismissed);
    }

    pub(crate) fn stop(&mut self, ctx: &mut Context<'_>) {
        self.cease(ctx, Course::Stopping);
        // Requests had their time to end before this. A straggler must not cost the lease its
        // revocation, whose time is short.
        for retired in &mut self.retired {
            retired.hasten(ctx.now);
        }
    }

    /// Serves and fetches nothing from now on.
    fn cease(&mut self, ctx: &mut Context<'_>, course: Course) {
        if self.course != Course::Serving {
            return;
        }
        self.course = course;
        if matches!(self.fetch, Fetch::At(_) | Fetch::Queued(_)) {
            self.fetch = Fetch::Idle;
        }
        if let Some(active) = self.active.take() {
            ctx.actions.push(Action::Withdraw { slot: self.id });
            self.retire(ctx, active);
        }
    }

    // === for the engine ===

    /// Returns what this slot needs alive: what a lease hangs on, or a call under way was made with.
    pub(crate) fn holders(&self) -> impl Iterator<Item = Holder> {
        let active = self.active_lease().map(|lease| lease.holder);
        let candidate = match self.fetch {
            Fetch::InFlight { holder, .. } => Some(holder),
            Fetch::Idle | Fetch::At(_) | Fetch::Queued(_) => None,
        };
        // A lease that nobody can revoke must not keep what it hangs on alive: ending that is the one
        // way left to end the lease.
        let retired = self
            .retired
            .iter()
            .filter(|it| !it.irrevocable)
            .map(|it| it.lease.holder);
        retired.chain(active).chain(candidate)
    }

    pub(crate) fn leftovers(&self) -> impl Iterator<Item = (GenerationNumber, &LeaseId)> {
        self.retired
            .iter()
            .map(|retired| (retired.number, &retired.lease.lease_id))
    }

    /// Tells whether there is nothing to give back but what can't be.
    pub(crate) fn is_clear(&self) -> bool {
        let fetching = matches!(self.fetch, Fetch::InFlight { .. });
        self.active.is_none() && !fetching && self.retired.iter().all(|it| it.irrevocable)
    }

    /// Counts a call that goes out.
    pub(crate) const fn asked_provider(&mut self) {
        self.unanswered = self.unanswered.saturating_add(1);
    }

    /// Counts an answer.
    pub(crate) const fn was_answered(&mut self) {
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    /// Tells whether its first generation is still to come.
    pub(crate) fn is_awaited(&self) -> bool {
        !self.served && self.course == Course::Serving
    }

    /// Tells, once, that a dismissed slot holds nothing any more. Not while a call about it is out: the
    /// answer would be taken for that of whoever has the slot next.
    pub(crate) fn forget(&mut self) -> bool {
        let over = self.course == Course::Dismissed
            && self.is_clear()
            && self.retired.is_empty()
            && self.unanswered == 0;
        if over {
            self.course = Course::Forgotten;
        }
        over
    }

    pub(crate) fn check_invariants(&self, site: &Site) {
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
            assert!(
                active.deadline <= site.deadline(lease.holder),
                "a lease outlives what it hangs on: {self:?}"
            );
        }
        if self.course != Course::Serving {
            assert!(self.active.is_none(), "nothing is served after stopping");
        }
    }

    // === transitions ===

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
        self.hurry_fetch(ctx);
        if self.fruitless == 0 {
            self.plan_fetch(ctx.now);
        }
    }

    fn retire(&mut self, ctx: &Context<'_>, active: Active) {
        // Neither a stored value nor a certificate is given back: dropping it is all there is to do.
        if let Hold::Leased { lease, .. } = active.hold {
            let until = schedule::drain_until(ctx.now, active.deadline);
            let stage = Stage::Draining { until };
            self.retired.push(Retired::new(active.number, lease, stage));
        }
    }

    /// With nothing served any more, a rotation that waits for its turn has become more urgent.
    fn hurry_fetch(&mut self, ctx: &mut Context<'_>) {
        if self.fetch == Fetch::Queued(Rank::Rotation) {
            self.fetch = Fetch::Queued(Rank::Outage);
            let work = Work::Fetch(self.id);
            ctx.site.governor.enqueue(Rank::Outage, ctx.now, work);
        }
    }

    fn plan_fetch(&mut self, at: BootTime) {
        match self.fetch {
            Fetch::Idle if self.course == Course::Serving => self.fetch = Fetch::At(at),
            Fetch::At(planned) => self.fetch = Fetch::At(planned.min(at)),
            Fetch::Idle | Fetch::Queued(_) | Fetch::InFlight { .. } => {}
        }
    }

    const fn is_fetching(&self) -> bool {
        matches!(self.fetch, Fetch::Queued(_) | Fetch::InFlight { .. })
    }

    fn active_lease(&self) -> Option<&Lease> {
        self.active.as_ref()?.hold.lease()
    }

    fn hold(&mut self, number: GenerationNumber) -> Option<&mut Hold> {
        self.active
            .as_mut()
            .filter(|active| active.number == number)
            .map(|it| &mut it.hold)
    }

    fn retired(&mut self, number: GenerationNumber) -> Option<&mut Retired> {
        self.retired.iter_mut().find(|it| it.number == number)
    }
}

impl Context<'_> {
    fn notify(&mut self, notice: Notice) {
        self.actions.push(Action::Notify(notice));
    }
}

/// Providers round grants to whole seconds.
const ROUNDING: Duration = Duration::from_secs(1);
