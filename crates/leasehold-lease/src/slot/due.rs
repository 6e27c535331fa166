//! What falls due for a slot, and when.

use std::time::Duration;

use leasehold_model::BootTime;

use super::retired::Stage;
use super::{Context, Fetch, Hold, Slot};
use crate::governor::{Rank, Work};
use crate::succession::Renewal;
use crate::{Action, Notice};

impl Slot {
    /// Does what is due: lets calls wait for their turn, and ends what has reached its end.
    pub(crate) fn fire(&mut self, ctx: &mut Context<'_>) {
        self.tell_deadline(ctx);
        let ended = self
            .active
            .as_ref()
            .is_some_and(|it| it.deadline <= ctx.now);
        if ended {
            self.expire(ctx);
        }
        // Before the fetch, which may wait for them.
        self.fire_retired(ctx);
        self.fire_urgency(ctx);
        self.queue_renewal(ctx);
        self.queue_fetch(ctx);
    }

    /// Returns when [`Slot::fire`] has something to do, if no event comes first.
    pub(crate) fn wake(&self) -> BootTime {
        let mut wake = BootTime::NEVER;
        let mut consider = |at: BootTime| wake = wake.min(at);
        if let Some(active) = &self.active {
            consider(active.deadline);
            if let Hold::Leased { renewal, .. } = &active.hold {
                consider(renewal.wake());
            }
        }
        if let Some(at) = self.overdue_at() {
            consider(at);
        }
        if let Some(at) = self.fetch_at() {
            consider(at);
        }
        for retired in &self.retired {
            match retired.stage {
                Stage::Draining { until } => consider(until),
                Stage::RevokeAt(at) => consider(at.min(retired.claimed_at())),
                Stage::Queued => consider(retired.claimed_at()),
                Stage::Revoking => {}
            }
        }
        wake
    }

    /// Tells readers the deadline where it has moved: by a renewal, by that of what the lease hangs
    /// on, or by a look that confirmed the value.
    fn tell_deadline(&mut self, ctx: &mut Context<'_>) {
        let slot = self.id;
        let Some(active) = &mut self.active else {
            return;
        };
        let deadline = active.hold.deadline(ctx.site);
        if deadline != active.deadline {
            active.deadline = deadline;
            ctx.actions.push(Action::Extend {
                slot,
                number: active.number,
                deadline,
            });
        }
    }

    fn fire_urgency(&mut self, ctx: &Context<'_>) {
        if let Some(at) = self.overdue_at().filter(|at| *at <= ctx.now) {
            self.plan_fetch(at);
        }
    }

    fn urgent_at(&self) -> Option<BootTime> {
        self.active.as_ref()?.hold.urgent_at()
    }

    /// Returns when the next fetch becomes urgent, where that is before its planned time. Fetches
    /// that fail keep to their backoff.
    fn overdue_at(&self) -> Option<BootTime> {
        let at = self.urgent_at()?;
        match self.fetch {
            Fetch::Idle => Some(at),
            Fetch::At(planned) if self.fruitless == 0 && at < planned => Some(at),
            Fetch::At(_) | Fetch::Queued(_) | Fetch::InFlight { .. } => None,
        }
    }

    fn queue_renewal(&mut self, ctx: &mut Context<'_>) {
        let slot = self.id;
        let Some(active) = &mut self.active else {
            return;
        };
        let deadline = active.deadline;
        if let Hold::Leased { renewal, .. } = &mut active.hold
            && matches!(renewal, Renewal::At(at) if *at <= ctx.now)
        {
            *renewal = Renewal::Queued;
            let work = Work::Renew(slot, active.number);
            ctx.site.governor.enqueue(Rank::Renewal, deadline, work);
        }
    }

    fn queue_fetch(&mut self, ctx: &mut Context<'_>) {
        let Some(planned) = self.fetch_at().filter(|at| *at <= ctx.now) else {
            return;
        };
        let (rank, harm) = match &self.active {
            _ if !self.kind.is_issued() => (Rank::Read, planned),
            Some(active) => (Rank::Rotation, active.deadline),
            None => (Rank::Outage, planned),
        };
        self.asked = false;
        self.fetch = Fetch::Queued(rank);
        ctx.site.governor.enqueue(rank, harm, Work::Fetch(self.id));
    }

    fn fire_retired(&mut self, ctx: &mut Context<'_>) {
        let slot = self.id;
        let now = ctx.now;
        for gone in self
            .retired
            .extract_if(.., |retired| retired.has_run_out(now))
        {
            ctx.notify(Notice::ExpiryClaimed {
                slot,
                number: gone.number,
            });
        }
        for retired in &mut self.retired {
            if matches!(retired.stage, Stage::Draining { until } if until <= now) {
                retired.stage = Stage::RevokeAt(now);
            }
            if matches!(retired.stage, Stage::RevokeAt(at) if at <= now) {
                retired.stage = Stage::Queued;
                let harm = retired.lease.runs_out();
                let work = Work::Revoke(slot, retired.number);
                ctx.site.governor.enqueue(Rank::Revocation, harm, work);
            }
        }
    }

    /// Returns when the planned fetch may go out.
    ///
    /// Not before the budget allows it, and with two predecessors still to be given back a rotation
    /// waits as well: a slot that rotates faster than its requests end would pile up live
    /// credentials. For those it waits no longer than service allows, and not for a lease that can't
    /// be revoked. What a person asked for, and what
    /// is to replace one that is derived from a former credential, waits for neither.
    fn fetch_at(&self) -> Option<BootTime> {
        let Fetch::At(at) = self.fetch else {
            return None;
        };
        if self.asked || self.outdated || !self.kind.is_issued() {
            return Some(at);
        }
        // The deadline may be that of what the lease hangs on, which is nearer than its own urgency.
        let last_call = self
            .active
            .as_ref()
            .map(|it| it.deadline.before(CANDIDATE_TAKES));
        let outage = last_call.unwrap_or_default();
        let at = at.max(self.budget.free_at(self.life, outage));
        let waiting = self.retired.iter().filter(|it| !it.irrevocable).count();
        let Some(last_call) = last_call.filter(|_| waiting >= MOST_RETIRED) else {
            return Some(at);
        };
        let urgent = self.urgent_at().map_or(last_call, |it| it.min(last_call));
        Some(at.max(urgent))
    }
}

const MOST_RETIRED: usize = 2;
/// How long before a deadline a candidate is asked for at the latest.
const CANDIDATE_TAKES: Duration = Duration::from_secs(15);
