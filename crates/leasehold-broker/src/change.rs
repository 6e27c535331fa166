//! What is added to a running broker, and what is taken out of it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use leasehold_ledger::{Former, Ledger};
use leasehold_model::ProviderName;
use leasehold_provider::Provider;
use tokio::sync::{mpsc, oneshot};

use crate::family::{Family, FamilyLimits};
use crate::handle::Handle;
use crate::link::Link;
use crate::spec::{CredentialSpec, UnknownProvider};

/// A hold on a running broker by which credentials and providers come and go.
///
/// What is to come is drafted first, so that whoever reads by the new handles can be made ready, or
/// found impossible, before anything is asked of a provider.
pub struct Changes<P> {
    pub(crate) link: Link,
    pub(crate) requests: mpsc::Sender<Change<P>>,
    /// The number of the next family.
    pub(crate) families: Arc<AtomicUsize>,
}

/// Providers and credentials that nobody has been asked for yet.
///
/// Dropping it leaves no trace.
pub struct Draft<P> {
    link: Link,
    numbers: Arc<AtomicUsize>,
    pub(crate) providers: Vec<DraftedProvider>,
    pub(crate) credentials: Vec<DraftedCredential<P>>,
    pub(crate) families: Vec<DraftedFamily<P>>,
}

pub(crate) struct DraftedProvider {
    pub(crate) name: ProviderName,
    pub(crate) provider: Arc<dyn Provider>,
    pub(crate) anchored: bool,
}

pub(crate) struct DraftedCredential<P> {
    pub(crate) spec: CredentialSpec<P>,
    pub(crate) handle: Handle<P>,
    /// What it is derived from.
    pub(crate) parent: Option<Handle<P>>,
}

pub(crate) struct DraftedFamily<P> {
    pub(crate) spec: CredentialSpec<P>,
    pub(crate) family: Family<P>,
    /// What each of its credentials is derived from.
    pub(crate) parent: Option<Handle<P>>,
}

/// What is no longer needed.
#[derive(Debug)]
pub struct Dismissal<P> {
    /// Credentials that all requests share.
    pub handles: Vec<Handle<P>>,
    /// Credentials that each consumer has for itself.
    pub families: Vec<Family<P>>,
    /// Providers, by what they were declared with. Whatever is left of their credentials goes too.
    pub providers: Vec<Arc<dyn Provider>>,
}

/// Why a draft was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A credential names a provider that there is not. Nothing of the draft was taken.
    #[error(transparent)]
    Provider(#[from] UnknownProvider),
    /// The broker has stopped.
    #[error("the broker has stopped")]
    Stopped,
}

impl<P> Changes<P> {
    /// Begins a draft.
    #[must_use]
    pub fn draft(&self) -> Draft<P> {
        Draft {
            link: self.link.clone(),
            numbers: Arc::clone(&self.families),
            providers: Vec::new(),
            credentials: Vec::new(),
            families: Vec::new(),
        }
    }

    /// Has the broker log in to the providers of a draft and fetch its credentials. The handles serve as
    /// soon as that has succeeded.
    ///
    /// A provider takes the place of one of the same name for what is declared from now on.
    ///
    /// # Errors
    ///
    /// When a credential names a provider that there is not, and when the broker has stopped.
    pub async fn declare(&self, draft: Draft<P>) -> Result<(), ChangeError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Change::Declare { draft, answer }).await?;
        let taken = answered.await.map_err(|_gone| ChangeError::Stopped)?;
        taken.map_err(ChangeError::Provider)
    }

    /// Has the broker give back what is not needed any more, once the requests that use it have ended.
    /// Does not wait for that.
    ///
    /// # Errors
    ///
    /// When the broker has stopped.
    pub async fn dismiss(&self, dismissal: Dismissal<P>) -> Result<(), ChangeError> {
        self.ask(Change::Dismiss(dismissal)).await
    }

    /// Has the broker take over what another process of the instance has left in a ledger of its own.
    ///
    /// # Errors
    ///
    /// When the broker has stopped.
    pub async fn inherit_ledger(&self, ledger: Ledger, former: Former) -> Result<(), ChangeError> {
        self.ask(Change::Inherit(ledger, former)).await
    }

    /// Sets how long giving everything back may take at the end.
    ///
    /// # Errors
    ///
    /// When the broker has stopped.
    pub async fn give_back_within(&self, budget: Duration) -> Result<(), ChangeError> {
        self.ask(Change::GiveBackWithin(budget)).await
    }

    async fn ask(&self, change: Change<P>) -> Result<(), ChangeError> {
        let asked = self.requests.send(change).await;
        asked.map_err(|_unanswered| ChangeError::Stopped)
    }
}

impl<P> Draft<P> {
    /// Drafts a provider, as [`crate::Broker::provider`] declares one.
    pub fn provider(&mut self, name: ProviderName, provider: Arc<dyn Provider>, anchored: bool) {
        self.providers.push(DraftedProvider {
            name,
            provider,
            anchored,
        });
    }

    /// Drafts a credential and returns the hold that readers take on it.
    pub fn credential(&mut self, spec: CredentialSpec<P>) -> Handle<P> {
        self.draft(spec, None)
    }

    /// Drafts a credential that is asked for with another one, its parent: it is replaced when that has
    /// a successor, and is not served when that is not.
    pub fn derived(&mut self, spec: CredentialSpec<P>, parent: &Handle<P>) -> Handle<P> {
        self.draft(spec, Some(parent.clone()))
    }

    fn draft(&mut self, spec: CredentialSpec<P>, parent: Option<Handle<P>>) -> Handle<P> {
        let handle = Handle::new(spec.name.clone(), None, self.link.clone());
        self.credentials.push(DraftedCredential {
            spec,
            handle: handle.clone(),
            parent,
        });
        handle
    }

    /// Drafts a credential that each consumer is to have for itself, within `limits`.
    pub fn family(&mut self, spec: CredentialSpec<P>, limits: FamilyLimits) -> Family<P> {
        self.draft_family(spec, limits, None)
    }

    /// Drafts a credential that each consumer is to have for itself, each asked for with another one,
    /// their parent, as [`Draft::derived`] has it.
    pub fn derived_family(
        &mut self,
        spec: CredentialSpec<P>,
        limits: FamilyLimits,
        parent: &Handle<P>,
    ) -> Family<P> {
        self.draft_family(spec, limits, Some(parent.clone()))
    }

    fn draft_family(
        &mut self,
        spec: CredentialSpec<P>,
        limits: FamilyLimits,
        parent: Option<Handle<P>>,
    ) -> Family<P> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let family = Family::new(number, spec.name.clone(), limits, self.link.clone());
        self.families.push(DraftedFamily {
            spec,
            family: family.clone(),
            parent,
        });
        family
    }

    /// Returns the names of the providers that its credentials ask.
    pub(crate) fn asked(&self) -> impl Iterator<Item = &CredentialSpec<P>> {
        let shared = self.credentials.iter().map(|it| &it.spec);
        shared.chain(self.families.iter().map(|it| &it.spec))
    }
}

/// A change on its way to the broker.
pub(crate) enum Change<P> {
    Declare {
        draft: Draft<P>,
        answer: oneshot::Sender<Result<(), UnknownProvider>>,
    },
    Dismiss(Dismissal<P>),
    Inherit(Ledger, Former),
    GiveBackWithin(Duration),
}

impl<P> Clone for Changes<P> {
    fn clone(&self) -> Self {
        Self {
            link: self.link.clone(),
            requests: self.requests.clone(),
            families: Arc::clone(&self.families),
        }
    }
}

impl<P> fmt::Debug for Changes<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changes").finish_non_exhaustive()
    }
}

impl<P> fmt::Debug for Draft<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").finish_non_exhaustive()
    }
}
