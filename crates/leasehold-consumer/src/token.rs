//! Whether a token is what it says. No input, no output and no clock: keys and times come in as
//! arguments, and what RFC 8725 recommends is done here.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderName;
use leasehold_model::{BootTime, IssuerName};
use serde_json::{Map, Value};

use crate::algorithm::Algorithm;
use crate::issuer::{Issuer, IssuerKeys};
use crate::strict::Strict;

/// A token that is valid, and what it says.
#[derive(Debug)]
pub struct Verified {
    /// Who issued it.
    pub issuer: IssuerName,
    /// Whom it is about.
    pub subject: Option<String>,
    /// Its own id.
    pub id: Option<String>,
    /// What it lets its bearer do.
    pub scopes: Vec<String>,
    pub(crate) claims: Map<String, Value>,
}

/// Why a token is not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TokenError {
    /// It is no token, or has what is refused.
    #[error("the token is malformed")]
    Malformed,
    /// It names an issuer that is not one of those.
    #[error("the token's issuer is not known")]
    Issuer,
    /// It is signed in no way that is taken, or not by the issuer.
    #[error("the token's signature is not the issuer's")]
    Signature,
    /// It names a key that is not at hand.
    #[error("the token names a key that is not at hand")]
    UnknownKey(Arc<IssuerKeys>),
    /// There are no keys to check it with.
    #[error("there are no keys to check the token with")]
    NoKeys(Arc<IssuerKeys>),
    /// It is not valid yet, or any more.
    #[error("the token is not valid at this time")]
    Expired,
    /// It is for somebody else.
    #[error("the token is for somebody else")]
    Audience,
}

/// The points in time that a token is held against.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// The time of day.
    pub wall: SystemTime,
    /// The time on the boot clock, which keys age by.
    pub boot: BootTime,
}

/// Checks a token that came in `header`.
///
/// # Errors
///
/// When it is not valid, or can't be checked now.
pub fn verify(
    issuers: &[Issuer],
    header: &HeaderName,
    token: &str,
    now: Times,
) -> Result<Verified, TokenError> {
    let mut asked = issuers.iter().filter(|it| it.header == *header);
    let longest = asked.clone().map(|it| it.longest).max().unwrap_or(0);
    if token.len() > longest {
        return Err(TokenError::Malformed);
    }
    let parts = Parts::of(token).ok_or(TokenError::Malformed)?;
    let head = Head::read(parts.head)?;
    let claims = decoded(parts.claims).and_then(|it| Strict::read(&it));
    let claims = claims.ok_or(TokenError::Malformed)?;
    // Whom it says it is from only tells which keys it must be signed with.
    let said = text(&claims, "iss")?.ok_or(TokenError::Issuer)?;
    let issuer = asked.find(|it| it.identifier == said);
    let issuer = issuer.ok_or(TokenError::Issuer)?;
    if token.len() > issuer.longest {
        return Err(TokenError::Malformed);
    }
    check_signature(issuer, &head, &parts, now.boot)?;
    check_times(&claims.0, issuer.clock_skew, now.wall)?;
    check_audience(&claims.0, &issuer.audiences)?;
    let owned = |name| Ok::<_, TokenError>(short(text(&claims, name)?)?.map(str::to_owned));
    Ok(Verified {
        issuer: issuer.name.clone(),
        subject: owned("sub")?,
        id: owned("jti")?,
        scopes: scopes(&claims.0)?,
        claims: claims.0,
    })
}

/// The three parts of a token, still encoded.
struct Parts<'a> {
    head: &'a str,
    claims: &'a str,
    signature: &'a str,
    /// What is signed.
    message: &'a str,
}

impl<'a> Parts<'a> {
    fn of(token: &'a str) -> Option<Self> {
        let (message, signature) = token.rsplit_once('.')?;
        let (head, claims) = message.split_once('.')?;
        let parts = [head, claims, signature];
        // A token of five parts is an encrypted one.
        let whole = parts.iter().all(|it| !it.is_empty() && !it.contains('.'));
        whole.then_some(Self {
            head,
            claims,
            signature,
            message,
        })
    }
}

/// What of a token's head matters. Keys that come along in it (`jwk`, `jku`, `x5c`, `x5u`) are not
/// looked at, whatever they are.
struct Head {
    algorithm: Algorithm,
    key: Option<String>,
}

impl Head {
    fn read(encoded: &str) -> Result<Self, TokenError> {
        let read = decoded(encoded).and_then(|it| Strict::read(&it));
        let read = read.ok_or(TokenError::Malformed)?;
        // There is no extension that is understood here, so none may be critical.
        let refused = ["crit", "b64", "zip", "enc"];
        if refused.iter().any(|name| read.0.contains_key(*name)) {
            return Err(TokenError::Malformed);
        }
        if !is_type_taken(text(&read, "typ")?) {
            return Err(TokenError::Malformed);
        }
        let name = text(&read, "alg")?.ok_or(TokenError::Malformed)?;
        Ok(Self {
            algorithm: Algorithm::from_name(name).ok_or(TokenError::Signature)?,
            key: text(&read, "kid")?.map(str::to_owned),
        })
    }
}

/// Tells whether a token of that type says who calls. Others (proofs of possession, log-outs, security
/// events) may be signed by the same issuer and mean something else.
fn is_type_taken(said: Option<&str>) -> bool {
    let Some(said) = said else {
        return true;
    };
    let said = said.to_ascii_lowercase();
    let name = said.strip_prefix("application/").unwrap_or(&said);
    matches!(name, "jwt" | "at+jwt")
}

fn check_signature(
    issuer: &Issuer,
    head: &Head,
    parts: &Parts<'_>,
    now: BootTime,
) -> Result<(), TokenError> {
    if !issuer.algorithms.contains(&head.algorithm) {
        return Err(TokenError::Signature);
    }
    let keys = issuer.keys.current(now);
    let keys = keys.ok_or_else(|| TokenError::NoKeys(Arc::clone(&issuer.keys)))?;
    let key = head.key.as_deref();
    if key.is_some_and(|key| !keys.knows(key)) {
        return Err(TokenError::UnknownKey(Arc::clone(&issuer.keys)));
    }
    if !keys.verify(key, head.algorithm, parts.message, parts.signature) {
        return Err(TokenError::Signature);
    }
    Ok(())
}

fn check_times(
    claims: &Map<String, Value>,
    skew: Duration,
    now: SystemTime,
) -> Result<(), TokenError> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH);
    let now = now.map_err(|_before| TokenError::Expired)?.as_secs_f64();
    let skew = skew.as_secs_f64();
    // A token without an end is not taken.
    let end = time(claims, "exp")?.ok_or(TokenError::Malformed)?;
    let begins = [time(claims, "nbf")?, time(claims, "iat")?];
    let has_begun = begins.iter().flatten().all(|begin| now + skew >= *begin);
    if now < end + skew && has_begun {
        Ok(())
    } else {
        Err(TokenError::Expired)
    }
}

fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<f64>, TokenError> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let number = value.as_f64();
    let number = number.filter(|it| it.is_finite() && *it >= 0.0);
    number.map(Some).ok_or(TokenError::Malformed)
}

fn check_audience(claims: &Map<String, Value>, ours: &[String]) -> Result<(), TokenError> {
    let is_ours = |it: &Value| {
        it.as_str()
            .is_some_and(|it| ours.iter().any(|ours| ours == it))
    };
    let meant = match claims.get("aud") {
        Some(Value::Array(several)) if several.iter().all(Value::is_string) => {
            several.iter().any(is_ours)
        }
        Some(one @ Value::String(_)) => is_ours(one),
        None => false,
        Some(_) => return Err(TokenError::Malformed),
    };
    if meant {
        Ok(())
    } else {
        Err(TokenError::Audience)
    }
}

/// Returns what a token lets its bearer do: `scope` of RFC 8693, or `scp`, which others write.
fn scopes(claims: &Map<String, Value>) -> Result<Vec<String>, TokenError> {
    let said = claims.get("scope").or_else(|| claims.get("scp"));
    let scopes: Vec<String> = match said {
        None => Vec::new(),
        Some(Value::String(said)) => {
            let several = said.split(' ').filter(|it| !it.is_empty());
            several.map(str::to_owned).collect()
        }
        Some(Value::Array(several)) => {
            let several = several.iter().map(|it| it.as_str().map(str::to_owned));
            let several: Option<_> = several.collect();
            several.ok_or(TokenError::Malformed)?
        }
        Some(_) => return Err(TokenError::Malformed),
    };
    if scopes.iter().all(|it| is_scope(it)) {
        Ok(scopes)
    } else {
        Err(TokenError::Malformed)
    }
}

/// Tells whether a text is a scope of RFC 6749, section 3.3.
#[must_use]
pub fn is_scope(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    !text.is_empty() && text.bytes().all(fits)
}

fn decoded(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

fn text<'a>(of: &'a Strict, name: &str) -> Result<Option<&'a str>, TokenError> {
    of.text(name).map_err(|_other| TokenError::Malformed)
}

/// Refuses what is longer than OpenID Connect lets a subject be.
fn short(text: Option<&str>) -> Result<Option<&str>, TokenError> {
    match text {
        Some(text) if text.len() > LONGEST_TEXT || text.is_empty() => Err(TokenError::Malformed),
        text => Ok(text),
    }
}

const LONGEST_TEXT: usize = 255;

#[cfg(test)]
mod tests;
