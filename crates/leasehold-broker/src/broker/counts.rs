//! How much is held, counted for the gauges.

use std::collections::BTreeMap;
use std::time::Duration;

use leasehold_lease::HolderState;
use leasehold_model::{BootTime, CredentialName, Holder, ProviderName};

use super::Broker;
use super::control::state_of;
use crate::control::LeaseState;
use crate::metrics::HolderKind;

/// What the gauges say, so that only what has changed is set anew.
#[derive(Default)]
pub(super) struct Counts {
    next: BootTime,
    leases: BTreeMap<(CredentialName, LeaseState), i64>,
    holders: BTreeMap<(ProviderName, HolderKind), i64>,
}

impl Counts {
    /// Tells whether it is time to count: once a second at most, since a count looks at everything.
    pub(super) fn are_due(&self, now: BootTime) -> bool {
        self.next <= now
    }
}

impl<P: Send + Sync + 'static> Broker<P> {
    /// Brings the gauges up to date.
    pub(super) fn count(&mut self, now: BootTime) {
        self.counts.next = now.after(BETWEEN_COUNTS);
        let leases = self.count_leases();
        for ((credential, state), count) in changes(&self.counts.leases, &leases) {
            self.metrics.leases(credential, *state, count);
        }
        let holders = self.count_holders();
        for ((provider, kind), count) in changes(&self.counts.holders, &holders) {
            self.metrics.holders(provider, *kind, count);
        }
        self.metrics.orphans_left(self.engine.orphans());
        self.keep_holders(now);
        self.counts.leases = leases;
        self.counts.holders = holders;
    }

    fn count_leases(&self) -> BTreeMap<(CredentialName, LeaseState), i64> {
        let mut counts = BTreeMap::new();
        for view in self.engine.view() {
            if let Some(credential) = self.at(view.slot) {
                let name = credential.handle.credential().clone();
                *counts.entry((name, state_of(view.stage))).or_default() += 1;
            }
        }
        counts
    }

    fn count_holders(&self) -> BTreeMap<(ProviderName, HolderKind), i64> {
        let mut counts = BTreeMap::new();
        for view in self.engine.holders() {
            if let Some((name, _)) = self.caller(view.provider) {
                let kind = kind_of(view.holder, view.state);
                *counts.entry((name.clone(), kind)).or_default() += 1;
            }
        }
        counts
    }
}

/// Returns what has another count than before; what is there no more has none.
fn changes<'a, K: Ord>(
    before: &'a BTreeMap<K, i64>,
    after: &'a BTreeMap<K, i64>,
) -> impl Iterator<Item = (&'a K, i64)> {
    let gone = before.keys().filter(|it| !after.contains_key(it));
    let gone = gone.map(|it| (it, 0));
    let other = after
        .iter()
        .filter(|(it, count)| before.get(it) != Some(count));
    gone.chain(other.map(|(it, count)| (it, *count)))
}

const fn kind_of(holder: Holder, state: HolderState) -> HolderKind {
    let kind = match holder {
        Holder::Session(_) => "session",
        Holder::Anchor(_) => "anchor",
    };
    let state = match state {
        HolderState::Current => "current",
        HolderState::Maintaining => "maintaining",
        HolderState::Retiring => "retiring",
    };
    (kind, state)
}

const BETWEEN_COUNTS: Duration = Duration::from_secs(1);
