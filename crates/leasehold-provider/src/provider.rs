use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use leasehold_model::{
    Accessor, AnchorEpoch, ConsumerName, Failure, Holder, JwtKey, JwtTerms, LeaseId, SessionEpoch,
};

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
        /// What to ask with. Without any the path is read, with some it is written to.
        parameters: Parameters,
    },
    /// A stored value whose versions the provider counts.
    Versioned {
        /// Where the values are kept: the mount of a KV version 2 engine. Empty for a provider that
        /// has no mounts.
        mount: String,
        /// The path below the mount.
        path: String,
    },
    /// An account whose password the provider changes at times of its own, such as
    /// `database/static-creds/orders`.
    Rotating {
        /// The path at the provider, mount included.
        path: String,
    },
    /// A certificate without a lease, for a key that is made in memory and never sent: `pki/sign/web`.
    Certificate {
        /// The path that signs requests, mount included.
        path: String,
        /// What to ask with: `common_name` and so on.
        parameters: Parameters,
    },
    /// A stored value whose versions nobody counts: KV version 1.
    Hinted {
        /// The path at the provider, mount included.
        path: String,
    },
    /// An access token, asked for with another credential.
    Token {
        /// What is asked for, in order, as the form of the request has it: `scope` and so on.
        form: Vec<(String, String)>,
    },
    /// A JWT, signed with a key that stays at the provider.
    Minted {
        /// What signs it.
        key: JwtKey,
        /// What it says.
        terms: Arc<JwtTerms>,
        /// For whom it is issued, where each consumer has one of its own.
        consumer: Option<ConsumerName>,
    },
}

impl Source {
    /// Tells whether asking for it makes something at the provider that lives on until it is given
    /// back or runs out.
    #[must_use]
    pub const fn is_leased(&self) -> bool {
        matches!(self, Self::Leased { .. })
    }

    /// Returns what to ask for on behalf of a consumer: the same, but for what names the consumer.
    #[must_use]
    pub fn issued_for(mut self, whom: Option<&ConsumerName>) -> Self {
        if let Self::Minted { consumer, .. } = &mut self {
            *consumer = whom.cloned();
        }
        self
    }
}

/// What a path is asked with. None of it is secret: it comes from the configuration.
pub type Parameters = BTreeMap<String, String>;

/// A system that keeps or issues credentials.
///
/// Every call names the session that it is made in. A call in an epoch that has not been logged in,
/// or has been revoked, fails with [`leasehold_model::Failure::SessionDead`]. So does a fetch whose
/// holder is dead, and a call about an anchor whose *session* is; that the anchor itself is dead is
/// said with [`leasehold_model::Failure::LeaseGone`].
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

    /// Makes an anchor: something that leases can hang on and that outlives sessions.
    ///
    /// A provider that has none need not implement the three calls about anchors; they are made only
    /// where the configuration asks for anchors.
    fn mint_anchor(
        &self,
        epoch: SessionEpoch,
        anchor: AnchorEpoch,
    ) -> BoxFuture<'_, Result<SessionGrant, ProviderError>> {
        let _ = (epoch, anchor);
        no_anchors("mint an anchor")
    }

    /// Prolongs an anchor.
    fn renew_anchor(
        &self,
        epoch: SessionEpoch,
        anchor: AnchorEpoch,
    ) -> BoxFuture<'_, Result<SessionGrant, ProviderError>> {
        let _ = (epoch, anchor);
        no_anchors("renew an anchor")
    }

    /// Ends an anchor at the provider and forgets it here. What was issued by it dies with it.
    fn revoke_anchor(
        &self,
        epoch: SessionEpoch,
        anchor: AnchorEpoch,
    ) -> BoxFuture<'_, Result<(), ProviderError>> {
        let _ = (epoch, anchor);
        no_anchors("revoke an anchor")
    }

    /// Ends a session or an anchor of an earlier process, known by its accessor alone. One that is gone
    /// already is no failure.
    fn revoke_former<'a>(
        &'a self,
        epoch: SessionEpoch,
        accessor: &'a Accessor,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        let _ = (epoch, accessor);
        no_anchors("revoke by accessor")
    }

    /// Fetches one credential: every field from one answer. A lease that comes with it hangs on
    /// `holder`.
    fn fetch<'a>(
        &'a self,
        holder: Holder,
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

fn no_anchors<T: Send + 'static>(
    operation: &'static str,
) -> BoxFuture<'static, Result<T, ProviderError>> {
    let detail = "this kind of provider has no anchors and no accessors";
    let error = ProviderError::new(operation, Failure::Misconfigured, detail);
    Box::pin(std::future::ready(Err(error)))
}
