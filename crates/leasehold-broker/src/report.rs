//! What people are told: one place for log and metric of each event.

use std::time::Duration;

use leasehold_lease::Notice;
use leasehold_model::{
    AnchorEpoch, BootTime, Chain, ConsumerName, CredentialName, Failure, GenerationNumber, LeaseId,
    Provenance, ProviderName,
};
use leasehold_provider::ProviderError;
use tracing::field::display;
use tracing::{debug, error, info, warn};

use crate::metrics::{AnchorEvent, BrokerMetrics, Operation, OrphanEvent, Suspicion};

/// Whose credential an event is about. Metrics leave the consumer out, so that their number does not
/// grow with consumers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) credential: &'a CredentialName,
    pub(crate) consumer: Option<&'a ConsumerName>,
}

pub(crate) fn succeeded(metrics: &BrokerMetrics, provider: &ProviderName, operation: Operation) {
    metrics.called(provider, operation, "ok");
}

/// Tells of a call that failed. The text goes to the operators' log; callers of the gateway are told
/// a reason code and nothing of this.
pub(crate) fn failed(
    metrics: &BrokerMetrics,
    provider: &ProviderName,
    subject: Option<Subject<'_>>,
    operation: Operation,
    failure: &ProviderError,
) {
    metrics.called(provider, operation, failure.failure.as_str());
    warn!(
        %provider,
        credential = subject.map(|it| display(it.credential)),
        consumer = subject.and_then(|it| it.consumer).map(display),
        operation = operation.as_str(),
        failure = failure.failure.as_str(),
        provider_request_id = failure.request_id.as_ref().map(display),
        error = %Chain(failure),
        "provider call failed"
    );
}

pub(crate) fn warned(provider: &ProviderName, subject: Subject<'_>, warnings: &[String]) {
    let (credential, consumer) = (subject.credential, subject.consumer.map(display));
    for warning in warnings {
        warn!(%provider, %credential, consumer, warning, "provider warned");
    }
}

pub(crate) fn unusable(
    provider: &ProviderName,
    subject: Subject<'_>,
    error: &(dyn std::error::Error + 'static),
) {
    let (credential, consumer) = (subject.credential, subject.consumer.map(display));
    error!(
        %provider,
        %credential,
        consumer,
        error = %Chain(error),
        "credential can't be injected as declared"
    );
}

pub(crate) fn activated(
    metrics: &BrokerMetrics,
    subject: Subject<'_>,
    number: GenerationNumber,
    provenance: &Provenance,
    usable_for: Option<Duration>,
) {
    metrics.activated(subject.credential);
    info!(
        credential = %subject.credential,
        consumer = subject.consumer.map(display),
        generation = number.get(),
        provider = %provenance.provider,
        provider_request_id = provenance.request_id.as_ref().map(display),
        lease_id = provenance.lease_id.as_ref().map(display),
        version = provenance.version,
        fingerprint = %provenance.fingerprint,
        usable_for_seconds = usable_for.map(|it| it.as_secs_f64()),
        "generation activated"
    );
}

pub(crate) fn renewed(subject: Subject<'_>, number: GenerationNumber, ttl: Duration, capped: bool) {
    let (credential, consumer) = (subject.credential, subject.consumer.map(display));
    let (generation, ttl_seconds) = (number.get(), ttl.as_secs());
    debug!(%credential, consumer, generation, ttl_seconds, capped, "lease renewed");
}

/// Tells of what happened to a credential. Notices about providers are told by
/// [`provider_notice`].
pub(crate) fn notice(metrics: &BrokerMetrics, subject: Subject<'_>, notice: &Notice) {
    let (credential, consumer) = (subject.credential, subject.consumer.map(display));
    match notice {
        Notice::Rotating { number, .. } => {
            info!(%credential, consumer, generation = number.get(), "rotating");
        }
        Notice::Expired { number, .. } => {
            metrics.expired(credential);
            let generation = number.get();
            warn!(%credential, consumer, generation, "generation expired without a successor");
        }
        Notice::Revoked { number, .. } => {
            info!(%credential, consumer, generation = number.get(), "lease revoked");
        }
        Notice::ExpiryClaimed { number, .. } => claimed(metrics, subject, *number),
        Notice::Irrevocable {
            number, failure, ..
        } => irrevocable(metrics, subject, *number, *failure),
        Notice::Suspect { number, .. } => {
            metrics.suspected(credential, Suspicion::Raised);
            let generation = number.get();
            warn!(%credential, consumer, generation, "upstream refused the generation");
        }
        Notice::SuspicionDismissed { number, .. } => {
            metrics.suspected(credential, Suspicion::Dismissed);
            let generation = number.get();
            info!(%credential, consumer, generation, "what the upstream refused is not replaced");
        }
        _ => {}
    }
}

fn claimed(metrics: &BrokerMetrics, subject: Subject<'_>, number: GenerationNumber) {
    metrics.claimed(subject.credential);
    warn!(
        credential = %subject.credential,
        consumer = subject.consumer.map(display),
        generation = number.get(),
        "lease ran out before its revocation was confirmed"
    );
}

fn irrevocable(
    metrics: &BrokerMetrics,
    subject: Subject<'_>,
    number: GenerationNumber,
    failure: Failure,
) {
    metrics.irrevocable(subject.credential);
    error!(
        credential = %subject.credential,
        consumer = subject.consumer.map(display),
        generation = number.get(),
        failure = failure.as_str(),
        "lease can't be revoked: let the policy of the gateway update sys/leases/revoke, or revoke it \
         by hand"
    );
}

/// Tells of what happened at a provider. Notices about credentials are told by [`notice`].
pub(crate) fn provider_notice(metrics: &BrokerMetrics, provider: &ProviderName, notice: &Notice) {
    match notice {
        Notice::AnchorUnavailable { failure, .. } => {
            anchor_unavailable(metrics, provider, *failure)
        }
        Notice::AnchorSucceeded { anchor, .. } => {
            anchor_went(metrics, provider, *anchor, AnchorEvent::Succeeded);
        }
        Notice::AnchorLost { anchor, .. } => {
            anchor_went(metrics, provider, *anchor, AnchorEvent::Lost);
        }
        Notice::AnchorEnded { anchor, .. } => {
            anchor_went(metrics, provider, *anchor, AnchorEvent::Ended);
        }
        Notice::OrphanClaimed { lease_id, .. } => orphan_claimed(metrics, provider, lease_id),
        Notice::OrphanIrrevocable {
            lease_id, failure, ..
        } => orphan_irrevocable(metrics, provider, lease_id, *failure),
        Notice::CircuitOpened { .. } => {
            metrics.circuit(provider, true);
            warn!(%provider, "provider can't be reached: one call at a time tries whether it can");
        }
        Notice::CircuitClosed { .. } => {
            metrics.circuit(provider, false);
            info!(%provider, "provider can be reached again");
        }
        _ => {}
    }
}

/// Tells what earlier processes left at a provider.
pub(crate) fn orphans_found(
    metrics: &BrokerMetrics,
    provider: &ProviderName,
    leases: usize,
    intents: usize,
) {
    metrics.orphans_found(provider, leases);
    info!(
        %provider,
        leases,
        maybe_leaked = intents,
        "earlier processes left leases: they are revoked once the new ones serve"
    );
}

/// Tells of an intent whose holder can't be ended, so that what came of it can't be either.
pub(crate) fn lost_intent(provider: &ProviderName, intent: &leasehold_ledger::Intent) {
    warn!(
        %provider,
        credential = %intent.credential,
        consumer = intent.consumer.as_ref().map(display),
        generation = intent.generation.get(),
        "an earlier process may have left a lease that nobody knows the id of: look for it at the \
         provider, or let it run out"
    );
}

/// Tells of leases that can't be given back, as their provider is not declared any more.
pub(crate) fn unknown_provider(provider: &ProviderName, leases: usize) {
    warn!(
        %provider,
        leases,
        "earlier processes left leases at a provider that is not configured or not used any more: \
         they stay in the ledger"
    );
}

/// Tells at the end what earlier processes left and the next one has to give back.
pub(crate) fn left_for_the_next(leases: usize, holders: usize) {
    if leases > 0 || holders > 0 {
        warn!(
            leases,
            holders, "what earlier processes left stays in the ledger for the next start"
        );
    }
}

/// Tells of a lease of an earlier process that the provider confirmed to be revoked.
pub(crate) fn orphan_revoked(metrics: &BrokerMetrics, provider: &ProviderName, lease_id: &LeaseId) {
    metrics.orphan(provider, OrphanEvent::Revoked);
    info!(%provider, %lease_id, "lease of an earlier process revoked");
}

/// Tells of a lease of an earlier process that ended, and of which nobody confirmed that it was
/// revoked.
pub(crate) fn orphan_claimed(metrics: &BrokerMetrics, provider: &ProviderName, lease_id: &LeaseId) {
    metrics.orphan(provider, OrphanEvent::Claimed);
    warn!(
        %provider,
        %lease_id,
        "lease of an earlier process ran out before its revocation was confirmed"
    );
}

fn orphan_irrevocable(
    metrics: &BrokerMetrics,
    provider: &ProviderName,
    lease_id: &LeaseId,
    failure: Failure,
) {
    metrics.orphan(provider, OrphanEvent::Irrevocable);
    error!(
        %provider,
        %lease_id,
        failure = failure.as_str(),
        "lease of an earlier process can't be revoked: let the policy of the gateway update \
         sys/leases/revoke, or revoke it by hand"
    );
}

fn anchor_unavailable(metrics: &BrokerMetrics, provider: &ProviderName, failure: Failure) {
    metrics.anchor(provider, AnchorEvent::Unavailable);
    error!(
        %provider,
        failure = failure.as_str(),
        "no anchor can be made, so leases hang on the login: check the token role and the policy \
         of the gateway"
    );
}

fn anchor_went(
    metrics: &BrokerMetrics,
    provider: &ProviderName,
    anchor: AnchorEpoch,
    event: AnchorEvent,
) {
    metrics.anchor(provider, event);
    let (anchor, event_name) = (anchor.get(), event.as_str());
    if event == AnchorEvent::Lost {
        error!(%provider, anchor, "anchor is dead, and every lease that hung on it");
    } else {
        info!(%provider, anchor, event = event_name, "anchor went on");
    }
}

/// Tells how long is left until a deadline, where there is one.
pub(crate) fn left(now: BootTime, deadline: BootTime) -> Option<Duration> {
    (deadline != BootTime::NEVER).then(|| deadline.since(now))
}
