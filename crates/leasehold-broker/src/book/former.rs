//! What earlier processes left.

use leasehold_lease::ProviderId;
use leasehold_ledger::{AnchorEnd, Event};
use leasehold_model::{Accessor, BootTime, LeaseId};

use super::{Book, Inherited, Kind, nameless};

impl Book {
    /// Remembers something that an earlier process left, to end its entry once it is ended.
    pub(crate) fn adopt(&mut self, provider: ProviderId, accessor: Accessor, it: Inherited) {
        let known = self.former.entry((provider, accessor)).or_insert(it);
        if known.kind == Kind::Unknown {
            *known = it;
        }
    }

    /// Returns the sessions and anchors of earlier processes that have not ended.
    pub(crate) fn adopted(&self) -> impl Iterator<Item = (ProviderId, &Accessor)> {
        self.former
            .keys()
            .map(|(provider, accessor)| (*provider, accessor))
    }

    pub(crate) fn former_ended(&mut self, provider: ProviderId, accessor: &Accessor) {
        let at = (provider, accessor.clone());
        if let Some(former) = self.former.remove(&at) {
            self.end(provider, at.1, former.kind, AnchorEnd::Revoked);
        }
    }

    /// Notes that the provider would not end something. It is tried again by the next process, unless
    /// its time is over.
    pub(crate) fn former_refused(&mut self, provider: ProviderId, accessor: &Accessor) {
        let at = (provider, accessor.clone());
        let now = self.clock.boot();
        let over = |it: &Inherited| it.deadline <= now;
        if self.former.get(&at).is_some_and(over)
            && let Some(former) = self.former.remove(&at)
        {
            self.end(provider, at.1, former.kind, AnchorEnd::Lost);
        }
    }

    /// Drops the intents whose holder has no name to be ended by.
    pub(crate) fn drop_nameless(&self, provider: ProviderId) {
        let holder = nameless();
        self.note(provider, Event::HolderEnded { holder });
    }

    /// Remembers when a lease that an earlier process left runs out.
    pub(crate) fn adopt_lease(
        &mut self,
        provider: ProviderId,
        lease_id: LeaseId,
        runs_out: BootTime,
    ) {
        self.orphans.insert((provider, lease_id), runs_out);
    }

    /// Tells whether a lease that an earlier process left has run out. A provider revokes such a one
    /// by itself, and says of one that it does not know that it is revoked: that confirms nothing.
    pub(crate) fn has_run_out(&self, provider: ProviderId, lease_id: &LeaseId) -> bool {
        let runs_out = self.orphans.get(&(provider, lease_id.clone()));
        runs_out.is_some_and(|it| *it <= self.clock.boot())
    }

    pub(crate) fn orphan_revoked(&mut self, provider: ProviderId, lease_id: &LeaseId) {
        let lease_id = lease_id.clone();
        self.orphans.remove(&(provider, lease_id.clone()));
        self.note(provider, Event::LeaseRevoked { lease_id });
    }

    pub(crate) fn orphan_claimed(&mut self, provider: ProviderId, lease_id: &LeaseId) {
        let lease_id = lease_id.clone();
        self.orphans.remove(&(provider, lease_id.clone()));
        self.note(provider, Event::LeaseExpiryClaimed { lease_id });
    }

    pub(crate) fn orphan_irrevocable(&self, provider: ProviderId, lease_id: &LeaseId) {
        let lease_id = lease_id.clone();
        self.note(provider, Event::LeaseIrrevocable { lease_id });
    }
}
