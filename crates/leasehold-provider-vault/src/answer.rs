use std::time::Duration;

use leasehold_model::LeaseId;
use leasehold_provider::{Fetched, Holding, LeaseGrant, ProviderError, SessionGrant};
use serde_json::value::RawValue;

use crate::call::Call;
use crate::client::Answer;
use crate::envelope::{Auth, Envelope, Fields, Versioned};
use crate::refusal::{lost, misconfigured, unreadable};

/// Reads what a login, or the renewal of a token, was granted.
pub(crate) fn session(call: &Call, answer: &Answer) -> Result<(Auth, SessionGrant), ProviderError> {
    let envelope = open(call, answer)?;
    let capped = envelope.capped();
    let auth = envelope
        .auth
        .ok_or_else(|| lost(call, "the answer grants no token"))?;
    let grant = SessionGrant {
        ttl: Some(Duration::from_secs(auth.lease_duration)),
        renewable: auth.renewable,
        capped,
        accessor: auth.accessor(),
    };
    Ok((auth, grant))
}

/// Reads what the renewal of a lease was granted.
pub(crate) fn lease(call: &Call, answer: &Answer) -> Result<LeaseGrant, ProviderError> {
    let envelope = open(call, answer)?;
    Ok(LeaseGrant {
        ttl: Duration::from_secs(envelope.lease_duration),
        capped: envelope.capped(),
    })
}

/// Reads a credential that comes with a lease.
///
/// It is the lease id that makes it one: a value that is merely stored has a duration too.
pub(crate) fn leased(call: &Call, answer: &Answer) -> Result<Fetched, ProviderError> {
    let envelope = open(call, answer)?;
    if envelope.lease_id.is_empty() {
        // Nothing was leased, so nothing is left behind by dropping the answer.
        let detail = "the answer carries no lease: is this a stored value, to be declared with kv?";
        let mut error = misconfigured(call, detail);
        error.request_id = envelope.request_id();
        return Err(error);
    }
    let holding = Holding::Leased {
        lease_id: LeaseId::from(envelope.lease_id.as_str()),
        ttl: Duration::from_secs(envelope.lease_duration),
        renewable: envelope.renewable,
    };
    fetched(call, &envelope, envelope.data, holding)
}

/// Reads one version of a stored value.
pub(crate) fn versioned(call: &Call, answer: &Answer) -> Result<Fetched, ProviderError> {
    let envelope = open(call, answer)?;
    let versioned = envelope.data.map(Versioned::parse).transpose();
    let versioned = versioned.map_err(|error| unreadable(call, error))?;
    let Some((metadata, data)) = versioned.and_then(|it| Some((it.metadata?, it.data))) else {
        let detail = "the answer counts no versions: is the mount one of KV version 2?";
        return Err(misconfigured(call, detail));
    };
    let version = metadata.version;
    fetched(call, &envelope, data, Holding::Versioned { version })
}

pub(crate) fn open<'a>(call: &Call, answer: &'a Answer) -> Result<Envelope<'a>, ProviderError> {
    Envelope::parse(&answer.body).map_err(|error| unreadable(call, error))
}

fn fetched(
    call: &Call,
    envelope: &Envelope<'_>,
    data: Option<&RawValue>,
    holding: Holding,
) -> Result<Fetched, ProviderError> {
    let data = data.ok_or_else(|| lost(call, "the answer holds no fields"))?;
    let fields = Fields::parse(data).map_err(|error| unreadable(call, error))?;
    Ok(from_fields(envelope, fields, holding))
}

/// Puts together what was fetched from its fields and the envelope that they came in.
pub(crate) fn from_fields(envelope: &Envelope<'_>, fields: Fields, holding: Holding) -> Fetched {
    let mut warnings = envelope.warnings();
    warnings.extend(
        fields
            .left_out
            .iter()
            .map(|name| format!("field {name:?} is a list or an object and was left out")),
    );
    Fetched {
        material: fields.material,
        holding,
        request_id: envelope.request_id(),
        warnings,
    }
}

#[cfg(test)]
mod tests {
    use leasehold_model::{Failure, RequestId};
    use reqwest::StatusCode;
    use zeroize::Zeroizing;

    use super::*;
    use crate::call::Operation;
    use crate::path::VaultPath;

    fn read<T>(
        how: impl FnOnce(&Call, &Answer) -> Result<T, ProviderError>,
        operation: Operation,
        body: &str,
    ) -> Result<T, ProviderError> {
        let answer = Answer {
            status: StatusCode::OK,
            retry_after: None,
            body: Zeroizing::new(body.as_bytes().to_vec()),
        };
        how(&Call::read(operation, VaultPath::fixed("a/b")), &answer)
    }

    fn issue(body: &str) -> Result<Fetched, ProviderError> {
        read(leased, Operation::Issue, body)
    }

    #[test]
    fn a_lease_is_told_by_its_id_and_not_by_its_duration() {
        let body =
            r#"{"request_id":"r","lease_id":"","lease_duration":2764800,"data":{"a":"canary"}}"#;
        let error = issue(body).expect_err("no lease");
        assert_eq!(error.failure, Failure::Misconfigured);
        assert_eq!(error.request_id, Some(RequestId::from("r")));
        assert!(!format!("{error:?}").contains("canary"));

        let body = r#"{"lease_id":"x/1","lease_duration":60,"renewable":true,"data":{"a":"b","chain":["c"]}}"#;
        let fetched = issue(body).expect("a credential");
        let holding = Holding::Leased {
            lease_id: LeaseId::from("x/1"),
            ttl: Duration::from_secs(60),
            renewable: true,
        };
        assert_eq!(fetched.holding, holding);
        assert_eq!(fetched.material.names().collect::<Vec<_>>(), ["a"]);
        assert!(fetched.warnings.iter().any(|it| it.contains("chain")));
    }

    #[test]
    fn an_issue_that_can_not_be_read_may_have_made_a_credential() {
        for body in [
            "",
            "<html>",
            r#"{"lease_id":"x/1","data":null}"#,
            r#"{"lease_id":"x/1","data":[]}"#,
        ] {
            let error = issue(body).expect_err(body);
            assert_eq!(error.failure, Failure::MaybeIssued, "{body}");
        }
    }

    #[test]
    fn a_value_without_a_version_is_none_of_kv_version_2() {
        for body in [
            r#"{"data":{"data":{"a":"b"}}}"#,
            r#"{"data":{"a":"b"}}"#,
            r#"{"data":null}"#,
        ] {
            let error = read(versioned, Operation::Read, body).expect_err(body);
            assert_eq!(error.failure, Failure::Misconfigured, "{body}");
        }
        let body = r#"{"data":{"data":{"a":"b"},"metadata":{"version":7}}}"#;
        let fetched = read(versioned, Operation::Read, body).expect("a value");
        assert_eq!(fetched.holding, Holding::Versioned { version: 7 });
    }

    #[test]
    fn a_renewal_without_a_grant_is_none() {
        let error = read(session, Operation::RenewSession, r#"{"auth":null}"#).err();
        assert_eq!(error.map(|it| it.failure), Some(Failure::Transient));
        let body = r#"{"lease_duration":2,"warnings":["TTL value is capped accordingly"]}"#;
        let grant = read(lease, Operation::RenewLease, body).expect("a grant");
        assert!(grant.capped);
        assert_eq!(grant.ttl, Duration::from_secs(2));
    }
}
