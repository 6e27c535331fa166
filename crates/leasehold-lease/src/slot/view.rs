//! A slot as people look at it.

use leasehold_model::BootTime;

use super::hold::Active;
use super::retired::{Retired, Stage};
use super::{Fetch, Hold, Slot};
use crate::site::Site;
use crate::view::{self, View};

impl Slot {
    /// Adds what the slot holds to a list.
    pub(crate) fn view(&self, site: &Site, views: &mut Vec<View>) {
        views.extend(
            self.active
                .as_ref()
                .map(|active| self.of_active(active, site)),
        );
        let retired = self.retired.iter();
        views.extend(retired.map(|it| self.of_retired(it, site)));
    }

    fn of_active(&self, active: &Active, site: &Site) -> View {
        let lease = active.hold.lease();
        let renewal = match &active.hold {
            Hold::Leased { renewal, .. } => renewal.wake(),
            Hold::Certificate { .. } | Hold::Stored { .. } => BootTime::NEVER,
        };
        let fetch = match self.fetch {
            Fetch::At(at) => at,
            Fetch::Idle | Fetch::Queued(_) | Fetch::InFlight { .. } => BootTime::NEVER,
        };
        View {
            slot: self.id,
            number: active.number,
            stage: view::Stage::Active,
            lease_id: lease.map(|it| it.lease_id.clone()),
            holder: lease.map(|it| it.holder),
            granted: lease.map(|it| it.grant.ttl),
            deadline: active.deadline,
            of_holder: lease.map_or(BootTime::NEVER, |it| site.deadline(it.holder)),
            next: renewal.min(fetch),
            suspect: self.suspicion.is_of(active.number),
        }
    }

    fn of_retired(&self, retired: &Retired, site: &Site) -> View {
        let lease = &retired.lease;
        let of_holder = site.deadline(lease.holder);
        View {
            slot: self.id,
            number: retired.number,
            stage: match retired.stage {
                _ if retired.irrevocable => view::Stage::Irrevocable,
                Stage::Draining { .. } => view::Stage::Draining,
                Stage::RevokeAt(_) | Stage::Queued | Stage::Revoking => view::Stage::Revoking,
            },
            lease_id: Some(lease.lease_id.clone()),
            holder: Some(lease.holder),
            granted: Some(lease.grant.ttl),
            deadline: lease.grant.deadline().min(of_holder),
            of_holder,
            next: BootTime::NEVER,
            suspect: false,
        }
    }
}
