use std::path::PathBuf;
use std::pin::Pin;

use leasehold_model::{ConsumerName, CredentialName, LeaseId};
use serde::{Deserialize, Serialize};

/// A future that a trait object returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What an operator can ask of the gateway.
///
/// Whoever implements it carries names, numbers and spans; no value of a credential fits through it.
/// An answer that nobody waits for any more must not undo what was begun.
pub trait Operations: Send + Sync {
    /// Lists every generation held.
    fn leases(&self) -> BoxFuture<'_, Result<Vec<Lease>, OperationError>>;

    /// Asks for a successor of what a credential holds, for one consumer or for all it is held for.
    fn rotate<'a>(
        &'a self,
        credential: &'a CredentialName,
        consumer: Option<&'a ConsumerName>,
    ) -> BoxFuture<'a, Result<Vec<Rotation>, OperationError>>;

    /// Ends leases at once, whoever uses them.
    fn revoke(
        &self,
        target: RevokeTarget,
    ) -> BoxFuture<'_, Result<Vec<Revocation>, OperationError>>;

    /// Reads the configuration again and puts it to work, whole or not at all.
    fn reload(&self) -> BoxFuture<'_, Result<Reload, OperationError>>;

    /// Hands the listening sockets to a successor, which waits for them at this Unix socket. When that
    /// says that it serves, this gateway ends.
    fn hand_over(&self, to: PathBuf) -> BoxFuture<'_, Result<(), OperationError>>;
}

/// What to revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RevokeTarget {
    /// One lease.
    Lease(LeaseId),
    /// What a credential holds, for one consumer or for all.
    Credential {
        /// The credential.
        credential: CredentialName,
        /// The consumer, where one is meant.
        consumer: Option<ConsumerName>,
    },
    /// Everything this instance holds.
    Instance,
}

/// Why the gateway would not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// It holds nothing of that name.
    #[error("{what}")]
    NotHeld {
        /// What it does not hold, in words for the operator.
        what: String,
    },
    /// It can't do so now.
    #[error("{why}")]
    Refused {
        /// Why, in words for the operator.
        why: String,
    },
    /// It is ending.
    #[error("the gateway gives its leases back and takes no more orders")]
    Stopped,
}

/// Everything that an instance holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leases {
    /// The instance.
    pub instance: String,
    /// What it holds, in the order of credentials and generations.
    pub leases: Vec<Lease>,
}

/// One generation that is held. Spans are milliseconds from when the answer was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Where it came from.
    pub provider: String,
    /// The credential.
    pub credential: String,
    /// The consumer, where the credential is held for each.
    pub consumer: Option<String>,
    /// The generation.
    pub generation: u64,
    /// What is becoming of it: `active`, `draining`, `revoking` or `irrevocable`.
    pub state: String,
    /// The lease, where it is held on one.
    pub lease_id: Option<String>,
    /// Its version, where the provider counts versions.
    pub version: Option<u64>,
    /// What identifies its material in logs and records.
    pub fingerprint: Option<String>,
    /// What it hangs on.
    pub hangs_on: Option<HangsOn>,
    /// What the provider granted last.
    pub granted_ms: Option<u64>,
    /// How long it may still be used: the least along the chain of what it hangs on.
    pub usable_for_ms: Option<u64>,
    /// In how long it is to be renewed or replaced.
    pub next_ms: Option<u64>,
    /// Whether an upstream refused it.
    pub suspect: bool,
}

/// What a generation hangs on: it ends with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HangsOn {
    /// `session` or `anchor`.
    pub kind: String,
    /// Its number.
    pub epoch: u64,
    /// How long it will last; absent where it has no end.
    pub lasts_ms: Option<u64>,
}

/// The rotations that were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotated {
    /// The instance.
    pub instance: String,
    /// One for each consumer that the credential is held for, or a single one.
    pub rotations: Vec<Rotation>,
}

/// How one rotation went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// The credential.
    pub credential: String,
    /// The consumer, where the credential is held for each.
    pub consumer: Option<String>,
    /// The generation that was in service before.
    pub former: Option<u64>,
    /// The generation that is in service now.
    pub generation: Option<u64>,
    /// The lease of that.
    pub lease_id: Option<String>,
    /// `rotated`, `unchanged`, `failed` or `timed_out`.
    pub outcome: String,
    /// Why it failed, in the words that logs and metrics use.
    pub cause: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// The revocations that were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// The instance.
    pub instance: String,
    /// One for each lease. What was held without a lease has none.
    pub revocations: Vec<Revocation>,
}

/// How one revocation went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// The credential.
    pub credential: String,
    /// The consumer, where the credential is held for each.
    pub consumer: Option<String>,
    /// The generation.
    pub generation: u64,
    /// The lease.
    pub lease_id: String,
    /// `revoked` where the provider confirmed it; else `expiry_claimed`, `irrevocable` or `timed_out`.
    pub outcome: String,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

/// The listening sockets have been handed over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandedOver {
    /// The instance.
    pub instance: String,
}

/// What came of a new configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The instance.
    pub instance: String,
    /// How it went.
    #[serde(flatten)]
    pub reload: Reload,
}

/// How one attempt to put a new configuration to work went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reload {
    /// `applied`, or `refused`: then nothing has changed.
    pub outcome: String,
    /// Which configuration is at work, counted from 1 at the start.
    pub generation: u64,
    /// Why it was refused: every fault with its line.
    pub report: Option<String>,
    /// How many credentials are held as before.
    pub kept: u64,
    /// Credentials that were fetched, in place of what was held of their name or for the first time.
    pub fetched: Vec<String>,
    /// Credentials that are given back, once the requests that use them have ended.
    pub given_back: Vec<String>,
    /// Those of the fetched that could not be had yet. Their routes answer 503 until they can.
    pub not_ready: Vec<NotReady>,
    /// Listeners that were not there before.
    pub listeners_opened: Vec<String>,
    /// Listeners that serve otherwise than before.
    pub listeners_changed: Vec<String>,
    /// Listeners that accept nothing any more.
    pub listeners_closed: Vec<String>,
}

/// A credential that could not be had before the configuration was put to work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotReady {
    /// The credential.
    pub credential: String,
    /// Why, in the words that logs and metrics use; `pending` while the first attempt is under way.
    pub cause: String,
}

impl Reload {
    /// Tells whether the new configuration is at work.
    #[must_use]
    pub fn is_applied(&self) -> bool {
        self.outcome == "applied"
    }
}

impl Rotation {
    /// Tells whether what is in service is what the provider has to give.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.outcome.as_str(), "rotated" | "unchanged")
    }
}

impl Revocation {
    /// Tells whether the provider confirmed it.
    #[must_use]
    pub fn is_confirmed(&self) -> bool {
        self.outcome == "revoked"
    }
}
