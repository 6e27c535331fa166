use std::time::Duration;

use leasehold_model::Failure;
use reqwest::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::call::Operation;

/// Reads out of a refusal what it means for the credential.
///
/// By the text and not by the status alone: the server answers 400 both for a lease that is gone and
/// for a database that is down, and 403 both for a dead token and for a policy that forbids.
/// [`Failure::SessionDead`] is what the text suggests here; whoever asks confirms it by looking the
/// session up.
pub(crate) fn classify(
    operation: Operation,
    status: StatusCode,
    retry_after: Option<Duration>,
    errors: &[String],
) -> Failure {
    let text = Text::of(errors);
    match status.as_u16() {
        429 => Failure::SlowDown { retry_after },
        500.. => failed(operation, text),
        400..500 => refused(operation, text).unwrap_or_else(|| by_status(operation, status)),
        // Neither an answer of the API nor a refusal: something in between answered instead.
        _ => Failure::Transient,
    }
}

/// Tells whether a refusal is about the index that the request named, and about nothing else.
pub(crate) fn refuses_index(errors: &[String]) -> bool {
    Text::of(errors).starts(INDEX_UNREADABLE)
}

/// Returns the words with which a node says that it carried nothing out and another might.
pub(crate) fn cannot_serve(errors: &[String]) -> Option<&'static str> {
    let text = Text::of(errors);
    CANNOT_SERVE.iter().copied().find(|it| text.inner == *it)
}

/// Tells whether an answer says that a standby has not reached the index that it was asked for.
///
/// That has the status of a quota, which always says which path it is for; an answer that is none of
/// the server's own, such as a load balancer's, is no such word either.
pub(crate) fn lags_behind(status: StatusCode, body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<IgnoredAny>,
    }
    let errors = || serde_json::from_slice::<Errors>(body);
    status == StatusCode::TOO_MANY_REQUESTS && errors().is_ok_and(|it| it.errors.is_empty())
}

/// A fault on the server's side.
fn failed(operation: Operation, text: Text<'_>) -> Failure {
    if CANNOT_SERVE.contains(&text.inner) {
        return Failure::Unreachable;
    }
    if operation == Operation::Issue && !text.starts(DATABASE_UNREACHED) {
        return Failure::MaybeIssued;
    }
    Failure::Transient
}

/// A refusal whose text is known.
fn refused(operation: Operation, text: Text<'_>) -> Option<Failure> {
    let about_a_lease = matches!(operation, Operation::RenewLease | Operation::RevokeLease);
    if about_a_lease && LEASE_GONE.contains(&text.inner) {
        return Some(Failure::LeaseGone);
    }
    if operation.opens_a_session() && is_denial(text) {
        // No token was shown that could be dead; Kubernetes logins are refused in these words.
        return Some(Failure::Denied);
    }
    let by_accessor = matches!(
        operation,
        Operation::RenewAnchor | Operation::RevokeAnchor | Operation::RevokeFormer
    );
    if by_accessor && text.inner == ACCESSOR_UNKNOWN {
        return Some(Failure::LeaseGone);
    }
    if text.inner == DENIED {
        // Alone it is said of a token that is not known, in a list of a policy that forbids.
        return Some(if text.listed {
            Failure::Denied
        } else {
            Failure::SessionDead
        });
    }
    if text.starts(RENEW_FAILED) && NEVER_AGAIN.iter().any(|it| text.inner.contains(it)) {
        return Some(Failure::NotRenewable);
    }
    let known = STARTS.iter().find(|(start, _)| text.starts(start));
    known.map(|(_, failure)| *failure)
}

fn is_denial(text: Text<'_>) -> bool {
    text.inner == DENIED || text.starts(DENIED_AND_INVALID)
}

/// A refusal whose text is not known.
const fn by_status(operation: Operation, status: StatusCode) -> Failure {
    match status {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Failure::Misconfigured,
        StatusCode::FORBIDDEN => Failure::Denied,
        // Auth methods differ in the status that they refuse a login with, not in what it means.
        _ if operation.opens_a_session() => Failure::Denied,
        // A request that was refused for what it asks for is refused again.
        StatusCode::BAD_REQUEST
            if matches!(
                operation,
                Operation::Sign | Operation::SignToken | Operation::MintAnchor
            ) =>
        {
            Failure::Misconfigured
        }
        _ => Failure::Transient,
    }
}

/// What the server said, out of the list that it wraps one error in.
#[derive(Clone, Copy)]
struct Text<'a> {
    inner: &'a str,
    listed: bool,
}

impl<'a> Text<'a> {
    fn of(errors: &'a [String]) -> Self {
        let text = errors.first().map_or("", String::as_str).trim();
        let item = text.strip_prefix("1 error occurred:");
        let item = item.and_then(|rest| rest.trim().strip_prefix("* "));
        Self {
            inner: item.unwrap_or(text).trim(),
            listed: item.is_some(),
        }
    }

    fn starts(self, start: &str) -> bool {
        self.inner.starts_with(start)
    }
}

const DENIED: &str = "permission denied";
const DENIED_AND_INVALID: &str = "2 errors occurred:\n\t* permission denied\n\t* invalid token";
const LEASE_GONE: &[&str] = &["lease not found", "lease expired", "invalid lease"];
/// Said of a token that is gone; where it is to be revoked, OpenBao warns and does not refuse.
const ACCESSOR_UNKNOWN: &str = "invalid accessor";
const RENEW_FAILED: &str = "failed to renew entry";
const NEVER_AGAIN: &[&str] = &["could not find role", "past the max TTL"];
/// No statement has been sent, so there is no user that could have been left behind.
const DATABASE_UNREACHED: &str = "unable to start transaction: failed to connect";
const INDEX_UNREADABLE: &str = "failed to decode \"X-Vault-Index\"";
const CANNOT_SERVE: &[&str] = &[
    "Vault is sealed",
    "Vault is in standby mode",
    "local node not active but active cluster node not found",
];
const STARTS: &[(&str, Failure)] = &[
    ("lease is not renewable", Failure::NotRenewable),
    // Said bare in the last moments of a lease, and within `failed to renew entry` before.
    ("past the max TTL", Failure::NotRenewable),
    ("batch tokens cannot be renewed", Failure::NotRenewable),
    ("batch tokens cannot be revoked", Failure::Denied),
    (
        "batch tokens cannot create more tokens",
        Failure::Misconfigured,
    ),
    // The database behind the lease is out of order, or refuses: the lease is as it was.
    (RENEW_FAILED, Failure::Transient),
    ("failed to revoke entry", Failure::Transient),
    ("lease_id must be specified", Failure::Misconfigured),
    ("unknown role", Failure::Misconfigured),
    ("namespace not found", Failure::Misconfigured),
    ("no handler for route", Failure::Misconfigured),
    ("unsupported operation", Failure::Misconfigured),
    ("unsupported path", Failure::Misconfigured),
    // How Vault says of a token what OpenBao says with a bare `permission denied`.
    (DENIED_AND_INVALID, Failure::SessionDead),
];

#[cfg(test)]
mod tests {
    use Operation::{
        Issue, LogIn, MintAnchor, Read, RenewAnchor, RenewLease, RenewSession, RevokeFormer,
        RevokeLease, RevokeSession, Sign, Unwrap,
    };

    use super::*;

    /// The texts of OpenBao 2.7.2, as it sent them.
    const MEASURED: &[(Operation, u16, &str, Failure)] = &[
        (RenewLease, 400, "lease not found", Failure::LeaseGone),
        (RenewLease, 400, "lease expired", Failure::LeaseGone),
        (RenewLease, 400, "invalid lease", Failure::LeaseGone),
        (
            RenewLease,
            400,
            "lease is not renewable",
            Failure::NotRenewable,
        ),
        (
            RenewLease,
            400,
            "failed to renew entry: resp: (*logical.Response)(nil) err: failed to renew: 1 error occurred:\n\t* error during renew: could not find role with name \"r2\"\n\n",
            Failure::NotRenewable,
        ),
        (
            RenewLease,
            400,
            "failed to renew entry: resp: (*logical.Response)(nil) err: past the max TTL, cannot renew",
            Failure::NotRenewable,
        ),
        (
            RenewLease,
            400,
            "past the max TTL, cannot renew",
            Failure::NotRenewable,
        ),
        (
            RenewLease,
            400,
            "failed to renew entry: resp: (*logical.Response)(nil) err: dial tcp 127.0.0.1:5432: connect: connection refused",
            Failure::Transient,
        ),
        (
            RenewLease,
            400,
            "failed to renew entry: resp: (*logical.Response)(nil) err: ERROR: function no_such_function() does not exist (SQLSTATE 42883)",
            Failure::Transient,
        ),
        (
            RevokeLease,
            400,
            "failed to revoke entry: resp: (*logical.Response)(nil) err: connect: connection refused",
            Failure::Transient,
        ),
        (
            RenewLease,
            400,
            "lease_id must be specified",
            Failure::Misconfigured,
        ),
        (
            RenewSession,
            400,
            "batch tokens cannot be renewed",
            Failure::NotRenewable,
        ),
        (
            RevokeSession,
            400,
            "batch tokens cannot be revoked",
            Failure::Denied,
        ),
        (
            RenewAnchor,
            400,
            "1 error occurred:\n\t* invalid accessor\n\n",
            Failure::LeaseGone,
        ),
        // As Vault says it, by what is written of it.
        (RevokeFormer, 403, "invalid accessor", Failure::LeaseGone),
        (
            MintAnchor,
            400,
            "batch tokens cannot create more tokens",
            Failure::Misconfigured,
        ),
        (MintAnchor, 400, "unknown role r2", Failure::Misconfigured),
        (
            Sign,
            400,
            "common name evil.com not allowed by this role",
            Failure::Misconfigured,
        ),
        (Sign, 400, "unknown role: nope", Failure::Misconfigured),
        (Sign, 500, "internal error", Failure::Transient),
        (RenewLease, 403, "permission denied", Failure::SessionDead),
        (Issue, 403, "permission denied", Failure::SessionDead),
        (
            Issue,
            403,
            "1 error occurred:\n\t* permission denied\n\n",
            Failure::Denied,
        ),
        (
            Issue,
            403,
            "2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n",
            Failure::SessionDead,
        ),
        (LogIn, 400, "invalid role or secret ID", Failure::Denied),
        (
            LogIn,
            403,
            "service account name not authorized",
            Failure::Denied,
        ),
        (LogIn, 403, "permission denied", Failure::Denied),
        (
            Unwrap,
            400,
            "wrapping token is not valid or does not exist",
            Failure::Denied,
        ),
        (Issue, 400, "unknown role: r2", Failure::Misconfigured),
        (Read, 404, "namespace not found", Failure::Misconfigured),
        (
            Issue,
            404,
            "no handler for route \"nowhere/creds/app\". route entry not found.",
            Failure::Misconfigured,
        ),
        (
            Issue,
            429,
            "request path \"database/creds/app\": rate limit quota exceeded",
            Failure::SlowDown {
                retry_after: Some(Duration::from_secs(4)),
            },
        ),
        (Issue, 503, "Vault is sealed", Failure::Unreachable),
        (
            Issue,
            500,
            "local node not active but active cluster node not found",
            Failure::Unreachable,
        ),
        (
            Issue,
            500,
            "1 error occurred:\n\t* unable to start transaction: failed to connect to `user=baomgr database=app`: dial error: connect: connection refused\n\n",
            Failure::Transient,
        ),
        (Issue, 500, "internal error", Failure::MaybeIssued),
        (
            Issue,
            500,
            "1 error occurred:\n\t* failed to execute query: ERROR: permission denied to create role (SQLSTATE 42501)\n\n",
            Failure::MaybeIssued,
        ),
        (RenewLease, 500, "internal error", Failure::Transient),
        (LogIn, 500, "internal error", Failure::Transient),
        (RenewLease, 418, "something new", Failure::Transient),
        // Said of something else, it does not mean that a lease is gone.
        (Read, 400, "lease not found", Failure::Transient),
    ];

    #[test]
    fn each_measured_answer_means_what_the_notes_say() {
        let retry_after = Some(Duration::from_secs(4));
        for (operation, status, text, expected) in MEASURED {
            let status = StatusCode::from_u16(*status).expect("a status");
            let errors = [(*text).to_owned()];
            let failure = classify(*operation, status, retry_after, &errors);
            assert_eq!(failure, *expected, "{operation:?} {status} {text}");
        }
    }

    #[test]
    fn a_status_without_a_text_is_read_with_care() {
        let of = |operation, status: u16| {
            let status = StatusCode::from_u16(status).expect("a status");
            classify(operation, status, None, &[])
        };
        assert_eq!(of(Read, 404), Failure::Misconfigured);
        assert_eq!(of(Issue, 502), Failure::MaybeIssued);
        assert_eq!(of(Issue, 504), Failure::MaybeIssued);
        assert_eq!(of(RevokeLease, 503), Failure::Transient);
        assert_eq!(of(RenewLease, 400), Failure::Transient);
        assert_eq!(of(RenewLease, 403), Failure::Denied);
        assert_eq!(of(Read, 302), Failure::Transient);
        assert_eq!(of(Issue, 429), Failure::SlowDown { retry_after: None });
    }

    #[test]
    fn a_standby_that_lags_behind_is_told_from_a_quota() {
        let too_many = StatusCode::TOO_MANY_REQUESTS;
        assert!(lags_behind(too_many, br#"{"errors":[]}"#));
        for other in [
            r#"{"errors":["request path \"kv\": rate limit quota exceeded"]}"#,
            "{}",
            "",
            "<html>",
        ] {
            assert!(!lags_behind(too_many, other.as_bytes()), "{other}");
        }
        assert!(!lags_behind(StatusCode::NOT_FOUND, br#"{"errors":[]}"#));
    }

    #[test]
    fn only_known_words_pass_a_node_over() {
        let says = |text: &str| cannot_serve(&[text.to_owned()]);
        assert!(says("Vault is sealed").is_some());
        assert!(says("internal error").is_none());
        assert!(says("error: Vault is sealed").is_none());
        assert!(cannot_serve(&[]).is_none());
    }
}
