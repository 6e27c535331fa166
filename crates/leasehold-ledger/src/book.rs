use std::path::Path;
use std::time::SystemTime;

use leasehold_model::{LeaseId, ProviderName};
use redb::{ReadableTable as _, Table, WriteTransaction};

use crate::database::{Bytes, ENTRIES, decode};
use crate::entry::{
    About, Entry, ProviderTotals, about_key, anchor_key, intent_key, intents_prefix, lease_key,
    session_key, totals_key,
};
use crate::record::{
    Anchor, Incarnation, IncarnationId, Intent, IntentState, Lease, LeaseState, Session, Totals,
};
use crate::{AnchorEnd, Change, Event, IntentId, LedgerError};

/// The entries, open to be changed by one incarnation within one transaction.
pub(crate) struct Book<'t> {
    path: &'t Path,
    table: Table<'t, Bytes, Bytes>,
    incarnation: IncarnationId,
    /// The number of the change that is being made.
    seq: u64,
}

impl<'t> Book<'t> {
    pub(crate) fn open(
        path: &'t Path,
        transaction: &'t WriteTransaction,
        incarnation: IncarnationId,
    ) -> Result<Self, LedgerError> {
        let table = transaction
            .open_table(ENTRIES)
            .map_err(|error| LedgerError::from_database(path, error))?;
        Ok(Self {
            path,
            table,
            incarnation,
            seq: 0,
        })
    }

    /// Makes the changes that are not in the file yet, each under its number, and notes the last.
    ///
    /// A commit that was reported as failed may have reached the disk: so nothing is made twice.
    pub(crate) fn apply<'c>(
        &mut self,
        changes: impl IntoIterator<Item = (u64, &'c Change)>,
    ) -> Result<(), LedgerError> {
        let Some(Entry::About(mut about)) = self.get(&about_key())? else {
            return Err(LedgerError::damaged(self.path, NO_ABOUT));
        };
        for (seq, change) in changes {
            if seq > about.applied {
                self.seq = seq;
                self.make(change)?;
                about.applied = seq;
            }
        }
        self.seq = about.applied;
        self.put(&Entry::About(about))
    }

    /// Begins the life of an incarnation, and forgets those that nothing is left of.
    pub(crate) fn begin(
        &mut self,
        about: About,
        incarnation: Incarnation,
        spent: &[IncarnationId],
    ) -> Result<(), LedgerError> {
        self.seq = about.applied;
        for id in spent {
            let key = Entry::Incarnation(Incarnation {
                id: *id,
                started_at: incarnation.started_at,
            })
            .key();
            self.remove(&key)?;
        }
        self.put(&Entry::Incarnation(incarnation))?;
        self.put(&Entry::About(about))
    }

    fn make(&mut self, change: &Change) -> Result<(), LedgerError> {
        let at = &change.provider;
        let matched = match &change.event {
            Event::SessionOpened { .. } | Event::SessionEnded { .. } => {
                self.session(at, &change.event)?
            }
            Event::AnchorMinted { .. }
            | Event::AnchorRenewed { .. }
            | Event::AnchorEnded { .. } => self.anchor(at, &change.event)?,
            Event::IntentWritten { .. }
            | Event::IntentIssued { .. }
            | Event::IntentFailed { .. }
            | Event::IntentMaybeLeaked { .. } => self.intent(at, &change.event)?,
            Event::HolderEnded { holder } => {
                self.collect(at, holder.as_str())?;
                true
            }
            Event::LeaseRenewed { .. }
            | Event::LeaseRetired { .. }
            | Event::LeaseIrrevocable { .. }
            | Event::LeaseRevoked { .. }
            | Event::LeaseExpiryClaimed { .. } => self.lease(at, &change.event)?,
        };
        if !matched {
            self.count(at, |totals| &mut totals.unmatched)?;
        }
        Ok(())
    }

    fn session(&mut self, at: &ProviderName, event: &Event) -> Result<bool, LedgerError> {
        match event {
            Event::SessionOpened {
                epoch,
                accessor,
                logged_in_at,
                deadline,
            } => {
                self.put(&Entry::Session(Session {
                    provider: at.clone(),
                    incarnation: self.incarnation,
                    epoch: *epoch,
                    accessor: accessor.clone(),
                    logged_in_at: *logged_in_at,
                    deadline: *deadline,
                }))?;
                Ok(true)
            }
            Event::SessionEnded { accessor } => {
                let key = session_key(at, accessor.as_str());
                self.end(at, &key, |totals| &mut totals.sessions_ended)
            }
            _ => Ok(false),
        }
    }

    fn anchor(&mut self, at: &ProviderName, event: &Event) -> Result<bool, LedgerError> {
        match event {
            Event::AnchorMinted {
                epoch,
                accessor,
                deadline,
            } => {
                self.put(&Entry::Anchor(Anchor {
                    provider: at.clone(),
                    incarnation: self.incarnation,
                    epoch: *epoch,
                    accessor: accessor.clone(),
                    deadline: *deadline,
                }))?;
                Ok(true)
            }
            Event::AnchorRenewed { accessor, deadline } => {
                let key = anchor_key(at, accessor.as_str());
                let Some(Entry::Anchor(mut anchor)) = self.get(&key)? else {
                    return Ok(false);
                };
                anchor.deadline = *deadline;
                self.put(&Entry::Anchor(anchor))?;
                Ok(true)
            }
            Event::AnchorEnded { accessor, end } => {
                let key = anchor_key(at, accessor.as_str());
                self.end(at, &key, |totals| match end {
                    AnchorEnd::Revoked => &mut totals.anchors_revoked,
                    AnchorEnd::Lost => &mut totals.anchors_lost,
                })
            }
            _ => Ok(false),
        }
    }

    fn intent(&mut self, at: &ProviderName, event: &Event) -> Result<bool, LedgerError> {
        match event {
            Event::IntentWritten { .. } => self.intend(at, event),
            Event::IntentIssued {
                id,
                lease_id,
                deadline,
            } => self.issued(at, *id, lease_id, *deadline),
            Event::IntentFailed { id } => {
                let key = intent_key(at, self.incarnation, id.0);
                self.end(at, &key, |totals| &mut totals.intents_failed)?;
                // An intent that could not be written is withdrawn without asking whether it was.
                Ok(true)
            }
            Event::IntentMaybeLeaked { id } => {
                let key = intent_key(at, self.incarnation, id.0);
                let Some(Entry::Intent(mut intent)) = self.get(&key)? else {
                    return Ok(false);
                };
                intent.state = IntentState::MaybeLeaked;
                self.put(&Entry::Intent(intent))?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn intend(&mut self, provider: &ProviderName, event: &Event) -> Result<bool, LedgerError> {
        let Event::IntentWritten {
            id,
            credential,
            consumer,
            generation,
            holder,
            at,
        } = event
        else {
            return Ok(false);
        };
        self.put(&Entry::Intent(Intent {
            provider: provider.clone(),
            incarnation: self.incarnation,
            id: *id,
            credential: credential.clone(),
            consumer: consumer.clone(),
            generation: *generation,
            holder: holder.clone(),
            at: *at,
            state: IntentState::Open,
        }))?;
        Ok(true)
    }

    /// Makes an intent into the lease that it became.
    fn issued(
        &mut self,
        at: &ProviderName,
        id: IntentId,
        lease_id: &LeaseId,
        deadline: SystemTime,
    ) -> Result<bool, LedgerError> {
        let key = intent_key(at, self.incarnation, id.0);
        let Some(Entry::Intent(intent)) = self.get(&key)? else {
            return Ok(false);
        };
        self.remove(&key)?;
        self.put(&Entry::Lease(Lease {
            provider: intent.provider,
            incarnation: intent.incarnation,
            lease_id: lease_id.clone(),
            credential: intent.credential,
            consumer: intent.consumer,
            generation: intent.generation,
            holder: intent.holder,
            deadline,
            state: LeaseState::Held,
        }))?;
        Ok(true)
    }

    fn lease(&mut self, at: &ProviderName, event: &Event) -> Result<bool, LedgerError> {
        match event {
            Event::LeaseRenewed { lease_id, deadline } => {
                self.change_lease(at, lease_id, |it| it.deadline = *deadline)
            }
            Event::LeaseRetired { lease_id } => {
                self.change_lease(at, lease_id, |it| it.state = LeaseState::Retired)
            }
            Event::LeaseIrrevocable { lease_id } => {
                self.change_lease(at, lease_id, |it| it.state = LeaseState::Irrevocable)
            }
            Event::LeaseRevoked { lease_id } => {
                let key = lease_key(at, lease_id.as_str());
                self.end(at, &key, |totals| &mut totals.leases_revoked)
            }
            Event::LeaseExpiryClaimed { lease_id } => {
                let key = lease_key(at, lease_id.as_str());
                self.end(at, &key, |totals| &mut totals.leases_expiry_claimed)
            }
            _ => Ok(false),
        }
    }

    fn change_lease(
        &mut self,
        at: &ProviderName,
        lease_id: &LeaseId,
        change: impl FnOnce(&mut Lease),
    ) -> Result<bool, LedgerError> {
        let Some(Entry::Lease(mut lease)) = self.get(&lease_key(at, lease_id.as_str()))? else {
            return Ok(false);
        };
        change(&mut lease);
        self.put(&Entry::Lease(lease))?;
        Ok(true)
    }

    /// Drops the intents of all incarnations that hung on a holder.
    fn collect(&mut self, at: &ProviderName, holder: &str) -> Result<(), LedgerError> {
        let failed = |error| LedgerError::from_database(self.path, error);
        let prefix = intents_prefix(at);
        let mut gone = Vec::new();
        for item in self.table.range(prefix.as_slice()..).map_err(failed)? {
            let (key, value) = item.map_err(failed)?;
            if !key.value().starts_with(&prefix) {
                break;
            }
            if let (Entry::Intent(intent), _) = decode(self.path, key.value(), value.value())?
                && intent.holder.as_str() == holder
            {
                gone.push(key.value().to_vec());
            }
        }
        for key in gone {
            self.end(at, &key, |totals| &mut totals.intents_collected)?;
        }
        Ok(())
    }

    /// Takes an entry out and counts it; tells whether it was there.
    fn end(
        &mut self,
        at: &ProviderName,
        key: &[u8],
        total: impl FnOnce(&mut Totals) -> &mut u64,
    ) -> Result<bool, LedgerError> {
        let was_there = self.remove(key)?;
        if was_there {
            self.count(at, total)?;
        }
        Ok(was_there)
    }

    fn count(
        &mut self,
        at: &ProviderName,
        total: impl FnOnce(&mut Totals) -> &mut u64,
    ) -> Result<(), LedgerError> {
        let mut totals = match self.get(&totals_key(at))? {
            Some(Entry::Totals(it)) => it.totals,
            _ => Totals::default(),
        };
        let count = total(&mut totals);
        *count = count.saturating_add(1);
        self.put(&Entry::Totals(ProviderTotals {
            provider: at.clone(),
            totals,
        }))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Entry>, LedgerError> {
        let value = self
            .table
            .get(key)
            .map_err(|error| LedgerError::from_database(self.path, error))?;
        value
            .map(|value| decode(self.path, key, value.value()).map(|(entry, _)| entry))
            .transpose()
    }

    fn put(&mut self, entry: &Entry) -> Result<(), LedgerError> {
        let value = entry
            .encode(self.seq)
            .map_err(|source| LedgerError::Encode {
                file: self.path.to_path_buf(),
                source: source.into(),
            })?;
        self.table
            .insert(entry.key().as_slice(), value.as_slice())
            .map_err(|error| LedgerError::from_database(self.path, error))?;
        Ok(())
    }

    fn remove(&mut self, key: &[u8]) -> Result<bool, LedgerError> {
        self.table
            .remove(key)
            .map(|removed| removed.is_some())
            .map_err(|error| LedgerError::from_database(self.path, error))
    }
}

/// What is wrong with a file without the entry that says whose it is.
pub(crate) const NO_ABOUT: &str = "the entry that says whose it is is missing";
