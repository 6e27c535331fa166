use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::path::VaultPath;

/// One request to the server, whichever node it goes to.
pub(crate) struct Call {
    pub(crate) operation: Operation,
    pub(crate) path: VaultPath,
    /// What to send; without it the request is a read.
    pub(crate) body: Option<Bytes>,
    /// What the operation is done to, where the path does not tell.
    pub(crate) subject: Option<String>,
}

impl Call {
    pub(crate) const fn read(operation: Operation, path: VaultPath) -> Self {
        Self {
            operation,
            path,
            body: None,
            subject: None,
        }
    }

    pub(crate) const fn write(operation: Operation, path: VaultPath, body: Bytes) -> Self {
        Self {
            operation,
            path,
            body: Some(body),
            subject: None,
        }
    }

    pub(crate) fn on(mut self, subject: impl Into<String>) -> Self {
        self.subject = Some(subject.into());
        self
    }

    /// Returns the id of the lease that the call is about.
    pub(crate) fn lease(&self) -> Option<&str> {
        match self.operation {
            Operation::RenewLease | Operation::RevokeLease => self.subject.as_deref(),
            _ => None,
        }
    }
}

/// Writes what errors name the call by, such as `issue database/creds/app`.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = self.operation.verb();
        match &self.subject {
            Some(subject) => write!(f, "{verb} {subject}"),
            None => write!(f, "{verb} {}", self.path),
        }
    }
}

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    LogIn,
    LookUpWrapping,
    Unwrap,
    LookUpSession,
    RenewSession,
    RevokeSession,
    /// Reads a path whose answer comes with a lease: each call makes a credential.
    Issue,
    /// Reads a stored value.
    Read,
    RenewLease,
    RevokeLease,
    MintAnchor,
    RenewAnchor,
    RevokeAnchor,
    /// Ends a token of an earlier process.
    RevokeFormer,
    /// Has a certificate signed: each call makes one, of no use to anybody without its key.
    Sign,
    /// Reads a path whose answer is the value itself.
    ReadPlain,
    /// Reads what is public of a key.
    ReadKey,
    /// Has a token signed: nothing of it stays at the server.
    SignToken,
}

impl Operation {
    /// Returns how long the call may take, from the connection to the end of the answer.
    pub(crate) const fn timeout(self) -> Duration {
        Duration::from_secs(match self {
            Self::LookUpWrapping
            | Self::LookUpSession
            | Self::RenewSession
            | Self::RenewAnchor
            | Self::Read
            | Self::ReadPlain
            | Self::ReadKey
            | Self::SignToken
            | Self::RenewLease => 5,
            Self::LogIn | Self::Unwrap | Self::MintAnchor => 10,
            Self::Issue | Self::Sign => 15,
            // Longest, because the server answers only when the credential is dead.
            Self::RevokeSession | Self::RevokeAnchor | Self::RevokeFormer | Self::RevokeLease => 30,
        })
    }

    /// Tells whether the call is on the way to a session, and so made in none.
    pub(crate) const fn opens_a_session(self) -> bool {
        matches!(self, Self::LogIn | Self::LookUpWrapping | Self::Unwrap)
    }

    pub(crate) const fn verb(self) -> &'static str {
        match self {
            Self::LogIn => "log in at",
            Self::LookUpWrapping => "look up the wrapping token at",
            Self::Unwrap => "unwrap the secret id at",
            Self::LookUpSession => "look up the session at",
            Self::RenewSession => "renew the session at",
            Self::RevokeSession => "revoke the session at",
            Self::Issue => "issue",
            Self::Read | Self::ReadPlain => "read",
            Self::RenewLease => "renew lease",
            Self::RevokeLease => "revoke lease",
            Self::MintAnchor => "mint an anchor at",
            Self::RenewAnchor => "renew the anchor at",
            Self::RevokeAnchor => "revoke the anchor at",
            Self::RevokeFormer => "revoke a former holder at",
            Self::Sign => "sign at",
            Self::ReadKey => "read the key",
            Self::SignToken => "sign a token at",
        }
    }
}
