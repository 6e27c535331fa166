use std::fmt;

use serde::{Serialize, Serializer};

/// Why a request ended as it did, where that was not simply the upstream's answer.
///
/// One vocabulary for answers, access records, logs and metrics. A code never tells an outsider
/// what is wrong at a provider; the log does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReasonCode {
    /// The request breaks the framing or host rules of RFC 9112.
    BadRequest,
    /// The request's body is larger than it may be.
    BodyTooLarge,
    /// The request's target and headers are larger than they may be.
    HeadTooLarge,
    /// No route matches the request.
    NoRoute,
    /// The route wants a consumer key and the request has none.
    ConsumerKeyMissing,
    /// The consumer key belongs to nobody.
    ConsumerKeyUnknown,
    /// The route wants to know who calls, and the request shows nothing; a token would do.
    ConsumerTokenMissing,
    /// What was shown as a token is none, or has what is refused in tokens.
    ConsumerTokenMalformed,
    /// The token is of an issuer whose tokens are not taken there.
    ConsumerTokenIssuer,
    /// No key of the issuer has signed the token in a way that is taken.
    ConsumerTokenSignature,
    /// The token is not valid at this time.
    ConsumerTokenExpired,
    /// The token is for somebody else to read.
    ConsumerTokenAudience,
    /// The token is valid and belongs to no consumer.
    ConsumerTokenUnknown,
    /// What the request shows belongs to more than one consumer.
    ConsumerConflict,
    /// The consumer is known, and has not all of the scopes that the route wants.
    InsufficientScope,
    /// The keys of the token's issuer are not to be had: nobody can be told by a token.
    IssuerKeysUnavailable,
    /// The consumer is known and this route is not open to it.
    ConsumerNotAllowed,
    /// The caller sends more requests than a limit of the route lets it.
    RateLimited,
    /// The caller has as many requests under way as a limit of the route lets it.
    ConcurrencyLimited,
    /// The route's credential is missing, expired or refused: nothing was sent to the upstream.
    CredentialUnavailable,
    /// No credential of the upstream is for this consumer and route: nothing was sent to the upstream.
    CredentialNotChosen,
    /// Each consumer has a credential of its own there, and no more of them may have one.
    CredentialCap,
    /// No connection to any endpoint could be made.
    UpstreamUnreachable,
    /// The upstream broke off or broke HTTP before its answer was complete.
    UpstreamFailed,
    /// The upstream did not answer in time.
    UpstreamTimeout,
    /// As much goes on at the upstream as may: nothing was sent there.
    UpstreamOverloaded,
    /// The upstream sent back the credential that it was shown.
    CredentialReflected,
    /// The upstream's answer could not be looked through for the credential.
    AnswerUnreadable,
    /// The caller went away before it had the whole answer, or stopped sending its body.
    ClientAborted,
    /// Nothing was said on a WebSocket for as long as that may be.
    Idle,
    /// The gateway cut the request at the end of the time it had to drain.
    Draining,
    /// A fault of the gateway itself.
    Internal,
}

impl ReasonCode {
    /// Every code, for metrics that must exist from the start.
    pub const ALL: [Self; 32] = [
        Self::BadRequest,
        Self::BodyTooLarge,
        Self::HeadTooLarge,
        Self::NoRoute,
        Self::ConsumerKeyMissing,
        Self::ConsumerKeyUnknown,
        Self::ConsumerTokenMissing,
        Self::ConsumerTokenMalformed,
        Self::ConsumerTokenIssuer,
        Self::ConsumerTokenSignature,
        Self::ConsumerTokenExpired,
        Self::ConsumerTokenAudience,
        Self::ConsumerTokenUnknown,
        Self::ConsumerConflict,
        Self::InsufficientScope,
        Self::IssuerKeysUnavailable,
        Self::ConsumerNotAllowed,
        Self::RateLimited,
        Self::ConcurrencyLimited,
        Self::CredentialUnavailable,
        Self::CredentialNotChosen,
        Self::CredentialCap,
        Self::UpstreamUnreachable,
        Self::UpstreamFailed,
        Self::UpstreamTimeout,
        Self::UpstreamOverloaded,
        Self::CredentialReflected,
        Self::AnswerUnreadable,
        Self::ClientAborted,
        Self::Idle,
        Self::Draining,
        Self::Internal,
    ];

    /// Returns the code as it stands in answers, records, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::BodyTooLarge => "body_too_large",
            Self::HeadTooLarge => "head_too_large",
            Self::NoRoute => "no_route",
            Self::ConsumerKeyMissing => "consumer_key_missing",
            Self::ConsumerKeyUnknown => "consumer_key_unknown",
            Self::ConsumerTokenMissing => "consumer_token_missing",
            Self::ConsumerTokenMalformed => "consumer_token_malformed",
            Self::ConsumerTokenIssuer => "consumer_token_issuer",
            Self::ConsumerTokenSignature => "consumer_token_signature",
            Self::ConsumerTokenExpired => "consumer_token_expired",
            Self::ConsumerTokenAudience => "consumer_token_audience",
            Self::ConsumerTokenUnknown => "consumer_token_unknown",
            Self::ConsumerConflict => "consumer_conflict",
            Self::InsufficientScope => "insufficient_scope",
            Self::IssuerKeysUnavailable => "issuer_keys_unavailable",
            Self::ConsumerNotAllowed => "consumer_not_allowed",
            Self::RateLimited => "rate_limited",
            Self::ConcurrencyLimited => "concurrency_limited",
            Self::CredentialUnavailable => "credential_unavailable",
            Self::CredentialNotChosen => "credential_not_chosen",
            Self::CredentialCap => "credential_cap",
            Self::UpstreamUnreachable => "upstream_unreachable",
            Self::UpstreamFailed => "upstream_failed",
            Self::UpstreamTimeout => "upstream_timeout",
            Self::UpstreamOverloaded => "upstream_overloaded",
            Self::CredentialReflected => "credential_reflected",
            Self::AnswerUnreadable => "answer_unreadable",
            Self::ClientAborted => "client_aborted",
            Self::Idle => "idle",
            Self::Draining => "draining",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for ReasonCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
