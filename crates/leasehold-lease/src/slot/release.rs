//! Calls whose turn has come.

use leasehold_model::{GenerationNumber, Holder, SessionEpoch};

use super::retired::Stage;
use super::{Context, Fetch, Hold, Slot};
use crate::governor::Rank;
use crate::succession::Renewal;
use crate::{Action, Kind, Notice};

impl Slot {
    /// Returns the fetch that waited, where it is still wanted.
    pub(crate) fn release_fetch(&mut self, ctx: &mut Context<'_>, rank: Rank) -> Option<Action> {
        // The place that it is given back to has to be the one that it takes.
        if self.fetch != Fetch::Queued(rank) {
            return None;
        }
        // Only a lease needs something that outlives the session.
        let holder = if self.kind == Kind::Leased {
            ctx.site.issuer()?
        } else {
            Holder::Session(ctx.site.sessions.usable()?)
        };
        let (slot, number) = (self.id, self.next_number);
        self.asked_provider();
        self.fetch = Fetch::InFlight {
            number,
            holder,
            rank,
        };
        if let Some(active) = self.active.as_ref().filter(|_| self.kind.is_issued()) {
            ctx.notify(Notice::Rotating {
                slot,
                number: active.number,
            });
        }
        Some(Action::Fetch {
            slot,
            number,
            holder,
        })
    }

    /// Returns the renewal that waited, where it is still wanted.
    pub(crate) fn release_renewal(
        &mut self,
        number: GenerationNumber,
        epoch: SessionEpoch,
    ) -> Option<Action> {
        let slot = self.id;
        let Hold::Leased { lease, renewal, .. } = self.hold(number)? else {
            return None;
        };
        if *renewal != Renewal::Queued {
            return None;
        }
        *renewal = Renewal::InFlight;
        let lease_id = lease.lease_id.clone();
        self.asked_provider();
        Some(Action::Renew {
            slot,
            number,
            epoch,
            lease_id,
        })
    }

    /// Returns the revocation that waited, where it is still wanted.
    pub(crate) fn release_revocation(
        &mut self,
        number: GenerationNumber,
        epoch: SessionEpoch,
    ) -> Option<Action> {
        let slot = self.id;
        let retired = self.retired(number)?;
        if retired.stage != Stage::Queued {
            return None;
        }
        retired.stage = Stage::Revoking;
        let lease_id = retired.lease.lease_id.clone();
        self.asked_provider();
        Some(Action::Revoke {
            slot,
            number,
            epoch,
            lease_id,
        })
    }
}
