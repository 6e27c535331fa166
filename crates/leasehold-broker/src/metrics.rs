use std::sync::atomic::AtomicI64;

use leasehold_model::{CredentialName, ProviderName};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::control::LeaseState;

/// The broker's metrics. Labels hold declared names and fixed words alone, so their number is
/// bounded by the configuration.
#[derive(Clone, Debug, Default)]
pub struct BrokerMetrics {
    calls: Family<CallLabels, Counter>,
    activations: Family<CredentialLabels, Counter>,
    expirations: Family<CredentialLabels, Counter>,
    irrevocable: Family<CredentialLabels, Counter>,
    claimed: Family<CredentialLabels, Counter>,
    ready: Family<CredentialLabels, Gauge<i64, AtomicI64>>,
    members: Family<CredentialLabels, Gauge<i64, AtomicI64>>,
    suspicions: Family<Labels<2>, Counter>,
    anchors: Family<Labels<2>, Counter>,
    orphans: Family<Labels<2>, Counter>,
    circuits: Family<Labels<1>, Gauge<i64, AtomicI64>>,
    leases: Family<Labels<2>, Gauge<i64, AtomicI64>>,
    holders: Family<Labels<3>, Gauge<i64, AtomicI64>>,
    orphans_left: Gauge<i64, AtomicI64>,
    ledger_failures: Gauge<i64, AtomicI64>,
    ledger_unwritten: Gauge<i64, AtomicI64>,
}

type Labels<const N: usize> = [(&'static str, String); N];
type CallLabels = Labels<3>;
type CredentialLabels = Labels<1>;

/// Calls to providers, as they are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Login,
    RenewSession,
    RevokeSession,
    MintAnchor,
    RenewAnchor,
    RevokeAnchor,
    RevokeFormer,
    Fetch,
    Renew,
    Revoke,
    RevokeOrphan,
}

/// Session or anchor, and where it is in its life.
pub(crate) type HolderKind = (&'static str, &'static str);

/// What becomes of an upstream's refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspicion {
    Raised,
    Dismissed,
}

/// What becomes of anchors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AnchorEvent {
    Unavailable,
    Succeeded,
    Lost,
    Ended,
}

/// What becomes of leases of earlier processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OrphanEvent {
    Revoked,
    Claimed,
    Irrevocable,
}

impl BrokerMetrics {
    /// Makes the metrics and registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let it = Self::default();
        registry.register(
            "leasehold_provider_calls",
            "Calls to providers, by what was asked and how it ended",
            it.calls.clone(),
        );
        registry.register(
            "leasehold_generations_activated",
            "Generations that came into service",
            it.activations.clone(),
        );
        registry.register(
            "leasehold_generations_expired",
            "Generations withdrawn at their deadline or with their lease, with no successor ready",
            it.expirations.clone(),
        );
        registry.register(
            "leasehold_leases_irrevocable",
            "Leases that the provider would not revoke",
            it.irrevocable.clone(),
        );
        registry.register(
            "leasehold_leases_expiry_claimed",
            "Leases that ran out before the provider confirmed their revocation",
            it.claimed.clone(),
        );
        registry.register(
            "leasehold_credential_ready",
            "Whether there is a generation to use: 1 or 0",
            it.ready.clone(),
        );
        it.register_events(registry);
        it.register_gauges(registry);
        it
    }

    fn register_events(&self, registry: &mut Registry) {
        registry.register(
            "leasehold_suspicions",
            "Generations that upstreams refused, and those of them that were not replaced",
            self.suspicions.clone(),
        );
        registry.register(
            "leasehold_anchor_events",
            "What became of anchors",
            self.anchors.clone(),
        );
        registry.register(
            "leasehold_orphans",
            "What became of leases of earlier processes",
            self.orphans.clone(),
        );
    }

    fn register_gauges(&self, registry: &mut Registry) {
        registry.register(
            "leasehold_credential_consumers",
            "Consumers that a credential declared per consumer is held for",
            self.members.clone(),
        );
        registry.register(
            "leasehold_provider_circuit_open",
            "Whether the provider can't be reached: 1 or 0",
            self.circuits.clone(),
        );
        registry.register(
            "leasehold_leases",
            "Generations that are held, by what is becoming of them",
            self.leases.clone(),
        );
        registry.register(
            "leasehold_holders",
            "Sessions and anchors, by what is becoming of them",
            self.holders.clone(),
        );
        registry.register(
            "leasehold_orphans_left",
            "Leases of earlier processes that are still to be revoked",
            self.orphans_left.clone(),
        );
        registry.register(
            "leasehold_ledger_failures",
            "Commits to the ledger that failed since the start",
            self.ledger_failures.clone(),
        );
        registry.register(
            "leasehold_ledger_unwritten",
            "Changes to the ledger that could not be written yet",
            self.ledger_unwritten.clone(),
        );
    }

    pub(crate) fn called(
        &self,
        provider: &ProviderName,
        operation: Operation,
        outcome: &'static str,
    ) {
        let labels = [
            ("provider", provider.to_string()),
            ("operation", operation.as_str().to_owned()),
            ("outcome", outcome.to_owned()),
        ];
        self.calls.get_or_create(&labels).inc();
    }

    pub(crate) fn activated(&self, credential: &CredentialName) {
        self.activations.get_or_create(&of(credential)).inc();
    }

    pub(crate) fn expired(&self, credential: &CredentialName) {
        self.expirations.get_or_create(&of(credential)).inc();
    }

    pub(crate) fn irrevocable(&self, credential: &CredentialName) {
        self.irrevocable.get_or_create(&of(credential)).inc();
    }

    pub(crate) fn claimed(&self, credential: &CredentialName) {
        self.claimed.get_or_create(&of(credential)).inc();
    }

    pub(crate) fn ready(&self, credential: &CredentialName, ready: bool) {
        self.ready
            .get_or_create(&of(credential))
            .set(i64::from(ready));
    }

    pub(crate) fn members(&self, credential: &CredentialName, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.members.get_or_create(&of(credential)).set(count);
    }

    /// Takes down the gauges of a credential that is declared no more.
    pub(crate) fn forget_credential(&self, credential: &CredentialName) {
        self.ready.remove(&of(credential));
        self.members.remove(&of(credential));
    }

    /// Takes down the gauge of a provider that is declared no more.
    pub(crate) fn forget_provider(&self, provider: &ProviderName) {
        self.circuits.remove(&[("provider", provider.to_string())]);
    }

    pub(crate) fn suspected(&self, credential: &CredentialName, outcome: Suspicion) {
        let labels = [
            ("credential", credential.to_string()),
            ("outcome", outcome.as_str().to_owned()),
        ];
        self.suspicions.get_or_create(&labels).inc();
    }

    pub(crate) fn anchor(&self, provider: &ProviderName, event: AnchorEvent) {
        let labels = at(provider, "event", event.as_str());
        self.anchors.get_or_create(&labels).inc();
    }

    pub(crate) fn orphan(&self, provider: &ProviderName, event: OrphanEvent) {
        let labels = at(provider, "outcome", event.as_str());
        self.orphans.get_or_create(&labels).inc();
    }

    pub(crate) fn leases(&self, credential: &CredentialName, state: LeaseState, count: i64) {
        let labels = [
            ("credential", credential.to_string()),
            ("state", state.as_str().to_owned()),
        ];
        self.leases.get_or_create(&labels).set(count);
    }

    pub(crate) fn holders(&self, provider: &ProviderName, kind: HolderKind, count: i64) {
        let (kind, state) = kind;
        let labels = [
            ("provider", provider.to_string()),
            ("kind", kind.to_owned()),
            ("state", state.to_owned()),
        ];
        self.holders.get_or_create(&labels).set(count);
    }

    pub(crate) fn orphans_found(&self, provider: &ProviderName, count: usize) {
        let labels = at(provider, "outcome", "found");
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        self.orphans.get_or_create(&labels).inc_by(count);
    }

    pub(crate) fn ledger(&self, failures: u64, unwritten: usize) {
        self.ledger_failures
            .set(i64::try_from(failures).unwrap_or(i64::MAX));
        self.ledger_unwritten
            .set(i64::try_from(unwritten).unwrap_or(i64::MAX));
    }

    pub(crate) fn orphans_left(&self, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.orphans_left.set(count);
    }

    pub(crate) fn circuit(&self, provider: &ProviderName, is_open: bool) {
        let labels = [("provider", provider.to_string())];
        self.circuits.get_or_create(&labels).set(i64::from(is_open));
    }
}

impl Operation {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::RenewSession => "renew_session",
            Self::RevokeSession => "revoke_session",
            Self::MintAnchor => "mint_anchor",
            Self::RenewAnchor => "renew_anchor",
            Self::RevokeAnchor => "revoke_anchor",
            Self::RevokeFormer => "revoke_former",
            Self::Fetch => "fetch",
            Self::Renew => "renew",
            Self::Revoke => "revoke",
            Self::RevokeOrphan => "revoke_orphan",
        }
    }
}

impl Suspicion {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Raised => "raised",
            Self::Dismissed => "dismissed",
        }
    }
}

impl AnchorEvent {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Succeeded => "succeeded",
            Self::Lost => "lost",
            Self::Ended => "ended",
        }
    }
}

impl OrphanEvent {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Claimed => "expiry_claimed",
            Self::Irrevocable => "irrevocable",
        }
    }
}

fn at(provider: &ProviderName, label: &'static str, value: &str) -> Labels<2> {
    [
        ("provider", provider.to_string()),
        (label, value.to_owned()),
    ]
}

fn of(credential: &CredentialName) -> CredentialLabels {
    [("credential", credential.to_string())]
}
