use std::time::Duration;

use serde::Serialize;

/// What a provider's refusal means for the credential, whatever status it came with.
///
/// Providers classify by the text of the answer and not by its status: OpenBao answers 400 both for
/// a lease that is gone and for a database that is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// The lease is gone and its credential with it.
    LeaseGone,
    /// The lease can't be renewed; its credential lives on to its deadline.
    NotRenewable,
    /// What the provider talks to, a database say, is out of order for now; the provider answers.
    Transient,
    /// The provider itself can't be reached or can't serve for now: no call to it would fare better.
    Unreachable,
    /// The provider asks for fewer requests.
    SlowDown {
        /// The least time to wait, where the provider named one.
        retry_after: Option<Duration>,
    },
    /// The session is dead: log in again.
    SessionDead,
    /// The provider's policy forbids the call: logging in again would not help.
    Denied,
    /// What was asked for does not exist or lacks what was declared: a person must mend it.
    Misconfigured,
    /// The call failed on the provider's side after it may have created a live credential.
    MaybeIssued,
}

impl Failure {
    /// Tells whether the same call may well succeed later, with nothing changed.
    #[must_use]
    pub const fn may_pass(self) -> bool {
        match self {
            Self::Transient | Self::Unreachable | Self::SlowDown { .. } | Self::MaybeIssued => true,
            Self::LeaseGone
            | Self::NotRenewable
            | Self::SessionDead
            | Self::Denied
            | Self::Misconfigured => false,
        }
    }

    /// Returns the name that logs, metrics and the readiness report share.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LeaseGone => "lease_gone",
            Self::NotRenewable => "not_renewable",
            Self::Transient => "transient",
            Self::Unreachable => "unreachable",
            Self::SlowDown { .. } => "slow_down",
            Self::SessionDead => "session_dead",
            Self::Denied => "denied",
            Self::Misconfigured => "misconfigured",
            Self::MaybeIssued => "maybe_issued",
        }
    }
}
