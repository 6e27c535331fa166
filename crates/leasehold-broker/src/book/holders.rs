//! What leases hang on.

use std::collections::BTreeSet;

use leasehold_lease::ProviderId;
use leasehold_ledger::{AnchorEnd, Event};
use leasehold_model::{AnchorEpoch, BootTime, Holder, SessionEpoch};
use leasehold_provider::SessionGrant;

use super::{Book, Held, Kind};

impl Book {
    /// Notes a login, or that one was prolonged.
    pub(crate) fn session(
        &mut self,
        provider: ProviderId,
        epoch: SessionEpoch,
        t_send: BootTime,
        grant: &SessionGrant,
    ) {
        let holder = Holder::Session(epoch);
        if let Some(held) = self.hold(provider, holder, t_send, grant) {
            let event = Event::SessionOpened {
                epoch,
                accessor: held.accessor,
                logged_in_at: held.since,
                deadline: self.wall(held.deadline),
            };
            self.note(provider, event);
        }
    }

    pub(crate) fn anchor_minted(
        &mut self,
        (provider, epoch): (ProviderId, SessionEpoch),
        anchor: AnchorEpoch,
        t_send: BootTime,
        grant: &SessionGrant,
    ) {
        let holder = Holder::Anchor(anchor);
        if let Some(held) = self.hold(provider, holder, t_send, grant) {
            let event = Event::AnchorMinted {
                epoch,
                accessor: held.accessor,
                deadline: self.wall(held.deadline),
            };
            self.note(provider, event);
        }
    }

    pub(crate) fn anchor_renewed(
        &mut self,
        provider: ProviderId,
        anchor: AnchorEpoch,
        t_send: BootTime,
        grant: &SessionGrant,
    ) {
        let holder = Holder::Anchor(anchor);
        if let Some(held) = self.hold(provider, holder, t_send, grant) {
            let event = Event::AnchorRenewed {
                accessor: held.accessor,
                deadline: self.wall(held.deadline),
            };
            self.note(provider, event);
        }
    }

    /// Notes that the provider confirmed the end of a session or an anchor, or that it is dead.
    pub(crate) fn ended(&mut self, provider: ProviderId, holder: Holder, end: AnchorEnd) {
        let Some(held) = self.holders.remove(&(provider, holder)) else {
            return;
        };
        let kind = match holder {
            Holder::Session(_) => Kind::Session,
            Holder::Anchor(_) => Kind::Anchor,
        };
        self.end(provider, held.accessor, kind, end);
    }

    /// Notes that the provider would not end a session or an anchor.
    pub(crate) fn refused(&mut self, provider: ProviderId, holder: Holder) {
        if let Some(held) = self.holders.get_mut(&(provider, holder)) {
            held.refused = true;
        }
    }

    /// Ends the sessions and anchors that the engine has no longer: they are dead or have run out. One
    /// that the provider would not end lives until its deadline.
    pub(crate) fn keep(&mut self, now: BootTime, alive: &BTreeSet<(ProviderId, Holder)>) {
        let over = |at: &(ProviderId, Holder), held: &Held| {
            !alive.contains(at) && (!held.refused || held.deadline <= now)
        };
        let gone = self.holders.iter().filter(|(at, held)| over(at, held));
        let gone: Vec<_> = gone.map(|(at, _)| *at).collect();
        for (provider, holder) in gone {
            self.ended(provider, holder, AnchorEnd::Lost);
        }
    }

    fn hold(
        &mut self,
        provider: ProviderId,
        holder: Holder,
        t_send: BootTime,
        grant: &SessionGrant,
    ) -> Option<Held> {
        let at = (provider, holder);
        let known = self.holders.get(&at);
        let accessor = grant.accessor.as_ref();
        // A renewal need not repeat it; something without one can't be named and has no entry.
        let accessor = accessor.or_else(|| known.map(|it| &it.accessor))?.clone();
        let held = Held {
            accessor,
            since: known.map_or_else(|| self.clock.wall(), |it| it.since),
            deadline: grant.ttl.map_or(BootTime::NEVER, |ttl| t_send.after(ttl)),
            refused: false,
        };
        self.holders.insert(at, held.clone());
        Some(held)
    }
}
