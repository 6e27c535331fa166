use leasehold_model::Failure;
use leasehold_provider::ProviderError;

use crate::call::{Call, Operation};
use crate::classify::classify;
use crate::client::{Answer, NoAnswer};
use crate::envelope::{self, Envelope, Unreadable, Versioned};
use crate::said;

/// Makes the error of an answer that is a refusal.
pub(crate) fn refused(call: &Call, answer: &Answer) -> ProviderError {
    let errors = envelope::errors(&answer.body);
    let failure = classify(call.operation, answer.status, answer.retry_after, &errors);
    let absent = answer.status.as_u16() == 404 && errors.is_empty();
    let detail = match call.operation {
        _ if !absent => said::answered(answer.status, &errors),
        Operation::Read => not_readable(answer),
        Operation::ReadPlain => "there is no value at this path".to_owned(),
        Operation::ReadKey => "there is no such key".to_owned(),
        _ => "status 404: there is nothing at this path".to_owned(),
    };
    ProviderError::new(call.to_string(), failure, detail)
}

/// Makes the error of a call that no answer came back for.
pub(crate) fn unanswered(call: &Call, reason: NoAnswer) -> ProviderError {
    match reason {
        NoAnswer::NotServed(_) => {
            ProviderError::new(call.to_string(), Failure::Unreachable, reason.to_string())
        }
        // That is about this one call: another may well be served, so the provider counts as reached.
        NoAnswer::Behind(_) => {
            ProviderError::new(call.to_string(), Failure::Transient, reason.to_string())
        }
        NoAnswer::Lost(_) | NoAnswer::Unreadable(_) => {
            let mut error = lost(call, reason.to_string());
            if error.failure == Failure::Transient {
                error.failure = Failure::Unreachable;
            }
            error.caused_by(reason)
        }
    }
}

/// Makes the error of an answer that says yes in a way that can't be understood.
pub(crate) fn unreadable(call: &Call, reason: Unreadable) -> ProviderError {
    lost(call, reason.to_string())
}

/// Makes the error of a call that has perhaps been carried out, with nothing to show for it.
pub(crate) fn lost(call: &Call, detail: impl Into<String>) -> ProviderError {
    let failure = if call.operation == Operation::Issue {
        Failure::MaybeIssued
    } else {
        Failure::Transient
    };
    ProviderError::new(call.to_string(), failure, detail)
}

/// Makes the error of a call that a person must mend.
pub(crate) fn misconfigured(call: &Call, detail: impl Into<String>) -> ProviderError {
    ProviderError::new(call.to_string(), Failure::Misconfigured, detail)
}

/// Tells a deleted version, which comes with its metadata, from a path where nothing was ever put.
fn not_readable(answer: &Answer) -> String {
    let envelope = Envelope::parse(&answer.body).ok();
    let data = envelope.and_then(|envelope| envelope.data);
    let metadata = data.and_then(|data| Versioned::parse(data).ok()?.metadata);
    match metadata {
        Some(metadata) if metadata.destroyed => {
            format!("version {} was destroyed", metadata.version)
        }
        Some(metadata) => format!("version {} was deleted", metadata.version),
        None => {
            "there is no value at this path; a mount of KV version 1 answers the same".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use zeroize::Zeroizing;

    use super::*;
    use crate::path::VaultPath;

    fn of(operation: Operation, status: StatusCode, body: &str) -> ProviderError {
        let call = Call::read(operation, VaultPath::fixed("kv/data/app"));
        let answer = Answer {
            status,
            retry_after: None,
            body: Zeroizing::new(body.as_bytes().to_vec()),
        };
        refused(&call, &answer)
    }

    #[test]
    fn missing_deleted_and_destroyed_are_told_apart() {
        let read = |body| of(Operation::Read, StatusCode::NOT_FOUND, body);
        let missing = read(r#"{"errors":[]}"#);
        assert!(missing.detail.contains("no value"), "{missing}");
        let deleted = read(r#"{"data":{"data":null,"metadata":{"version":2,"destroyed":false}}}"#);
        assert_eq!(
            deleted.to_string(),
            "read kv/data/app: version 2 was deleted"
        );
        let destroyed = read(r#"{"data":{"data":null,"metadata":{"version":2,"destroyed":true}}}"#);
        assert!(destroyed.detail.contains("destroyed"), "{destroyed}");
        for error in [missing, deleted, destroyed] {
            assert_eq!(error.failure, Failure::Misconfigured);
        }
    }

    #[test]
    fn a_password_in_the_error_of_a_database_stays_there() {
        let body = r#"{"errors":["1 error occurred:\n\t* ERROR: syntax error: CREATE ROLE \"v\" PASSWRD 'canary-pw' (SQLSTATE 42601)\n\n"]}"#;
        let error = of(Operation::Issue, StatusCode::INTERNAL_SERVER_ERROR, body);
        assert_eq!(error.failure, Failure::MaybeIssued);
        assert!(
            !format!("{error} {error:?}").contains("canary"),
            "{error:?}"
        );
        assert!(error.detail.contains("42601"), "{error}");
    }

    #[test]
    fn an_answer_that_is_lost_may_have_issued_and_otherwise_did_no_harm() {
        let call = |operation| Call::read(operation, VaultPath::fixed("database/creds/app"));
        assert_eq!(
            lost(&call(Operation::Issue), "").failure,
            Failure::MaybeIssued
        );
        assert_eq!(lost(&call(Operation::Read), "").failure, Failure::Transient);
        let not_served = NoAnswer::NotServed("https://a:8200/ connection refused".to_owned());
        let error = unanswered(&call(Operation::Issue), not_served);
        assert_eq!(error.failure, Failure::Unreachable);
    }
}
