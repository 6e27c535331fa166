use std::sync::atomic::AtomicI64;

use leasehold_model::{CredentialName, ProviderName};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

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
    Fetch,
    Renew,
    Revoke,
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
        it
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
}

impl Operation {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::RenewSession => "renew_session",
            Self::RevokeSession => "revoke_session",
            Self::Fetch => "fetch",
            Self::Renew => "renew",
            Self::Revoke => "revoke",
        }
    }
}

fn of(credential: &CredentialName) -> CredentialLabels {
    [("credential", credential.to_string())]
}
