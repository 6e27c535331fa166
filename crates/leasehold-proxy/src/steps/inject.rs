//! Takes one generation of each credential that the upstream is shown, and places them in the head.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Uri};
use leasehold_broker::{Family, Generation};
use leasehold_inject::{Prepared, TargetError};
use leasehold_model::{BootTime, Chain, Clock, ConsumerName, ReasonCode};

use super::refuse::Refusal;
use crate::gateway::{Asking, CredentialUse, Credentials, Held, Loan, NotForCaller};

/// Takes the current generation of each credential that the upstream is shown: whoever shows them holds
/// them until the answer has ended.
///
/// Where each consumer has a credential of its own, its first request waits for it, for `limit` at most.
///
/// # Errors
///
/// When there is a credential without a generation that may be used now, or may be none for whoever asks.
pub(crate) async fn take(
    credentials: &Credentials,
    asking: Asking<'_>,
    clock: &dyn Clock,
    limit: Duration,
) -> Result<Loan, Refusal> {
    if !credentials.is_single() {
        // Boxed, since it is rare and would be a part of every request otherwise.
        return Box::pin(take_several(credentials, asking, clock, limit)).await;
    }
    let mut loan = Loan::default();
    for chosen in credentials.chosen(asking) {
        let (number, credential) = chosen?;
        let generation = take_one(credential, asking.consumer, clock.boot(), limit).await?;
        loan.add(number, generation);
    }
    Ok(loan)
}

/// Takes several that are all valid at one moment: whatever has to be waited for is waited for first.
async fn take_several(
    credentials: &Credentials,
    asking: Asking<'_>,
    clock: &dyn Clock,
    limit: Duration,
) -> Result<Loan, Refusal> {
    let began = clock.boot();
    for chosen in credentials.chosen(asking) {
        let (_, credential) = chosen?;
        let now = clock.boot();
        let left = limit.saturating_sub(now.since(began));
        take_one(credential, asking.consumer, now, left).await?;
    }
    let now = clock.boot();
    let mut loan = Loan::default();
    for chosen in credentials.chosen(asking) {
        let (number, credential) = chosen?;
        let handle = credential.held.handle(asking.consumer);
        let handle = handle.ok_or(ReasonCode::CredentialUnavailable)?;
        let generation = handle.current(now);
        loan.add(
            number,
            generation.map_err(|_unavailable| ReasonCode::CredentialUnavailable)?,
        );
    }
    Ok(loan)
}

async fn take_one(
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

/// Places what was lent in a head and target that are otherwise ready to go, instead of whatever is there.
///
/// # Errors
///
/// When a generation was not made for this; the head must not be sent then.
pub(crate) fn place(
    credentials: &Credentials,
    loan: &Loan,
    headers: &mut HeaderMap,
    target: &mut Uri,
) -> Result<(), Refusal> {
    for (credential, generation) in credentials.lent(loan) {
        place_one(credential, generation, headers, target)?;
    }
    Ok(())
}

fn place_one(
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

impl From<NotForCaller> for Refusal {
    fn from(_: NotForCaller) -> Self {
        ReasonCode::CredentialNotChosen.into()
    }
}
