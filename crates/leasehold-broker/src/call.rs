//! Calls to providers: one engine action in, one outcome out.

use std::sync::Arc;

use leasehold_lease::{ProviderId, SlotId};
use leasehold_model::{BootTime, Clock, GenerationNumber, LeaseId, SessionEpoch};
use leasehold_provider::{
    BoxFuture, Fetched, LeaseGrant, Provider, ProviderError, SessionGrant, Source,
};
use tokio::sync::Semaphore;

/// What a call came to.
pub(crate) enum Outcome {
    Login {
        provider: ProviderId,
        epoch: SessionEpoch,
        result: Timed<SessionGrant>,
    },
    RenewSession {
        provider: ProviderId,
        epoch: SessionEpoch,
        result: Timed<SessionGrant>,
    },
    RevokeSession {
        provider: ProviderId,
        epoch: SessionEpoch,
        result: Result<(), ProviderError>,
    },
    Fetch(Target, Timed<Fetched>),
    Renew(Target, Timed<LeaseGrant>),
    Revoke(Target, Result<(), ProviderError>),
}

/// The generation that a call is about, and the session that it was made in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) slot: SlotId,
    pub(crate) number: GenerationNumber,
    pub(crate) epoch: SessionEpoch,
}

/// A result with the time just before its request went out, from which a grant counts.
pub(crate) struct Timed<T> {
    pub(crate) t_send: BootTime,
    pub(crate) result: Result<T, ProviderError>,
}

/// Makes calls, a bounded number at a time.
///
/// Issues and lease operations have places of their own, so that a burst of one can't hold up the
/// other. Logins and session renewals never wait: all else depends on them.
#[derive(Debug)]
pub(crate) struct Caller {
    clock: Arc<dyn Clock>,
    issues: Arc<Semaphore>,
    lease_calls: Arc<Semaphore>,
}

pub(crate) type Call = BoxFuture<'static, Outcome>;

impl Caller {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            issues: Arc::new(Semaphore::new(ISSUES_IN_FLIGHT)),
            lease_calls: Arc::new(Semaphore::new(LEASE_CALLS_IN_FLIGHT)),
        }
    }

    pub(crate) fn login(
        &self,
        to: Arc<dyn Provider>,
        provider: ProviderId,
        epoch: SessionEpoch,
    ) -> Call {
        let t_send = self.clock.boot();
        Box::pin(async move {
            let result = to.login(epoch).await;
            Outcome::Login {
                provider,
                epoch,
                result: Timed { t_send, result },
            }
        })
    }

    pub(crate) fn renew_session(
        &self,
        to: Arc<dyn Provider>,
        provider: ProviderId,
        epoch: SessionEpoch,
    ) -> Call {
        let t_send = self.clock.boot();
        Box::pin(async move {
            let result = to.renew_session(epoch).await;
            Outcome::RenewSession {
                provider,
                epoch,
                result: Timed { t_send, result },
            }
        })
    }

    pub(crate) fn revoke_session(
        to: Arc<dyn Provider>,
        provider: ProviderId,
        epoch: SessionEpoch,
    ) -> Call {
        Box::pin(async move {
            let result = to.revoke_session(epoch).await;
            Outcome::RevokeSession {
                provider,
                epoch,
                result,
            }
        })
    }

    pub(crate) fn fetch(&self, to: Arc<dyn Provider>, target: Target, source: Source) -> Call {
        let (clock, places) = (Arc::clone(&self.clock), Arc::clone(&self.issues));
        Box::pin(async move {
            // The semaphore is never closed; were it, going on without a place harms nobody.
            let _place = places.acquire().await.ok();
            let t_send = clock.boot();
            let result = to.fetch(target.epoch, &source).await;
            Outcome::Fetch(target, Timed { t_send, result })
        })
    }

    pub(crate) fn renew(&self, to: Arc<dyn Provider>, target: Target, lease: LeaseId) -> Call {
        let (clock, places) = (Arc::clone(&self.clock), Arc::clone(&self.lease_calls));
        Box::pin(async move {
            let _place = places.acquire().await.ok();
            let t_send = clock.boot();
            let result = to.renew_lease(target.epoch, &lease).await;
            Outcome::Renew(target, Timed { t_send, result })
        })
    }

    pub(crate) fn revoke(&self, to: Arc<dyn Provider>, target: Target, lease: LeaseId) -> Call {
        let places = Arc::clone(&self.lease_calls);
        Box::pin(async move {
            let _place = places.acquire().await.ok();
            Outcome::Revoke(target, to.revoke_lease(target.epoch, &lease).await)
        })
    }
}

/// More at a time does not make OpenBao issue faster: it commits about 110 writes a second.
const ISSUES_IN_FLIGHT: usize = 4;
/// With 8 revocations in flight other clients' reads kept a p99 of 8 ms; revoking in bulk took it to
/// seconds.
const LEASE_CALLS_IN_FLIGHT: usize = 8;
