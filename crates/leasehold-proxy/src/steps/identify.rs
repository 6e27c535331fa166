//! Tells who calls, and whether the route is open to them.

use http::HeaderMap;
use leasehold_consumer::{Caller, ClientCertificate, Consumers, Refusal as Unidentified, Times};
use leasehold_model::{Clock, ReasonCode};

use super::refuse::Refusal;
use crate::gateway::{Admission, Gateway, Route};

/// Returns who calls, by what the head shows and by the certificate of the connection. On a route that is
/// open to anyone a request may come from nobody that we know.
///
/// Where a token is signed by a key that is not at hand, the keys are fetched, for which the request
/// waits a moment.
///
/// # Errors
///
/// When the route is open to some consumers only, and the request comes from none of them or may not do
/// what the route wants; and on every route when a token is shown that does not hold.
pub(crate) async fn identify(
    gateway: &Gateway,
    route: &Route,
    headers: &HeaderMap,
    certificate: Option<&ClientCertificate>,
    clock: &dyn Clock,
) -> Result<Option<Caller>, Refusal> {
    let consumers = &gateway.consumers;
    let mut found = consumers.identify(headers, certificate, now(clock));
    if let Some(keys) = found.as_ref().err().and_then(Unidentified::keys) {
        // Boxed, since hardly any request waits for keys, and it would be a part of each otherwise.
        if Box::pin(keys.refreshed(clock.boot())).await {
            found = consumers.identify(headers, certificate, now(clock));
        }
    }
    let Admission::These(allowed) = &route.admission else {
        return open_to_anyone(found, consumers);
    };
    let caller = found.map_err(|refusal| refusal.reason(consumers))?;
    if !allowed.contains(&caller.consumer) {
        return Err(ReasonCode::ConsumerNotAllowed.into());
    }
    if !route.scopes.iter().all(|it| caller.scopes.contains(it)) {
        return Err(ReasonCode::InsufficientScope.into());
    }
    Ok(Some(caller))
}

/// Where nobody needs to be known, a key that belongs to nobody is nothing. A token that does not hold,
/// and what names two consumers, is refused all the same: whoever shows it means to be somebody.
fn open_to_anyone(
    found: Result<Caller, Unidentified>,
    consumers: &Consumers,
) -> Result<Option<Caller>, Refusal> {
    match found {
        Ok(caller) => Ok(Some(caller)),
        Err(Unidentified::Missing | Unidentified::Unknown | Unidentified::TokenUnknown) => Ok(None),
        Err(refusal @ (Unidentified::Token(_) | Unidentified::Conflict)) => {
            Err(refusal.reason(consumers).into())
        }
    }
}

fn now(clock: &dyn Clock) -> Times {
    Times {
        wall: clock.wall(),
        boot: clock.boot(),
    }
}
