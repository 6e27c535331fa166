//! What a token endpoint's refusal means for the credential.

use std::time::Duration;

use leasehold_model::Failure;
use reqwest::StatusCode;
use serde::Deserialize;

/// A refusal, by the code of its body where that is a registered one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) failure: Failure,
    /// The code. It is one of [`CODES`]: nothing that the endpoint wrote is repeated.
    pub(crate) code: Option<&'static str>,
}

pub(crate) fn refusal(status: StatusCode, retry_after: Option<Duration>, body: &[u8]) -> Refusal {
    let known = code(body);
    let failure = match (status.as_u16(), known) {
        (429, _) => Failure::SlowDown { retry_after },
        (503, _) if retry_after.is_some() => Failure::SlowDown { retry_after },
        // Whatever went wrong there may have gone wrong after the token was made.
        (500.., _) => Failure::MaybeIssued,
        // What proves the client goes to the configured address and to no other.
        (300..=399, _) => Failure::Misconfigured,
        (_, Some((_, Meaning::Passing))) => Failure::Transient,
        (_, Some((_, Meaning::Slower))) => Failure::SlowDown { retry_after },
        (_, Some((_, Meaning::Denied))) => Failure::Denied,
        (_, Some((_, Meaning::Mistaken))) => Failure::Misconfigured,
        (401 | 403, None) => Failure::Denied,
        (404 | 405 | 410 | 415, None) => Failure::Misconfigured,
        (_, None) => Failure::Transient,
    };
    Refusal {
        failure,
        code: known.map(|(code, _)| code),
    }
}

#[derive(Clone, Copy, Debug)]
enum Meaning {
    /// The client is not who it says, or may not.
    Denied,
    /// What is asked for is wrong: a person must mend it.
    Mistaken,
    Passing,
    Slower,
}

fn code(body: &[u8]) -> Option<(&'static str, Meaning)> {
    #[derive(Deserialize)]
    struct Body {
        error: String,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    let found = CODES.iter().find(|(code, _)| *code == body.error);
    found.copied()
}

/// The codes of RFC 6749 (section 5.2 and those of section 4.1.2.1 that are met here too), of RFC 8707
/// and of RFC 8628.
const CODES: &[(&str, Meaning)] = &[
    ("invalid_client", Meaning::Denied),
    ("unauthorized_client", Meaning::Denied),
    ("access_denied", Meaning::Denied),
    ("invalid_request", Meaning::Mistaken),
    ("invalid_grant", Meaning::Mistaken),
    ("unsupported_grant_type", Meaning::Mistaken),
    ("invalid_scope", Meaning::Mistaken),
    ("invalid_target", Meaning::Mistaken),
    ("server_error", Meaning::Passing),
    ("temporarily_unavailable", Meaning::Passing),
    ("slow_down", Meaning::Slower),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_means_what_the_manual_says() {
        let wait = Some(Duration::from_secs(7));
        let json = |code: &str| format!(r#"{{"error":"{code}","error_description":"canary"}}"#);
        let cases = [
            (401, None, json("invalid_client"), Failure::Denied),
            (400, None, json("unauthorized_client"), Failure::Denied),
            (400, None, json("invalid_scope"), Failure::Misconfigured),
            (400, None, json("invalid_target"), Failure::Misconfigured),
            (
                400,
                None,
                json("temporarily_unavailable"),
                Failure::Transient,
            ),
            (
                429,
                wait,
                String::new(),
                Failure::SlowDown { retry_after: wait },
            ),
            (
                503,
                wait,
                String::new(),
                Failure::SlowDown { retry_after: wait },
            ),
            (503, None, json("invalid_client"), Failure::MaybeIssued),
            (500, None, "<html>".to_owned(), Failure::MaybeIssued),
            (302, None, String::new(), Failure::Misconfigured),
            (307, None, String::new(), Failure::Misconfigured),
            (404, None, "<html>".to_owned(), Failure::Misconfigured),
            (403, None, "<html>".to_owned(), Failure::Denied),
            (400, None, json("canary"), Failure::Transient),
        ];
        for (status, retry_after, body, expected) in cases {
            let status = StatusCode::from_u16(status).expect("a status");
            let refusal = refusal(status, retry_after, body.as_bytes());
            assert_eq!(refusal.failure, expected, "{status} {body}");
            assert!(!format!("{refusal:?}").contains("canary"));
        }
    }
}
