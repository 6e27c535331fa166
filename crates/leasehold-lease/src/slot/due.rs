//! What falls due for a slot, and when.

use std::time::Duration;

use leasehold_model::{BootTime, Holder, SessionEpoch};

use super::retired::Stage;
use super::{Active, Context, Fetch, Hold, Slot};
use crate::session::{Renewal, Sessions};
use crate::{Action, Kind, Notice};

impl Slot {
    pub(crate) fn fire(&mut self, ctx: &mut Context<'_>) {
        self.tell_deadline(ctx);
        if self
            .active
            .as_ref()
            .is_some_and(|active| active.deadline <= ctx.now)
        {
            self.expire(ctx);
        }
        self.fire_urgency(ctx);
        if let Some(epoch) = ctx.sessions.usable() {
            self.fire_renewal(ctx, epoch);
            self.fire_fetch(ctx, epoch);
        }
        self.fire_retired(ctx);
    }

    /// Returns when [`Slot::fire`] has something to do, if no event comes first.
    pub(crate) fn wake(&self, sessions: &Sessions) -> BootTime {
        let usable = sessions.usable().is_some();
        let mut wake = BootTime::NEVER;
        let mut consider = |at: BootTime| wake = wake.min(at);
        if let Some(active) = &self.active {
            consider(active.deadline);
            if let Hold::Leased { renewal, .. } = &active.hold
                && usable
            {
                consider(renewal.wake());
            }
        }
        if let Some(at) = self.overdue_at() {
            consider(at);
        }
        if let Some(at) = self.fetch_at()
            && usable
        {
            consider(at);
        }
        for retired in &self.retired {
            match retired.stage {
                Stage::Draining { until } => consider(until),
                Stage::RevokeAt(at) if usable => consider(at.min(retired.claimed_at())),
                Stage::RevokeAt(_) => consider(retired.claimed_at()),
                Stage::Revoking => {}
            }
        }
        wake
    }

    /// Tells readers the deadline where it has moved: by a renewal, by that of the session beneath,
    /// or by a poll that confirmed the value.
    fn tell_deadline(&mut self, ctx: &mut Context<'_>) {
        let slot = self.id;
        let Some(active) = &mut self.active else {
            return;
        };
        let deadline = match &active.hold {
            Hold::Leased { lease, .. } => {
                let of_session = ctx.sessions.deadline(lease.epoch);
                lease.grant.deadline().min(of_session)
            }
            Hold::Versioned {
                confirmed,
                max_stale,
                ..
            } => confirmed.after(*max_stale),
        };
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

    /// Returns when a successor must be asked for whatever is hoped for.
    fn urgent_at(&self) -> Option<BootTime> {
        match &self.active.as_ref()?.hold {
            Hold::Leased {
                lease, expected, ..
            } => Some(lease.grant.urgent_at(*expected)),
            Hold::Versioned { .. } => None,
        }
    }

    /// Returns when the next fetch becomes urgent, where that is before its planned time. Fetches
    /// that fail keep to their backoff.
    fn overdue_at(&self) -> Option<BootTime> {
        let at = self.urgent_at()?;
        match self.fetch {
            Fetch::Idle => Some(at),
            Fetch::At(planned) if self.fruitless == 0 && at < planned => Some(at),
            Fetch::At(_) | Fetch::InFlight { .. } => None,
        }
    }

    fn fire_renewal(&mut self, ctx: &mut Context<'_>, epoch: SessionEpoch) {
        let slot = self.id;
        if let Some(Active {
            number,
            hold: Hold::Leased { lease, renewal, .. },
            ..
        }) = &mut self.active
            && matches!(renewal, Renewal::At(at) if *at <= ctx.now)
        {
            *renewal = Renewal::InFlight;
            let lease_id = lease.lease_id.clone();
            ctx.actions.push(Action::Renew {
                slot,
                number: *number,
                epoch,
                lease_id,
            });
        }
    }

    fn fire_fetch(&mut self, ctx: &mut Context<'_>, epoch: SessionEpoch) {
        if self.fetch_at().is_none_or(|at| at > ctx.now) {
            return;
        }
        let number = self.next_number;
        self.fetch = Fetch::InFlight { number, epoch };
        if let (Kind::Leased, Some(active)) = (self.kind, &self.active) {
            ctx.notify(Notice::Rotating {
                slot: self.id,
                number: active.number,
            });
        }
        ctx.actions.push(Action::Fetch {
            slot: self.id,
            number,
            holder: Holder::Session(epoch),
        });
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
            if matches!(retired.stage, Stage::RevokeAt(at) if at <= now)
                && let Some(epoch) = ctx.sessions.usable()
            {
                retired.stage = Stage::Revoking;
                let (number, lease_id) = (retired.number, retired.lease.lease_id.clone());
                ctx.actions.push(Action::Revoke {
                    slot,
                    number,
                    epoch,
                    lease_id,
                });
            }
        }
    }

    /// Returns when the planned fetch may go out.
    ///
    /// With two predecessors still to be given back, a rotation waits: a slot that rotates faster
    /// than its requests end would pile up live credentials. It waits no longer than service allows,
    /// and not for a lease that can't be revoked.
    fn fetch_at(&self) -> Option<BootTime> {
        let Fetch::At(at) = self.fetch else {
            return None;
        };
        let waiting = self.retired.iter().filter(|it| !it.irrevocable).count();
        if waiting < MOST_RETIRED {
            return Some(at);
        }
        let Some(active) = &self.active else {
            return Some(at);
        };
        // The deadline may be the session's, which is nearer than the lease's own urgency.
        let last_call = active.deadline.before(CANDIDATE_TAKES);
        let urgent = self.urgent_at().map_or(last_call, |it| it.min(last_call));
        Some(at.max(urgent))
    }
}

const MOST_RETIRED: usize = 2;
/// How long before a deadline a candidate is asked for at the latest.
const CANDIDATE_TAKES: Duration = Duration::from_secs(15);
