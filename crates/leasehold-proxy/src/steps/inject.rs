//! Takes one generation of the upstream's credential and places it in the head.

use std::sync::Arc;

use http::HeaderMap;
use leasehold_broker::Generation;
use leasehold_inject::Prepared;
use leasehold_model::{BootTime, Chain, ReasonCode};

use super::refuse::Refusal;
use crate::gateway::CredentialUse;

/// Places the credential's current generation in a head that is otherwise ready to go, and returns
/// it: whoever sends the head holds it until the answer has ended.
///
/// # Errors
///
/// When there is no generation that may be used now; the head must not be sent then.
pub(crate) fn inject(
    credential: &CredentialUse,
    now: BootTime,
    headers: &mut HeaderMap,
) -> Result<Arc<Generation<Prepared>>, Refusal> {
    let generation = credential
        .handle
        .current(now)
        .map_err(|_unavailable| ReasonCode::CredentialUnavailable)?;
    let applied = generation.prepared().apply(credential.injection, headers);
    applied.map_err(|error| {
        tracing::error!(
            credential = %credential.handle.credential(),
            error = %Chain(&error),
            "generation does not fit the upstream that it is for"
        );
        ReasonCode::Internal
    })?;
    Ok(generation)
}
