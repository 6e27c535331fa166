//! Calls to providers: one engine action in, one outcome out.

use std::sync::Arc;
use std::time::Duration;

use leasehold_lease::{ProviderId, SlotId};
use leasehold_model::{
    Accessor, AnchorEpoch, BootTime, Clock, Failure, GenerationNumber, Holder, LeaseId,
    SessionEpoch,
};
use leasehold_provider::{
    BoxFuture, Fetched, LeaseGrant, Provider, ProviderError, SessionGrant, Source,
};
use tokio::sync::Semaphore;

/// What a call came to.
pub(crate) enum Outcome {
    Login(Login, Timed<SessionGrant>),
    RenewSession(Login, Timed<SessionGrant>),
    RevokeSession(Login, Result<(), ProviderError>),
    MintAnchor(Login, AnchorEpoch, Timed<SessionGrant>),
    RenewAnchor(Login, AnchorEpoch, Timed<SessionGrant>),
    RevokeAnchor(Login, AnchorEpoch, Result<(), ProviderError>),
    RevokeOrphan(Login, LeaseId, Result<(), ProviderError>),
    RevokeFormer(Login, Accessor, Result<(), ProviderError>),
    Fetch(SlotId, GenerationNumber, Holder, Timed<Fetched>),
    Renew(Which, Timed<LeaseGrant>),
    Revoke(Which, Result<(), ProviderError>),
}

/// The session that a call is about, or is made in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Login {
    pub(crate) provider: ProviderId,
    pub(crate) epoch: SessionEpoch,
}

/// The generation that a call is about, and the session that it was made in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Which {
    pub(crate) slot: SlotId,
    pub(crate) number: GenerationNumber,
    pub(crate) epoch: SessionEpoch,
}

/// A result with the time just before its request went out, from which a grant counts.
pub(crate) struct Timed<T> {
    pub(crate) t_send: BootTime,
    pub(crate) result: Result<T, ProviderError>,
}

/// Makes the calls to one provider, a bounded number at a time.
///
/// Issues, renewals and revocations have places of their own, so that a burst of one can't hold up
/// another, and so has each provider. Logins and session renewals never wait: all else depends on
/// them.
#[derive(Debug)]
pub(crate) struct Caller {
    to: Arc<dyn Provider>,
    provider: ProviderId,
    clock: Arc<dyn Clock>,
    issues: Arc<Semaphore>,
    renewals: Arc<Semaphore>,
    revocations: Arc<Semaphore>,
}

pub(crate) type Call = BoxFuture<'static, Outcome>;

impl Caller {
    pub(crate) fn new(to: Arc<dyn Provider>, provider: ProviderId, clock: Arc<dyn Clock>) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self {
            to,
            provider,
            clock,
            issues: places(ISSUES_IN_FLIGHT),
            renewals: places(RENEWALS_IN_FLIGHT),
            revocations: places(REVOCATIONS_IN_FLIGHT),
        }
    }

    /// Sends no fetch from now on: those that wait for a place fail.
    pub(crate) fn stop_issuing(&self) {
        self.issues.close();
    }

    pub(crate) fn login(&self, epoch: SessionEpoch) -> Call {
        let (to, login, t_send) = self.sent(epoch);
        Box::pin(async move {
            let result = in_time("log in", Failure::Unreachable, to.login(epoch)).await;
            Outcome::Login(login, Timed { t_send, result })
        })
    }

    pub(crate) fn renew_session(&self, epoch: SessionEpoch) -> Call {
        let (to, login, t_send) = self.sent(epoch);
        Box::pin(async move {
            let renewal = to.renew_session(epoch);
            let result = in_time("renew the session", Failure::Unreachable, renewal).await;
            Outcome::RenewSession(login, Timed { t_send, result })
        })
    }

    pub(crate) fn revoke_session(&self, epoch: SessionEpoch) -> Call {
        let (to, login, _) = self.sent(epoch);
        Box::pin(async move {
            let revocation = to.revoke_session(epoch);
            let result = in_time("revoke the session", Failure::Unreachable, revocation).await;
            Outcome::RevokeSession(login, result)
        })
    }

    pub(crate) fn mint_anchor(&self, epoch: SessionEpoch, anchor: AnchorEpoch) -> Call {
        let (to, login, t_send) = self.sent(epoch);
        Box::pin(async move {
            let mint = to.mint_anchor(epoch, anchor);
            let result = in_time("mint an anchor", Failure::MaybeIssued, mint).await;
            Outcome::MintAnchor(login, anchor, Timed { t_send, result })
        })
    }

    pub(crate) fn renew_anchor(&self, epoch: SessionEpoch, anchor: AnchorEpoch) -> Call {
        let (to, login, t_send) = self.sent(epoch);
        Box::pin(async move {
            let renewal = to.renew_anchor(epoch, anchor);
            let result = in_time("renew the anchor", Failure::Unreachable, renewal).await;
            Outcome::RenewAnchor(login, anchor, Timed { t_send, result })
        })
    }

    pub(crate) fn revoke_anchor(&self, epoch: SessionEpoch, anchor: AnchorEpoch) -> Call {
        let (to, login, _) = self.sent(epoch);
        Box::pin(async move {
            let revocation = to.revoke_anchor(epoch, anchor);
            let result = in_time("revoke the anchor", Failure::Unreachable, revocation).await;
            Outcome::RevokeAnchor(login, anchor, result)
        })
    }

    pub(crate) fn revoke_orphan(&self, epoch: SessionEpoch, lease: LeaseId) -> Call {
        let (to, login, _) = self.sent(epoch);
        Box::pin(async move {
            let revocation = to.revoke_lease(epoch, &lease);
            let result = in_time("revoke the lease", Failure::Unreachable, revocation).await;
            Outcome::RevokeOrphan(login, lease, result)
        })
    }

    pub(crate) fn revoke_former(&self, epoch: SessionEpoch, accessor: Accessor) -> Call {
        let (to, login, _) = self.sent(epoch);
        Box::pin(async move {
            let revocation = to.revoke_former(epoch, &accessor);
            let result = in_time("revoke by accessor", Failure::Unreachable, revocation).await;
            Outcome::RevokeFormer(login, accessor, result)
        })
    }

    pub(crate) fn fetch(
        &self,
        slot: SlotId,
        number: GenerationNumber,
        holder: Holder,
        source: Source,
    ) -> Call {
        let (to, clock) = (Arc::clone(&self.to), Arc::clone(&self.clock));
        let places = Arc::clone(&self.issues);
        Box::pin(async move {
            let place = places.acquire().await;
            let t_send = clock.boot();
            let result = match place {
                Ok(_place) => {
                    let fetch = to.fetch(holder, &source);
                    in_time("fetch", Failure::MaybeIssued, fetch).await
                }
                Err(closed) => {
                    let detail = "not sent, as the gateway is shutting down";
                    Err(ProviderError::new("fetch", Failure::Transient, detail).caused_by(closed))
                }
            };
            Outcome::Fetch(slot, number, holder, Timed { t_send, result })
        })
    }

    pub(crate) fn renew(&self, target: Which, lease: LeaseId) -> Call {
        let (to, clock) = (Arc::clone(&self.to), Arc::clone(&self.clock));
        let places = Arc::clone(&self.renewals);
        Box::pin(async move {
            // These semaphores are never closed; were they, going on without a place harms nobody.
            let _place = places.acquire().await.ok();
            let t_send = clock.boot();
            let renewal = to.renew_lease(target.epoch, &lease);
            let result = in_time("renew the lease", Failure::Unreachable, renewal).await;
            Outcome::Renew(target, Timed { t_send, result })
        })
    }

    pub(crate) fn revoke(&self, target: Which, lease: LeaseId) -> Call {
        let to = Arc::clone(&self.to);
        let places = Arc::clone(&self.revocations);
        Box::pin(async move {
            let _place = places.acquire().await.ok();
            let revocation = to.revoke_lease(target.epoch, &lease);
            let result = in_time("revoke the lease", Failure::Unreachable, revocation).await;
            Outcome::Revoke(target, result)
        })
    }

    fn sent(&self, epoch: SessionEpoch) -> (Arc<dyn Provider>, Login, BootTime) {
        let provider = self.provider;
        let login = Login { provider, epoch };
        (Arc::clone(&self.to), login, self.clock.boot())
    }
}

/// Gives up a call that a provider never ends: its generation would wait for the outcome for ever.
async fn in_time<T>(
    operation: &str,
    failure: Failure,
    call: impl Future<Output = Result<T, ProviderError>>,
) -> Result<T, ProviderError> {
    tokio::time::timeout(LONGEST_CALL, call)
        .await
        .unwrap_or_else(|elapsed| {
            Err(
                ProviderError::new(operation, failure, "the provider does not answer")
                    .caused_by(elapsed),
            )
        })
}

/// More at a time does not make OpenBao issue faster: it commits about 110 writes a second.
const ISSUES_IN_FLIGHT: usize = 4;
const RENEWALS_IN_FLIGHT: usize = 8;
/// With 8 revocations in flight other clients' reads kept a p99 of 8 ms; revoking in bulk took it to
/// seconds.
const REVOCATIONS_IN_FLIGHT: usize = 8;
/// Longer than any limit of a provider's own.
const LONGEST_CALL: Duration = Duration::from_secs(120);
