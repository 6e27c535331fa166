//! What people are told: one place for log and metric of each event.

use std::time::Duration;

use leasehold_lease::Notice;
use leasehold_model::{
    BootTime, Chain, CredentialName, GenerationNumber, Provenance, ProviderName,
};
use leasehold_provider::ProviderError;
use tracing::{debug, error, info, warn};

use crate::metrics::{BrokerMetrics, Operation};

pub(crate) fn succeeded(metrics: &BrokerMetrics, provider: &ProviderName, operation: Operation) {
    metrics.called(provider, operation, "ok");
}

/// Tells of a call that failed. The text goes to the operators' log; callers of the gateway are told
/// a reason code and nothing of this.
pub(crate) fn failed(
    metrics: &BrokerMetrics,
    provider: &ProviderName,
    credential: Option<&CredentialName>,
    operation: Operation,
    failure: &ProviderError,
) {
    metrics.called(provider, operation, failure.failure.as_str());
    warn!(
        %provider,
        credential = credential.map(tracing::field::display),
        operation = operation.as_str(),
        failure = failure.failure.as_str(),
        provider_request_id = failure.request_id.as_ref().map(tracing::field::display),
        error = %Chain(failure),
        "provider call failed"
    );
}

pub(crate) fn warned(provider: &ProviderName, credential: &CredentialName, warnings: &[String]) {
    for warning in warnings {
        warn!(%provider, %credential, warning, "provider warned");
    }
}

pub(crate) fn unusable(
    provider: &ProviderName,
    credential: &CredentialName,
    error: &(dyn std::error::Error + 'static),
) {
    error!(%provider, %credential, error = %Chain(error), "credential can't be injected as declared");
}

pub(crate) fn activated(
    metrics: &BrokerMetrics,
    credential: &CredentialName,
    number: GenerationNumber,
    provenance: &Provenance,
    now: BootTime,
    deadline: BootTime,
) {
    metrics.activated(credential);
    metrics.ready(credential, true);
    let usable_for = (deadline != BootTime::NEVER).then(|| deadline.since(now).as_secs_f64());
    info!(
        %credential,
        generation = number.get(),
        provider = %provenance.provider,
        provider_request_id = provenance.request_id.as_ref().map(tracing::field::display),
        lease_id = provenance.lease_id.as_ref().map(tracing::field::display),
        version = provenance.version,
        fingerprint = %provenance.fingerprint,
        usable_for_seconds = usable_for,
        "generation activated"
    );
}

pub(crate) fn renewed(
    credential: &CredentialName,
    number: GenerationNumber,
    ttl: Duration,
    capped: bool,
) {
    let (generation, ttl_seconds) = (number.get(), ttl.as_secs());
    debug!(%credential, generation, ttl_seconds, capped, "lease renewed");
}

pub(crate) fn notice(metrics: &BrokerMetrics, credential: &CredentialName, notice: &Notice) {
    match notice {
        Notice::Suspect { .. }
        | Notice::SuspicionDismissed { .. }
        | Notice::AnchorUnavailable { .. }
        | Notice::AnchorSucceeded { .. }
        | Notice::AnchorLost { .. }
        | Notice::AnchorEnded { .. }
        | Notice::OrphanClaimed { .. }
        | Notice::OrphanIrrevocable { .. }
        | Notice::CircuitOpened { .. }
        | Notice::CircuitClosed { .. } => {}
        Notice::Rotating { number, .. } => {
            info!(%credential, generation = number.get(), "rotating");
        }
        Notice::Expired { number, .. } => {
            metrics.expired(credential);
            warn!(%credential, generation = number.get(), "generation expired without a successor");
        }
        Notice::Revoked { number, .. } => {
            info!(%credential, generation = number.get(), "lease revoked");
        }
        Notice::ExpiryClaimed { number, .. } => {
            metrics.claimed(credential);
            warn!(
                %credential,
                generation = number.get(),
                "lease ran out before its revocation was confirmed"
            );
        }
        Notice::Irrevocable {
            number, failure, ..
        } => {
            metrics.irrevocable(credential);
            error!(
                %credential,
                generation = number.get(),
                failure = failure.as_str(),
                "lease can't be revoked: let the policy of the gateway update sys/leases/revoke, or \
                 revoke it by hand"
            );
        }
    }
}
