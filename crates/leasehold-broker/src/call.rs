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

use crate::book::Intent;
use crate::link::Place;

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
    Renew(Which, LeaseId, Timed<LeaseGrant>),
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
    pub(crate) place: Place,
    pub(crate) number: GenerationNumber,
    pub(crate) epoch: SessionEpoch,
}

/// A result with the time just before its request went out, from which a grant counts.
pub(crate) struct Timed<T> {
    pub(crate) t_send: BootTime,
    pub(crate) result: Result<T, ProviderError>,
}

/// Makes the calls to one provider. Whose turn it is has been decided: a call is sent at once.
#[derive(Debug)]
pub(crate) struct Caller {
    to: Arc<dyn Provider>,
    provider: ProviderId,
    clock: Arc<dyn Clock>,
}

pub(crate) type Call = BoxFuture<'static, Outcome>;

impl Caller {
    pub(crate) const fn new(
        to: Arc<dyn Provider>,
        provider: ProviderId,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            to,
            provider,
            clock,
        }
    }

    /// Tells whether it is this provider that is called.
    pub(crate) fn calls(&self, provider: &Arc<dyn Provider>) -> bool {
        Arc::ptr_eq(&self.to, provider)
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
        (slot, number): (SlotId, GenerationNumber),
        holder: Holder,
        source: Source,
        intent: Option<Intent>,
    ) -> Call {
        let (to, clock) = (Arc::clone(&self.to), Arc::clone(&self.clock));
        Box::pin(async move {
            // Nothing is asked for that could be forgotten.
            let written = match intent {
                Some(intent) => intent.await,
                None => Ok(()),
            };
            let t_send = clock.boot();
            let result = match written {
                Ok(()) => {
                    let fetch = to.fetch(holder, &source);
                    in_time("fetch", Failure::MaybeIssued, fetch).await
                }
                Err(unwritten) => Err(unwritten),
            };
            Outcome::Fetch(slot, number, holder, Timed { t_send, result })
        })
    }

    pub(crate) fn renew(&self, which: Which, lease: LeaseId) -> Call {
        let (to, _, t_send) = self.sent(which.epoch);
        Box::pin(async move {
            let renewal = to.renew_lease(which.epoch, &lease);
            let result = in_time("renew the lease", Failure::Unreachable, renewal).await;
            Outcome::Renew(which, lease, Timed { t_send, result })
        })
    }

    pub(crate) fn revoke(&self, which: Which, lease: LeaseId) -> Call {
        let (to, ..) = self.sent(which.epoch);
        Box::pin(async move {
            let revocation = to.revoke_lease(which.epoch, &lease);
            let result = in_time("revoke the lease", Failure::Unreachable, revocation).await;
            Outcome::Revoke(which, result)
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

/// Longer than any limit of a provider's own.
const LONGEST_CALL: Duration = Duration::from_secs(120);
