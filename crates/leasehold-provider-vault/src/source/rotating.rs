//! An account whose password the server changes: a static role.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use leasehold_provider::{Fetched, Holding, ProviderError};
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::answer;
use crate::call::Call;
use crate::client::Answer;
use crate::envelope::{Fields, Unreadable};
use crate::refusal::{lost, misconfigured, unreadable};

/// Reads the account, with when its password was changed last and when it is changed next; `now` is
/// the local time of day.
pub(super) fn read(
    call: &Call,
    answer: &Answer,
    now: SystemTime,
) -> Result<Fetched, ProviderError> {
    let envelope = answer::open(call, answer)?;
    let data = envelope.data;
    let data = data.ok_or_else(|| lost(call, "the answer holds no fields"))?;
    let said = serde_json::from_str(data.get());
    let said: Rotation =
        said.map_err(|error: serde_json::Error| unreadable(call, Unreadable::from(error)))?;
    let Some(last) = said.last() else {
        let detail =
            "the answer does not say when the password was changed: is this a static role?";
        return Err(misconfigured(call, detail));
    };
    let Some(next) = said.next(last, now) else {
        let detail = "the answer does not say when the password is changed next";
        return Err(misconfigured(call, detail));
    };
    let rotation = nanos(last);
    let fields = Fields::parse_without(data, ABOUT);
    let fields = fields.map_err(|error| unreadable(call, error))?;
    Ok(answer::from_fields(
        &envelope,
        fields,
        Holding::Rotating { rotation, next },
    ))
}

/// What a static role says about its changes.
#[derive(Deserialize)]
struct Rotation {
    #[serde(default)]
    last_vault_rotation: Option<String>,
    /// In seconds; absent where changes follow a schedule.
    #[serde(default)]
    rotation_period: Option<u64>,
    /// In seconds until the next change, cut to whole ones.
    #[serde(default)]
    ttl: Option<u64>,
}

impl Rotation {
    fn last(&self) -> Option<SystemTime> {
        let text = self.last_vault_rotation.as_deref()?;
        OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .map(SystemTime::from)
    }

    /// Returns how long it is to the next change.
    ///
    /// The two times give it to the nanosecond, by a local clock that may be wrong; the server's own
    /// count is right within its second, so the one is kept within the other.
    fn next(&self, last: SystemTime, now: SystemTime) -> Option<Duration> {
        let period = self.rotation_period.filter(|seconds| *seconds > 0);
        let due = period.and_then(|seconds| last.checked_add(Duration::from_secs(seconds)));
        let computed = due.map(|due| due.duration_since(now).unwrap_or_default());
        let counted = self.ttl.map(Duration::from_secs);
        match (computed, counted) {
            (Some(computed), Some(counted)) => {
                Some(computed.clamp(counted, counted.saturating_add(WITHIN_SECOND)))
            }
            (computed, counted) => counted.or(computed),
        }
    }
}

/// A change before 1970 is none: the server's zero.
fn nanos(last: SystemTime) -> u64 {
    let since = last.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

const WITHIN_SECOND: Duration = Duration::from_nanos(999_999_999);
/// What the answer says about the account and is no part of the credential: a field that counts down
/// would make each read look like a new one.
const ABOUT: &[&str] = &[
    "last_vault_rotation",
    "rotation_period",
    "rotation_schedule",
    "rotation_window",
    "ttl",
];

#[cfg(test)]
mod tests {
    use leasehold_model::Failure;
    use reqwest::StatusCode;
    use zeroize::Zeroizing;

    use super::*;
    use crate::call::Operation;
    use crate::path::VaultPath;

    /// 2026-01-01T00:00:00.5Z.
    const LAST: Duration = Duration::from_millis(1_767_225_600_500);

    fn of(said: &str, after: Duration) -> Result<Fetched, ProviderError> {
        let body = format!(
            r#"{{"request_id":"r","lease_id":"","lease_duration":0,"data":{{"username":"svc","password":"canary",{said}}}}}"#
        );
        let answer = Answer {
            status: StatusCode::OK,
            retry_after: None,
            body: Zeroizing::new(body.into_bytes()),
        };
        let path = VaultPath::fixed("database/static-creds/svc");
        let call = Call::read(Operation::ReadPlain, path);
        read(&call, &answer, UNIX_EPOCH + LAST + after)
    }

    fn next(said: &str, after: Duration) -> Duration {
        let said = format!(r#""last_vault_rotation":"2026-01-01T00:00:00.5Z",{said}"#);
        match of(&said, after).expect("an account").holding {
            Holding::Rotating { rotation, next } => {
                assert_eq!(u128::from(rotation), LAST.as_nanos());
                next
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_next_change_is_known_to_the_nanosecond_within_what_the_server_counts() {
        let seconds = Duration::from_secs;
        let exact = r#""rotation_period":30,"ttl":19"#;
        let after = Duration::from_millis(10_250);
        assert_eq!(next(exact, after), Duration::from_millis(19_750));
        // A local clock that is ten minutes off, either way, is kept within the second.
        assert_eq!(next(exact, seconds(600)), seconds(19));
        let slow = Duration::from_nanos(19_999_999_999);
        assert_eq!(next(exact, Duration::ZERO), slow);
        // In its last half second the server counts zero.
        let last = r#""rotation_period":30,"ttl":0"#;
        let after = Duration::from_millis(29_600);
        assert_eq!(next(last, after), Duration::from_millis(400));
        assert_eq!(next(last, seconds(31)), Duration::ZERO);
    }

    #[test]
    fn an_account_that_changes_by_a_schedule_goes_by_the_count() {
        let seconds = Duration::from_secs;
        let scheduled = r#""rotation_schedule":"0 0 * * SAT","ttl":7"#;
        assert_eq!(next(scheduled, seconds(3)), seconds(7));
        assert_eq!(next(r#""rotation_period":30"#, seconds(10)), seconds(20));
    }

    #[test]
    fn what_counts_down_is_no_part_of_the_credential() {
        let said = r#""last_vault_rotation":"2026-01-01T00:00:00.5Z","rotation_period":30,"ttl":3"#;
        let fetched = of(said, Duration::ZERO).expect("an account");
        let names: Vec<_> = fetched.material.names().collect();
        assert_eq!(names, ["password", "username"]);
    }

    #[test]
    fn what_does_not_say_when_it_changes_is_no_static_role() {
        for said in [
            r#""ttl":3"#,
            r#""last_vault_rotation":"yesterday","ttl":3"#,
            r#""last_vault_rotation":"2026-01-01T00:00:00.5Z""#,
        ] {
            let error = of(said, Duration::ZERO).expect_err(said);
            assert_eq!(error.failure, Failure::Misconfigured, "{said}");
            assert!(!format!("{error:?}").contains("canary"));
        }
    }
}
