//! What a token endpoint says yes with.

use std::time::Duration;

use leasehold_model::Failure;
use leasehold_provider::Material;
use leasehold_secret::Secret;
use serde::Deserialize;
use serde_json::Value;

/// A token as it was issued.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) material: Material,
    pub(crate) life: Duration,
}

/// Why an answer is no token that can be used. Shows none of it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("the answer is no json object with `access_token` and `token_type`")]
    Unreadable,
    #[error("the token is not of type `bearer`")]
    NotBearer,
    #[error("the token can't stand in a header")]
    Unfit,
    #[error("`expires_in` is not a number of seconds from 1 on")]
    Life,
}

impl Unusable {
    /// A token that is issued in a form that does not serve is issued so again.
    pub(crate) const fn failure(&self) -> Failure {
        match self {
            Self::Unreadable => Failure::MaybeIssued,
            Self::NotBearer | Self::Unfit | Self::Life => Failure::Misconfigured,
        }
    }
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    token_type: String,
    expires_in: Option<Value>,
}

pub(crate) fn token(body: &[u8], default_life: Duration) -> Result<Token, Unusable> {
    // A parser's own words may quote the answer.
    let answer = serde_json::from_slice(body).map_err(|_quotes| Unusable::Unreadable)?;
    let Answer {
        access_token,
        token_type,
        expires_in,
    } = answer;
    let secret = Secret::new(access_token.into_bytes());
    if !token_type.eq_ignore_ascii_case("bearer") {
        return Err(Unusable::NotBearer);
    }
    let life = match expires_in {
        None | Some(Value::Null) => default_life,
        Some(written) => seconds(&written).ok_or(Unusable::Life)?,
    };
    if !fits_a_header(&secret) {
        return Err(Unusable::Unfit);
    }
    let mut material = Material::default();
    material.insert(FIELD, secret);
    Ok(Token { material, life })
}

/// Reads a span; some servers write it as text.
fn seconds(written: &Value) -> Option<Duration> {
    let seconds = match written {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let seconds = seconds.filter(|it| *it > 0)?;
    Some(Duration::from_secs(seconds.min(LONGEST_LIFE)))
}

fn fits_a_header(token: &Secret) -> bool {
    use leasehold_secret::Expose as _;
    // EXPOSE: what would break a request's head is looked for; nothing is copied.
    let token = token.expose();
    !token.is_empty() && token.len() <= LONGEST_TOKEN && token.iter().all(u8::is_ascii_graphic)
}

/// The one field of a token credential.
const FIELD: &str = "access_token";
const LONGEST_TOKEN: usize = 16 * 1024;
/// A year: what lives longer is replaced then.
const LONGEST_LIFE: u64 = 365 * 24 * 60 * 60;

#[cfg(test)]
mod tests {
    use leasehold_secret::Expose as _;

    use super::*;

    fn read(body: &str) -> Result<Token, Unusable> {
        token(body.as_bytes(), Duration::from_secs(300))
    }

    #[test]
    fn a_bearer_token_is_read_whatever_the_case() {
        let token =
            read(r#"{"access_token":"canary","token_type":"bEARER","expires_in":60,"scope":"a"}"#)
                .expect("a token");
        assert_eq!(token.life, Duration::from_secs(60));
        let field = token.material.field("access_token").expect("the field");
        // EXPOSE: a test looks at its own value.
        assert_eq!(field.expose().as_str(), Ok("canary"));
        assert!(!format!("{token:?}").contains("canary"));
    }

    #[test]
    fn a_life_that_is_not_said_is_the_declared_one() {
        let token = read(r#"{"access_token":"a","token_type":"Bearer"}"#).expect("a token");
        assert_eq!(token.life, Duration::from_secs(300));
        let token = read(r#"{"access_token":"a","token_type":"Bearer","expires_in":"7"}"#);
        assert_eq!(token.expect("a token").life, Duration::from_secs(7));
    }

    #[test]
    fn what_is_no_token_is_refused_and_not_shown() {
        let cases = [
            ("<html>canary</html>", Unusable::Unreadable),
            (r#"{"access_token":"canary"}"#, Unusable::Unreadable),
            (r#"{"token_type":"Bearer"}"#, Unusable::Unreadable),
            (
                r#"{"access_token":"canary","access_token":"b","token_type":"Bearer"}"#,
                Unusable::Unreadable,
            ),
            (
                r#"{"access_token":"canary","token_type":"DPoP"}"#,
                Unusable::NotBearer,
            ),
            (
                r#"{"access_token":"canary\r\nx: y","token_type":"Bearer"}"#,
                Unusable::Unfit,
            ),
            (
                r#"{"access_token":"","token_type":"Bearer"}"#,
                Unusable::Unfit,
            ),
            (
                r#"{"access_token":"canary","token_type":"Bearer","expires_in":0}"#,
                Unusable::Life,
            ),
            (
                r#"{"access_token":"canary","token_type":"Bearer","expires_in":-5}"#,
                Unusable::Life,
            ),
            (
                r#"{"access_token":"canary","token_type":"Bearer","expires_in":1.5}"#,
                Unusable::Life,
            ),
        ];
        for (body, expected) in cases {
            let error = read(body).expect_err(body);
            assert_eq!(error, expected, "{body}");
            assert!(!format!("{error} {error:?}").contains("canary"));
        }
    }
}
