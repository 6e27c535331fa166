//! What has fallen due, and calls whose turn has come.

use fastrand::Rng;
use leasehold_model::{AnchorEpoch, Holder, SessionEpoch};

use super::Step;
use crate::governor::{Rank, Work};
use crate::site::Site;
use crate::succession::Due;
use crate::{Action, Notice, ProviderId};

impl Step<'_> {
    /// Does what has fallen due for sessions and anchors, and buries those that have run out.
    pub(super) fn fire_holders(&mut self, provider: ProviderId) {
        loop {
            let stopping = self.engine.stopping;
            let Some(site) = self.engine.sites.get_mut(provider.0) else {
                return;
            };
            let stopping = site.is_stopping(stopping);
            // A new login is worth while only where there is something left to revoke in it.
            if stopping {
                let anchors_left = site.anchors.as_mut().is_some_and(|anchors| {
                    anchors.stop();
                    !anchors.is_empty()
                });
                if site.busy == 0 && !anchors_left {
                    site.sessions.stop();
                }
            }
            if let Some(due) = site.sessions.next_due(self.now) {
                self.do_session(provider, due);
                continue;
            }
            let Some(epoch) = site.sessions.usable() else {
                // Without a session nothing can be asked for; that an anchor runs out is seen all
                // the same.
                let Some(anchor) = site.anchor_that_ran_out(self.now) else {
                    return;
                };
                self.run_out(provider, Holder::Anchor(anchor));
                continue;
            };
            let anchors = site.anchors.as_mut();
            let Some(due) = anchors.and_then(|anchors| anchors.next_due(self.now)) else {
                return;
            };
            self.do_anchor(provider, epoch, due);
        }
    }

    fn do_session(&mut self, provider: ProviderId, due: Due<SessionEpoch>) {
        let action = match due {
            Due::Open(epoch) => Action::Login { provider, epoch },
            Due::Renew(epoch) => Action::RenewSession { provider, epoch },
            Due::End(epoch) => Action::RevokeSession { provider, epoch },
            Due::RanOut(epoch) => return self.run_out(provider, Holder::Session(epoch)),
        };
        self.call(provider, action);
    }

    fn do_anchor(&mut self, provider: ProviderId, epoch: SessionEpoch, due: Due<AnchorEpoch>) {
        let action = match due {
            Due::Open(anchor) => Action::MintAnchor {
                provider,
                epoch,
                anchor,
            },
            Due::Renew(anchor) => Action::RenewAnchor {
                provider,
                epoch,
                anchor,
            },
            Due::End(anchor) => Action::RevokeAnchor {
                provider,
                epoch,
                anchor,
            },
            Due::RanOut(anchor) => return self.run_out(provider, Holder::Anchor(anchor)),
        };
        self.call(provider, action);
    }

    /// Makes a call that does not wait for its turn.
    fn call(&mut self, provider: ProviderId, action: Action) {
        let now = self.now;
        self.with_site(provider, |it, _| it.governor.start_at_once(now));
        self.actions.push(action);
    }

    pub(super) fn fire_due_slots(&mut self) {
        while let Some((at, slot)) = self.engine.timers.first().copied()
            && at <= self.now
        {
            self.with_slot(slot, |_, _| {});
        }
    }

    /// Ends sessions and anchors that nothing hangs on.
    pub(super) fn end_idle(&mut self, provider: ProviderId) {
        let (now, stopping) = (self.now, self.engine.stopping);
        self.with_site(provider, |it, _| it.end_idle(now, stopping));
        self.fire_holders(provider);
    }

    /// Forgets a provider that was dismissed, once nothing is held there.
    pub(super) fn forget_provider(&mut self, provider: ProviderId) {
        if self.with_site(provider, |it, _| it.forget()) == Some(true) {
            self.actions.push(Action::ForgetProvider { provider });
        }
    }

    pub(super) fn fire_former(&mut self, provider: ProviderId) {
        let now = self.now;
        let Some(site) = self.engine.sites.get_mut(provider.0) else {
            return;
        };
        if site.sessions.usable().is_some() {
            site.former.consider(now, site.awaited == 0);
        }
        while let Some(lease_id) = site.former.fire(now, &mut site.governor) {
            let notice = Notice::OrphanClaimed { provider, lease_id };
            self.actions.push(Action::Notify(notice));
        }
    }

    /// Lets calls out whose turn has come.
    pub(super) fn release(&mut self, provider: ProviderId) {
        loop {
            let now = self.now;
            let Some(site) = self.engine.sites.get_mut(provider.0) else {
                return;
            };
            let gate = site.gate();
            let (Some((rank, work)), Some(epoch)) =
                (site.governor.next(now, gate), site.sessions.usable())
            else {
                return;
            };
            let Some(action) = self.release_one(provider, epoch, (rank, work)) else {
                continue;
            };
            self.with_site(provider, |it, _| it.governor.start(rank));
            self.actions.push(action);
        }
    }

    fn release_one(
        &mut self,
        provider: ProviderId,
        epoch: SessionEpoch,
        (rank, work): (Rank, Work),
    ) -> Option<Action> {
        match work {
            Work::Fetch(slot) => self.with_slot(slot, |it, ctx| it.release_fetch(ctx, rank))?,
            Work::Renew(slot, number) => {
                self.with_slot(slot, |it, _| it.release_renewal(number, epoch))?
            }
            Work::Revoke(slot, number) => {
                self.with_slot(slot, |it, _| it.release_revocation(number, epoch))?
            }
            Work::Orphan(place) => {
                let released = |it: &mut Site, _: &mut Rng| it.former.release_orphan(place);
                let lease_id = self.with_site(provider, released)??;
                Some(Action::RevokeOrphan {
                    provider,
                    epoch,
                    lease_id,
                })
            }
            Work::Former(place) => {
                let released = |it: &mut Site, _: &mut Rng| it.former.release_holder(place);
                let accessor = self.with_site(provider, released)??;
                Some(Action::RevokeFormer {
                    provider,
                    epoch,
                    accessor,
                })
            }
        }
    }
}
