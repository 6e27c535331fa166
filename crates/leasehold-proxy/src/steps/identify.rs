//! Tells who calls, and whether the route is open to them.

use http::HeaderMap;
use leasehold_consumer::Consumers;
use leasehold_model::{ConsumerName, ReasonCode};

use super::refuse::Refusal;
use crate::gateway::Admission;

/// Returns the consumer who shows their key in the head. On a route that is open to anyone a request
/// may come from nobody that we know.
///
/// # Errors
///
/// When the route is open to some consumers only, and the request comes from none of them.
pub(crate) fn identify(
    consumers: &Consumers,
    admission: &Admission,
    headers: &HeaderMap,
) -> Result<Option<ConsumerName>, Refusal> {
    let found = consumers.identify(headers);
    let Admission::These(allowed) = admission else {
        return Ok(found.ok().cloned());
    };
    let consumer = found.map_err(ReasonCode::from)?;
    if !allowed.contains(consumer) {
        return Err(ReasonCode::ConsumerNotAllowed.into());
    }
    Ok(Some(consumer.clone()))
}
