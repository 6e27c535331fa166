//! What a fetch came to.

use std::time::Duration;

use leasehold_model::{BootTime, Failure, GenerationNumber, Holder};

use super::hold::{Active, Hold};
use super::retired::{Lease, Retired, Stage};
use super::{Context, Course, Fetch, Slot};
use crate::schedule::{self, Grant};
use crate::succession::Renewal;
use crate::{Action, Kind, Notice, Terms};

impl Slot {
    pub(crate) fn fetched(
        &mut self,
        ctx: &mut Context<'_>,
        number: GenerationNumber,
        t_send: BootTime,
        terms: Terms,
    ) {
        let Some(holder) = self.take_candidate(ctx, number) else {
            return;
        };
        match terms {
            Terms::Leased {
                lease_id,
                ttl,
                renewable,
            } => {
                let grant = Grant { t_send, ttl };
                let lease = Lease {
                    lease_id,
                    holder,
                    grant,
                };
                self.leased(ctx, number, lease, renewable);
            }
            Terms::Certificate { ttl } => self.certificate(ctx, number, Grant { t_send, ttl }),
            Terms::Versioned { version } => {
                let seen = Seen::Revision(version);
                self.stored(ctx, number, seen, t_send, Reading::Polled);
            }
            Terms::Rotating { rotation, next } => {
                let due = t_send.after(next);
                let seen = Seen::Revision(rotation);
                self.stored(ctx, number, seen, due, Reading::Announced);
            }
            Terms::Hinted { refresh, changed } => {
                let seen = if changed { Seen::Changed } else { Seen::Same };
                self.stored(ctx, number, seen, t_send, Reading::Hinted(refresh));
            }
        }
    }

    pub(crate) fn unusable(
        &mut self,
        ctx: &mut Context<'_>,
        number: GenerationNumber,
        t_send: BootTime,
        terms: Terms,
    ) {
        let Some(holder) = self.take_candidate(ctx, number) else {
            return;
        };
        self.spend(t_send);
        if let Terms::Leased { lease_id, ttl, .. } = terms {
            let grant = Grant { t_send, ttl };
            let lease = Lease {
                lease_id,
                holder,
                grant,
            };
            self.give_back(ctx.now, number, lease);
        }
        // Whatever is wrong with it, each attempt makes one more.
        self.plan_retry(ctx, Failure::MaybeIssued);
    }

    pub(crate) fn fetch_failed(
        &mut self,
        ctx: &mut Context<'_>,
        number: GenerationNumber,
        failure: Failure,
    ) {
        if self.take_candidate(ctx, number).is_none() {
            return;
        }
        if failure == Failure::MaybeIssued {
            self.spend(ctx.now);
        }
        self.plan_retry(ctx, failure);
    }

    fn leased(
        &mut self,
        ctx: &mut Context<'_>,
        number: GenerationNumber,
        lease: Lease,
        renewable: bool,
    ) {
        let grant = lease.grant;
        self.spend(grant.t_send);
        let deadline = grant.deadline().min(ctx.site.deadline(lease.holder));
        if self.course != Course::Serving || deadline <= ctx.now {
            self.give_back(ctx.now, number, lease);
            if self.course == Course::Serving {
                // It may be slow for long: each attempt makes a credential that nobody can use.
                self.plan_retry(ctx, Failure::MaybeIssued);
            }
            return;
        }
        let of_holder = ctx.site.usual_life(lease.holder);
        self.life = Some(of_holder.map_or(grant.ttl, |life| life.min(grant.ttl)));
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
            shorter: None,
            renewal,
            failures: 0,
        };
        self.activate(ctx, number, hold);
        // What it hangs on may have been succeeded while this lease was being issued.
        self.holder_succeeded(ctx);
    }

    fn certificate(&mut self, ctx: &mut Context<'_>, number: GenerationNumber, grant: Grant) {
        self.spend(grant.t_send);
        if self.course != Course::Serving || grant.deadline() <= ctx.now {
            let slot = self.id;
            ctx.actions.push(Action::Discard { slot, number });
            return self.plan_retry(ctx, Failure::MaybeIssued);
        }
        self.life = Some(grant.ttl);
        let at = grant.replace_at(ctx.rng);
        self.plan_fetch(at);
        self.activate(ctx, number, Hold::Certificate { grant });
    }

    fn stored(
        &mut self,
        ctx: &mut Context<'_>,
        number: GenerationNumber,
        seen: Seen,
        holds_until: BootTime,
        reading: Reading,
    ) {
        let slot = self.id;
        if self.course != Course::Serving {
            return ctx.actions.push(Action::Discard { slot, number });
        }
        let Some(max_stale) = self.max_stale() else {
            // It is not what was declared; a person may mend that at the provider.
            ctx.actions.push(Action::Discard { slot, number });
            return self.plan_retry(ctx, Failure::Misconfigured);
        };
        self.fruitless = 0;
        let held = match self.active.as_ref().map(|it| &it.hold) {
            Some(Hold::Stored { revision, .. }) => Some(*revision),
            Some(_) | None => None,
        };
        let found = seen.against(held);
        if let Found::Newer(revision) = found {
            self.plan_reading(ctx, reading, holds_until);
            let hold = Hold::Stored {
                revision,
                holds_until,
                max_stale,
                looks: 0,
            };
            return self.activate(ctx, number, hold);
        }
        ctx.actions.push(Action::Discard { slot, number });
        self.dismiss_suspicion(ctx);
        if found == Found::Same {
            self.confirm(ctx, holds_until, reading);
        } else {
            self.look_past(ctx, reading);
        }
    }

    /// Takes in that the provider still has what is served.
    fn confirm(&mut self, ctx: &mut Context<'_>, word: BootTime, reading: Reading) {
        let Some(Active {
            hold: Hold::Stored {
                holds_until, looks, ..
            },
            ..
        }) = &mut self.active
        else {
            return;
        };
        // An announced change that has not come: what the answer says of the next one is worth
        // nothing, as some servers count anew before they change anything.
        if matches!(reading, Reading::Announced) && *holds_until <= ctx.now && *looks < MOST_LOOKS {
            *looks = looks.saturating_add(1);
            let at = schedule::look_again_at(ctx.now, looks.saturating_sub(1));
            return self.plan_fetch(at);
        }
        *holds_until = word.max(*holds_until);
        *looks = 0;
        self.plan_reading(ctx, reading, word);
    }

    /// Plans the next look after a smaller version, which comes from a standby that lags behind: it
    /// confirms nothing, and what it announces is long past.
    fn look_past(&mut self, ctx: &mut Context<'_>, reading: Reading) {
        let Some(Active {
            hold: Hold::Stored {
                holds_until, looks, ..
            },
            ..
        }) = &mut self.active
        else {
            return;
        };
        if matches!(reading, Reading::Announced) && *holds_until <= ctx.now {
            let at = schedule::look_again_at(ctx.now, *looks);
            *looks = looks.saturating_add(1);
            return self.plan_fetch(at);
        }
        let announced = *holds_until;
        self.plan_reading(ctx, reading, announced);
    }

    fn plan_reading(&mut self, ctx: &mut Context<'_>, reading: Reading, word: BootTime) {
        let poll = match self.kind {
            Kind::Versioned { poll, .. } | Kind::Hinted { poll, .. } => poll,
            Kind::Rotating { .. } | Kind::Leased | Kind::Certificate => LONGEST_POLL,
        };
        let at = match reading {
            Reading::Announced => schedule::after_change(word.max(ctx.now), ctx.rng),
            Reading::Hinted(hint) if !hint.is_zero() => {
                schedule::poll_at(ctx.now, poll.min(hint), ctx.rng)
            }
            Reading::Hinted(_) | Reading::Polled => schedule::poll_at(ctx.now, poll, ctx.rng),
        };
        self.plan_fetch(at);
    }

    /// Puts a generation in the place of the one that was served.
    fn activate(&mut self, ctx: &mut Context<'_>, number: GenerationNumber, hold: Hold) {
        let deadline = hold.deadline(ctx.site);
        self.next_number = number.next();
        self.served = true;
        self.fruitless = 0;
        self.outdated = false;
        if self.kind.is_issued() {
            // Whoever asks for a lease is given a new one: that proves nothing.
            self.suspicion.settle();
        } else {
            self.suspicion.prove();
        }
        ctx.actions.push(Action::Activate {
            slot: self.id,
            number,
            deadline,
        });
        let active = Active {
            number,
            deadline,
            hold,
        };
        if let Some(replaced) = self.active.replace(active) {
            self.retire(ctx, replaced);
        }
    }

    /// Gives back a lease that was never served.
    fn give_back(&mut self, now: BootTime, number: GenerationNumber, lease: Lease) {
        self.next_number = number.next();
        self.retired
            .push(Retired::new(number, lease, Stage::RevokeAt(now)));
    }

    fn plan_retry(&mut self, ctx: &mut Context<'_>, failure: Failure) {
        let at = schedule::retry_at(ctx.now, failure, self.fruitless, ctx.rng);
        self.fruitless = self.fruitless.saturating_add(1);
        // Whoever waits for what came of it is not to wait for the next attempt.
        self.dismiss_suspicion(ctx);
        // With a live session lost, the retry waits for the next login and for nothing else.
        self.plan_fetch(if failure == Failure::SessionDead {
            ctx.now
        } else {
            at
        });
    }

    fn dismiss_suspicion(&mut self, ctx: &mut Context<'_>) {
        if let Some(number) = self.suspicion.settle() {
            let slot = self.id;
            ctx.notify(Notice::SuspicionDismissed { slot, number });
        }
    }

    fn spend(&mut self, at: BootTime) {
        if self.kind.is_issued() {
            self.budget.spend(at);
        }
    }

    const fn max_stale(&self) -> Option<Duration> {
        match self.kind {
            Kind::Versioned { max_stale, .. }
            | Kind::Rotating { max_stale }
            | Kind::Hinted { max_stale, .. } => Some(max_stale),
            Kind::Leased | Kind::Certificate => None,
        }
    }

    /// Ends the call that was to bring this candidate, and returns what it was made with.
    fn take_candidate(
        &mut self,
        ctx: &mut Context<'_>,
        expected: GenerationNumber,
    ) -> Option<Holder> {
        match self.fetch {
            Fetch::InFlight {
                number,
                holder,
                rank,
            } if number == expected => {
                self.fetch = Fetch::Idle;
                ctx.site.governor.end(rank);
                Some(holder)
            }
            Fetch::Idle | Fetch::At(_) | Fetch::Queued(_) | Fetch::InFlight { .. } => None,
        }
    }
}

/// How a stored value is read next.
#[derive(Clone, Copy, Debug)]
enum Reading {
    /// At intervals.
    Polled,
    /// At intervals, and sooner where the provider says so.
    Hinted(Duration),
    /// Just after the change that the provider announced.
    Announced,
}

/// What a look at a stored value saw.
#[derive(Clone, Copy, Debug)]
enum Seen {
    Revision(u64),
    Changed,
    Same,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Newer(u64),
    Same,
    Older,
}

impl Seen {
    fn against(self, held: Option<u64>) -> Found {
        match (self, held) {
            (Self::Revision(seen), Some(held)) if seen == held => Found::Same,
            (Self::Revision(seen), Some(held)) if seen < held => Found::Older,
            (Self::Revision(seen), _) => Found::Newer(seen),
            (Self::Same, Some(_)) => Found::Same,
            (Self::Same, None) => Found::Newer(0),
            (Self::Changed, held) => Found::Newer(held.map_or(0, |held| held.saturating_add(1))),
        }
    }
}

/// How often an announced change is looked for before what the provider says of the next one counts.
const MOST_LOOKS: u32 = 12;
const LONGEST_POLL: Duration = Duration::from_secs(60);
