use std::collections::BTreeMap;

use leasehold_model::{InstanceName, ProviderName};

use crate::entry::{About, Entry};
use crate::record::{Anchor, Incarnation, IncarnationId, Intent, Lease, Session, Totals};

/// Everything that is in a ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Whose ledger it is; nobody's where a repair could not tell.
    pub instance: Option<InstanceName>,
    /// The lives of the instance that something is left of, and the last one.
    pub incarnations: Vec<Incarnation>,
    /// What is held, by provider.
    pub providers: BTreeMap<ProviderName, Held>,
}

/// What earlier lives of the instance left behind.
///
/// Each intent in it may have leaked: whoever wrote it is no longer there to learn the outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Former {
    /// What was held, by provider, whether or not the configuration still has it.
    pub providers: BTreeMap<ProviderName, Held>,
}

/// What is held at one provider.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Logins that have not ended.
    pub sessions: Vec<Session>,
    /// Anchors that have not ended.
    pub anchors: Vec<Anchor>,
    /// Calls that may have created something that nobody has the lease of.
    pub intents: Vec<Intent>,
    /// Leases that have not ended.
    pub leases: Vec<Lease>,
    /// What is held no more.
    pub totals: Totals,
}

impl Held {
    /// Tells whether nothing is held, whatever the totals say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// Counts what is held.
    #[must_use]
    pub fn count(&self) -> usize {
        self.sessions.len() + self.anchors.len() + self.intents.len() + self.leases.len()
    }
}

impl Former {
    /// Tells whether nothing was left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.providers.values().all(Held::is_empty)
    }
}

impl Contents {
    /// Sorts entries out by what they are and where it is held.
    pub(crate) fn of(entries: impl IntoIterator<Item = Entry>) -> (Self, Option<About>) {
        let mut contents = Self::default();
        let mut about = None;
        for entry in entries {
            match entry {
                Entry::About(it) => about = Some(it),
                Entry::Incarnation(it) => contents.incarnations.push(it),
                Entry::Session(it) => contents.at(&it.provider).sessions.push(it),
                Entry::Anchor(it) => contents.at(&it.provider).anchors.push(it),
                Entry::Intent(it) => contents.at(&it.provider).intents.push(it),
                Entry::Lease(it) => contents.at(&it.provider).leases.push(it),
                Entry::Totals(it) => contents.at(&it.provider).totals = it.totals,
            }
        }
        contents.instance = about.as_ref().and_then(|it: &About| it.instance.clone());
        contents.incarnations.sort_by_key(|it| it.started_at);
        (contents, about)
    }

    /// Finds the lives of the instance that nothing is left of.
    pub(crate) fn spent(&self) -> Vec<IncarnationId> {
        let left = |id: IncarnationId| {
            self.providers.values().any(|held| {
                held.sessions.iter().any(|it| it.incarnation == id)
                    || held.anchors.iter().any(|it| it.incarnation == id)
                    || held.intents.iter().any(|it| it.incarnation == id)
                    || held.leases.iter().any(|it| it.incarnation == id)
            })
        };
        let ids = self.incarnations.iter().map(|it| it.id);
        ids.filter(|id| !left(*id)).collect()
    }

    /// Counts what is held.
    pub(crate) fn entries(&self) -> usize {
        let counts = self.providers.values().map(Held::count);
        counts.sum()
    }

    fn at(&mut self, provider: &ProviderName) -> &mut Held {
        self.providers.entry(provider.clone()).or_default()
    }
}
