//! What goes into the ledger, and what is taken over from it at the start.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::SystemTime;

use leasehold_lease::{Notice, ProviderId, SlotId};
use leasehold_ledger::{AnchorEnd, Former, Held, Ledger};
use leasehold_model::{Accessor, BootTime, GenerationNumber, Holder, ProviderName};

use super::{Broker, Credential};
use crate::book::{Asked, Book, Inherited, Intent, Kind, nameless};
use crate::report;

impl<P: Send + Sync + 'static> Broker<P> {
    /// Keeps a ledger from now on, and takes over what `former` says that earlier processes left: it
    /// is revoked once the new leases serve.
    ///
    /// Providers must have been declared before. While the ledger can't be written no lease is issued;
    /// those held are renewed and given back as ever.
    pub fn keep_ledger(&mut self, ledger: Ledger, former: &Former) {
        let names = self.by_name.iter();
        let names: BTreeMap<_, _> = names.map(|(name, id)| (*id, name.clone())).collect();
        let clock = Arc::clone(&self.link.clock);
        self.book = Some(Book::new(ledger, clock, names));
        self.adopt_all(former);
    }

    /// Takes over what another process of the instance has left in a ledger of its own, which is kept
    /// until nothing of it is left. Without a ledger of its own the broker takes nothing over.
    pub fn inherit_ledger(&mut self, ledger: Ledger, former: &Former) {
        if let Some(book) = &mut self.book {
            book.inherit(ledger);
            self.adopt_all(former);
        }
    }

    fn adopt_all(&mut self, former: &Former) {
        for (name, held) in &former.providers {
            if held.is_empty() {
                continue;
            }
            match self.by_name.get(name).copied() {
                Some(provider) => self.adopt(provider, name, held),
                None => report::unknown_provider(name, held.leases.len()),
            }
        }
    }

    /// Has the engine give back what was left at a provider.
    fn adopt(&mut self, provider: ProviderId, name: &ProviderName, held: &Held) {
        let now = self.now();
        let wall = self.link.clock.wall();
        for lease in &held.leases {
            let runs_out = from_wall(now, wall, lease.deadline);
            let lease_id = lease.lease_id.clone();
            if let Some(book) = &mut self.book {
                book.adopt_lease(provider, lease_id.clone(), runs_out);
            }
            self.engine.adopt_orphan(provider, lease_id, runs_out, now);
        }
        report::orphans_found(&self.metrics, name, held.leases.len(), held.intents.len());
        let Some(book) = &mut self.book else {
            return;
        };
        for (accessor, kind, deadline) in holders(held) {
            let deadline = deadline.map_or(BootTime::NEVER, |it| from_wall(now, wall, it));
            book.adopt(provider, accessor, Inherited { kind, deadline });
        }
        let lost = held.intents.iter().filter(|it| it.holder == nameless());
        for intent in lost {
            report::lost_intent(name, intent);
            book.drop_nameless(provider);
        }
        let holders = book.adopted().filter(|(at, _)| *at == provider);
        for (provider, accessor) in holders {
            self.engine.adopt_former(provider, accessor.clone(), now);
        }
    }

    /// Begins to write an intent, where a lease is about to be asked for and a ledger is kept.
    pub(super) fn intend(
        &mut self,
        slot: SlotId,
        number: GenerationNumber,
        holder: Holder,
    ) -> Option<Intent> {
        let book = self.book.as_mut()?;
        let credential = self.credentials.get(slot.index())?.as_ref()?;
        let asked = Asked {
            key: (slot, number),
            provider: credential.declared.provider,
            holder,
            credential: credential.handle.credential(),
            consumer: credential.handle.consumer(),
        };
        credential
            .declared
            .source
            .is_leased()
            .then(|| book.intend(asked))
    }

    /// Notes that the lease in service serves no longer.
    pub(super) fn note_retired(&self, credential: &Credential<P>) {
        let active = credential.handle.active();
        let lease_id = active
            .as_ref()
            .and_then(|it| it.provenance().lease_id.as_ref());
        if let (Some(book), Some(lease_id)) = (&self.book, lease_id) {
            book.retired(credential.declared.provider, lease_id);
        }
    }

    pub(super) fn note_in_ledger(&mut self, notice: &Notice) {
        let of = |slot: SlotId| self.at(slot).map(|it| it.declared.provider);
        let at = match notice {
            Notice::ExpiryClaimed { slot, .. } | Notice::Irrevocable { slot, .. } => of(*slot),
            Notice::AnchorLost { provider, .. }
            | Notice::OrphanClaimed { provider, .. }
            | Notice::OrphanIrrevocable { provider, .. } => Some(*provider),
            _ => None,
        };
        let (Some(at), Some(book)) = (at, &mut self.book) else {
            return;
        };
        match notice {
            Notice::ExpiryClaimed { slot, number } => book.claimed(at, (*slot, *number)),
            Notice::Irrevocable { slot, number, .. } => book.irrevocable(at, (*slot, *number)),
            Notice::AnchorLost { anchor, .. } => {
                book.ended(at, Holder::Anchor(*anchor), AnchorEnd::Lost);
            }
            Notice::OrphanClaimed { lease_id, .. } => book.orphan_claimed(at, lease_id),
            Notice::OrphanIrrevocable { lease_id, .. } => book.orphan_irrevocable(at, lease_id),
            _ => {}
        }
    }

    /// Ends the entries of sessions and anchors that are no more.
    pub(super) fn keep_holders(&mut self, now: BootTime) {
        let Some(book) = &mut self.book else {
            return;
        };
        let alive = self.engine.holders().into_iter();
        let alive: BTreeSet<_> = alive.map(|it| (it.provider, it.holder)).collect();
        book.keep(now, &alive);
        book.let_go();
        let (failures, unwritten) = book.health();
        self.metrics.ledger(failures, unwritten);
    }
}

/// Returns everything that something left may hang on, and when it ends by itself.
fn holders(held: &Held) -> impl Iterator<Item = (Accessor, Kind, Option<SystemTime>)> {
    let sessions = held.sessions.iter();
    let sessions = sessions.map(|it| (&it.accessor, Kind::Session, Some(it.deadline)));
    let anchors = held.anchors.iter();
    let anchors = anchors.map(|it| (&it.accessor, Kind::Anchor, Some(it.deadline)));
    let of_intents = held.intents.iter().map(|it| &it.holder);
    let of_leases = held.leases.iter().map(|it| &it.holder);
    let unknown = of_intents.chain(of_leases);
    let unknown = unknown.map(|it| (it, Kind::Unknown, None));
    sessions
        .chain(anchors)
        .chain(unknown)
        .filter(|(accessor, ..)| **accessor != nameless())
        .map(|(accessor, kind, deadline)| (accessor.clone(), kind, deadline))
}

/// Returns the point of the boot clock at which it is `then`. What is past has run out now.
fn from_wall(now: BootTime, wall: SystemTime, then: SystemTime) -> BootTime {
    then.duration_since(wall)
        .map_or(now, |ahead| now.after(ahead))
}
