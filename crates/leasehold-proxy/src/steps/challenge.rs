//! What an answer asks a caller for, by RFC 6750 where a token would do.

use http::HeaderValue;
use leasehold_consumer::Consumers;
use leasehold_model::ReasonCode;

use crate::gateway::Route;

/// Returns the challenge that goes with a refusal, where one does.
pub(crate) fn challenge(
    reason: ReasonCode,
    consumers: &Consumers,
    route: Option<&Route>,
) -> Option<HeaderValue> {
    let text = match reason {
        ReasonCode::ConsumerKeyMissing
        | ReasonCode::ConsumerKeyUnknown
        | ReasonCode::ConsumerTokenMissing
        | ReasonCode::ConsumerConflict => {
            let keys = if consumers.keys_are_bearers() {
                BEARER
            } else {
                "Key realm=\"leasehold\""
            };
            // RFC 6750, section 3.1: no error where nothing was shown.
            if consumers.takes_tokens() && !consumers.keys_are_bearers() {
                return format!("{BEARER}, {keys}").parse().ok();
            }
            return Some(HeaderValue::from_static(keys));
        }
        ReasonCode::ConsumerTokenMalformed => "the token is malformed",
        ReasonCode::ConsumerTokenIssuer => "the issuer is not known",
        ReasonCode::ConsumerTokenSignature => "the signature does not hold",
        ReasonCode::ConsumerTokenExpired => "the token is not valid at this time",
        ReasonCode::ConsumerTokenAudience => "the token is for somebody else",
        ReasonCode::ConsumerTokenUnknown => "the token belongs to no consumer",
        ReasonCode::InsufficientScope => {
            let wanted = route.map(|it| it.scopes.join(" ")).unwrap_or_default();
            let text = format!("{BEARER}, error=\"insufficient_scope\", scope=\"{wanted}\"");
            return text.parse().ok();
        }
        _ => return None,
    };
    let text = format!("{BEARER}, error=\"invalid_token\", error_description=\"{text}\"");
    text.parse().ok()
}

const BEARER: &str = "Bearer realm=\"leasehold\"";

#[cfg(test)]
mod tests {
    use http::HeaderName;

    use super::*;
    use crate::steps::refuse::answer;

    #[test]
    fn every_401_and_no_other_answer_but_one_asks_for_something() {
        let consumers = Consumers::new(HeaderName::from_static("x-api-key"), []);
        for reason in ReasonCode::ALL {
            let asks = challenge(reason, &consumers, None).is_some();
            let is_401 = answer(reason).0 == 401;
            assert_eq!(
                asks,
                is_401 || reason == ReasonCode::InsufficientScope,
                "{reason}"
            );
        }
    }

    #[test]
    fn the_challenge_is_for_where_keys_are_shown() {
        let asked = |header: &'static str| {
            let consumers = Consumers::new(HeaderName::from_static(header), []);
            challenge(ReasonCode::ConsumerKeyMissing, &consumers, None).expect("a challenge")
        };
        assert_eq!(asked("authorization"), "Bearer realm=\"leasehold\"");
        assert_eq!(asked("x-api-key"), "Key realm=\"leasehold\"");
    }
}
