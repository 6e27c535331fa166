//! Takes one generation of the upstream's credential and places it in the head.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Uri};
use leasehold_broker::{Family, Generation};
use leasehold_inject::{Prepared, TargetError};
use leasehold_model::{BootTime, Chain, ConsumerName, ReasonCode};

use super::refuse::Refusal;
use crate::gateway::{CredentialUse, Held};

/// Takes the credential's current generation: whoever shows it to an upstream holds it until the answer
/// has ended.
///
/// Where each consumer has a credential of its own, its first request waits for it, for `limit` at most.
///
/// # Errors
///
/// When there is no generation that may be used now, or may be none for this consumer.
pub(crate) async fn take(
    credential: &CredentialUse,
    consumer: Option<&ConsumerName>,
    now: BootTime,
    limit: Duration,
) -> Result<Arc<Generation<Prepared>>, Refusal> {
    match (&credential.held, consumer) {
        (Held::Shared(handle), _) => handle
            .current(now)
            .map_err(|_unavailable| ReasonCode::CredentialUnavailable.into()),
        (Held::PerConsumer(family), Some(consumer)) => own(family, consumer, now, limit).await,
        // No such route is let in, since there is nobody to issue it for.
        (Held::PerConsumer(_), None) => Err(ReasonCode::Internal.into()),
    }
}

async fn own(
    family: &Family<Prepared>,
    consumer: &ConsumerName,
    now: BootTime,
    limit: Duration,
) -> Result<Arc<Generation<Prepared>>, Refusal> {
    let handle = family
        .handle(consumer)
        .map_err(|_full| ReasonCode::CredentialCap)?;
    if let Ok(generation) = handle.current(now) {
        return Ok(generation);
    }
    let acquired = Box::pin(handle.acquired(limit)).await;
    acquired.map_err(|_unavailable| ReasonCode::CredentialUnavailable.into())
}

/// Places a generation in a head and target that are otherwise ready to go, instead of whatever is there.
///
/// # Errors
///
/// When the generation was not made for this; the head must not be sent then.
pub(crate) fn place(
    credential: &CredentialUse,
    generation: &Generation<Prepared>,
    headers: &mut HeaderMap,
    target: &mut Uri,
) -> Result<(), Refusal> {
    let prepared = generation.prepared();
    let changed = prepared.target(credential.injection, target);
    let applied = changed.and_then(|changed| {
        prepared.apply(credential.injection, headers)?;
        Ok(changed)
    });
    match applied {
        Ok(Some(changed)) => *target = changed,
        Ok(None) => {}
        Err(TargetError::TooLong) => return Err(ReasonCode::HeadTooLarge.into()),
        Err(TargetError::NoQuery) => {
            return Err(Refusal::bad_request("the target can't have a query"));
        }
        Err(error @ TargetError::Unknown(_)) => {
            tracing::error!(
                credential = %credential.held.credential(),
                error = %Chain(&error),
                "generation does not fit the upstream that it is for"
            );
            return Err(ReasonCode::Internal.into());
        }
    }
    Ok(())
}
