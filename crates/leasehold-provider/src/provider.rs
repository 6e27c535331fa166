use std::fmt;
use std::pin::Pin;

use leasehold_model::{LeaseId, SessionEpoch};

use crate::{Fetched, LeaseGrant, ProviderError, SessionGrant};

/// A boxed future, so that providers can be held behind one type.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What to ask a provider for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A path whose answer comes with a lease, such as `database/creds/orders`.
    Leased {
        /// The path at the provider, mount included.
        path: String,
    },
    /// A stored value whose versions the provider counts.
    Versioned {
        /// Where the values are kept: the mount of a KV version 2 engine. Empty for a provider that
        /// has no mounts.
        mount: String,
        /// The path below the mount.
        path: String,
    },
}

/// A system that keeps or issues credentials.
///
/// Every call names the session that it is made in. A call in an epoch that has not been logged in,
/// or has been revoked, fails with [`leasehold_model::Failure::SessionDead`].
///
/// Dropping a returned future abandons the call; the provider may have carried it out all the same.
pub trait Provider: Send + Sync + fmt::Debug {
    /// Logs in and keeps what the login gave under `epoch`.
    fn login(&self, epoch: SessionEpoch) -> BoxFuture<'_, Result<SessionGrant, ProviderError>>;

    /// Prolongs a session.
    fn renew_session(
        &self,
        epoch: SessionEpoch,
    ) -> BoxFuture<'_, Result<SessionGrant, ProviderError>>;

    /// Ends a session at the provider and forgets it here. What was issued in it may die with it.
    fn revoke_session(&self, epoch: SessionEpoch) -> BoxFuture<'_, Result<(), ProviderError>>;

    /// Fetches one credential: every field from one answer.
    fn fetch<'a>(
        &'a self,
        epoch: SessionEpoch,
        source: &'a Source,
    ) -> BoxFuture<'a, Result<Fetched, ProviderError>>;

    /// Prolongs a lease.
    fn renew_lease<'a>(
        &'a self,
        epoch: SessionEpoch,
        lease: &'a LeaseId,
    ) -> BoxFuture<'a, Result<LeaseGrant, ProviderError>>;

    /// Gives a lease back and returns once its credential is dead.
    fn revoke_lease<'a>(
        &'a self,
        epoch: SessionEpoch,
        lease: &'a LeaseId,
    ) -> BoxFuture<'a, Result<(), ProviderError>>;
}
