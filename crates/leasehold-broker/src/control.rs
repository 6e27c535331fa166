//! What operators ask of a running broker.

use std::time::Duration;

use leasehold_lease::HolderState;
use leasehold_model::{
    ConsumerName, CredentialName, Failure, Fingerprint, GenerationNumber, Holder, LeaseId,
    ProviderName,
};
use tokio::sync::{mpsc, oneshot};

/// An operator's hold on a broker: sees and ends what is held, and can't see what it is.
#[derive(Clone, Debug)]
pub struct Control {
    requests: mpsc::Sender<Request>,
}

impl Control {
    /// Lists every generation held, in the order of credentials and generations.
    ///
    /// # Errors
    ///
    /// When the broker has stopped.
    pub async fn list(&self) -> Result<Vec<LeaseView>, ControlError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::List { answer }).await?;
        answered.await.map_err(gone)
    }

    /// Lists the sessions and anchors that leases hang on.
    ///
    /// # Errors
    ///
    /// When the broker has stopped.
    pub async fn holders(&self) -> Result<Vec<HolderStatus>, ControlError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Holders { answer }).await?;
        answered.await.map_err(gone)
    }

    /// Asks for a successor of what a credential holds, and waits for up to a minute until it serves.
    ///
    /// A credential declared `per: consumer` is rotated for the named consumer, or for all it is held
    /// for.
    ///
    /// # Errors
    ///
    /// When there is no such credential, or it is not held for that consumer; when the broker has
    /// stopped.
    pub async fn rotate(
        &self,
        credential: &CredentialName,
        consumer: Option<&ConsumerName>,
    ) -> Result<Vec<Rotation>, ControlError> {
        let (answer, answered) = oneshot::channel();
        let request = Request::Rotate {
            credential: credential.clone(),
            consumer: consumer.cloned(),
            answer,
        };
        self.ask(request).await?;
        answered.await.map_err(gone)?
    }

    /// Ends leases at once, whoever uses them, and waits for up to a minute for the provider's word.
    ///
    /// What is held without a lease can't be ended: it is served on, and has no answer of its own.
    ///
    /// # Errors
    ///
    /// When there is no such lease or credential; when the broker has stopped.
    pub async fn revoke(&self, target: Target) -> Result<Vec<Revocation>, ControlError> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Revoke { target, answer }).await?;
        answered.await.map_err(gone)?
    }

    pub(crate) fn new() -> (Self, mpsc::Receiver<Request>) {
        let (requests, received) = mpsc::channel(WAITING);
        (Self { requests }, received)
    }

    async fn ask(&self, request: Request) -> Result<(), ControlError> {
        let asked = self.requests.send(request).await;
        asked.map_err(|_unanswered| ControlError::Stopped)
    }
}

/// What to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// One lease.
    Lease(LeaseId),
    /// All leases of a credential.
    Credential(CredentialName),
    /// All leases of this instance.
    Instance,
}

/// Why an operator's request was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The broker has stopped.
    #[error("the broker has stopped")]
    Stopped,
    /// No such credential is declared and used.
    #[error("no credential {credential} is held")]
    UnknownCredential {
        /// The credential.
        credential: CredentialName,
    },
    /// The credential is not held for the consumer.
    #[error("credential {credential} is not held for consumer {consumer}")]
    UnknownConsumer {
        /// The credential.
        credential: CredentialName,
        /// The consumer.
        consumer: ConsumerName,
    },
    /// This instance does not hold the lease.
    #[error("lease {lease_id} is not held by this instance")]
    UnknownLease {
        /// The lease.
        lease_id: LeaseId,
    },
}

/// One generation that is held. Spans count from when the list was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseView {
    /// Where it came from.
    pub provider: ProviderName,
    /// The credential.
    pub credential: CredentialName,
    /// The consumer, where the credential is declared `per: consumer`.
    pub consumer: Option<ConsumerName>,
    /// The generation.
    pub generation: GenerationNumber,
    /// What is becoming of it.
    pub state: LeaseState,
    /// The lease, where it is held on one.
    pub lease_id: Option<LeaseId>,
    /// Its version at the provider, where it is in service and the provider counts versions.
    pub version: Option<u64>,
    /// What identifies its material in logs and records, while it is in service.
    pub fingerprint: Option<Fingerprint>,
    /// What it hangs on.
    pub holder: Option<Holder>,
    /// What the provider granted last, counted from when it was asked.
    pub granted: Option<Duration>,
    /// How long it may still be used: the least along the chain of what it hangs on. `None` where it has
    /// no end.
    pub usable_for: Option<Duration>,
    /// How long what it hangs on will last. `None` where that has no end.
    pub holder_lasts: Option<Duration>,
    /// In how long it is to be renewed or replaced. `None` where nothing is planned.
    pub next: Option<Duration>,
    /// Whether an upstream refused it.
    pub suspect: bool,
}

/// A session or an anchor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderStatus {
    /// Where it is.
    pub provider: ProviderName,
    /// Which one.
    pub holder: Holder,
    /// Where it is in its life.
    pub state: HolderState,
    /// How long it lasts unless it is prolonged. `None` where it has no end.
    pub lasts: Option<Duration>,
}

/// What is becoming of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeaseState {
    /// It is in service.
    Active,
    /// It has a successor, and requests still use it.
    Draining,
    /// It is being revoked.
    Revoking,
    /// The provider would not revoke it; it is tried again.
    Irrevocable,
}

impl LeaseState {
    /// Returns the name that metrics and operators' answers share.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Revoking => "revoking",
            Self::Irrevocable => "irrevocable",
        }
    }
}

/// How the rotation of one slot went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The credential.
    pub credential: CredentialName,
    /// The consumer, where the credential is declared `per: consumer`.
    pub consumer: Option<ConsumerName>,
    /// The generation that was in service when the rotation was asked for.
    pub former: Option<GenerationNumber>,
    /// The generation that is in service now.
    pub generation: Option<GenerationNumber>,
    /// The lease of that.
    pub lease_id: Option<LeaseId>,
    /// What it came to.
    pub outcome: RotationOutcome,
    /// How long it took from the request to that.
    pub took: Duration,
}

/// What a rotation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotationOutcome {
    /// A successor serves.
    Rotated,
    /// The provider has nothing newer.
    Unchanged,
    /// The attempt failed; others follow by themselves.
    Failed(Failure),
    /// There was no outcome within a minute. The rotation goes on.
    TimedOut,
}

impl RotationOutcome {
    /// Returns the name that logs and operators' answers share.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rotated => "rotated",
            Self::Unchanged => "unchanged",
            Self::Failed(_) => "failed",
            Self::TimedOut => "timed_out",
        }
    }
}

/// How the revocation of one lease went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// The credential.
    pub credential: CredentialName,
    /// The consumer, where the credential is declared `per: consumer`.
    pub consumer: Option<ConsumerName>,
    /// The generation.
    pub generation: GenerationNumber,
    /// The lease.
    pub lease_id: LeaseId,
    /// What it came to.
    pub outcome: RevocationOutcome,
    /// How long it took from the request to that.
    pub took: Duration,
}

/// What a revocation came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationOutcome {
    /// The provider confirmed it.
    Revoked,
    /// The lease ran out or was found gone before that.
    ExpiryClaimed,
    /// The provider would not revoke it; it is tried again.
    Irrevocable,
    /// There was no outcome within a minute. The revocation goes on.
    TimedOut,
}

impl RevocationOutcome {
    /// Returns the name that logs and operators' answers share.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::ExpiryClaimed => "expiry_claimed",
            Self::Irrevocable => "irrevocable",
            Self::TimedOut => "timed_out",
        }
    }
}

/// A request on its way to the broker.
#[derive(Debug)]
pub(crate) enum Request {
    List {
        answer: oneshot::Sender<Vec<LeaseView>>,
    },
    Holders {
        answer: oneshot::Sender<Vec<HolderStatus>>,
    },
    Rotate {
        credential: CredentialName,
        consumer: Option<ConsumerName>,
        answer: Answer<Rotation>,
    },
    Revoke {
        target: Target,
        answer: Answer<Revocation>,
    },
}

/// Where an answer goes.
pub(crate) type Answer<T> = oneshot::Sender<Result<Vec<T>, ControlError>>;

fn gone(_unanswered: oneshot::error::RecvError) -> ControlError {
    ControlError::Stopped
}

/// Requests that may wait for the broker to take them.
const WAITING: usize = 16;
