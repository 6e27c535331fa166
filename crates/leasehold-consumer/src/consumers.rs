use std::collections::HashMap;
use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use leasehold_model::{ConsumerName, IssuerName, ReasonCode, is_header_alias};
use serde_json::Value;

use crate::KeyDigest;
use crate::certificate::{CertificateName, ClientCertificate};
use crate::issuer::{Issuer, IssuerKeys};
use crate::token::{self, Times, TokenError, Verified};

/// The consumers that there are, by what they show.
#[derive(Debug)]
pub struct Consumers {
    by_head: HashMap<[u8; 8], Vec<(KeyDigest, ConsumerName)>>,
    issuers: Vec<Issuer>,
    tokens: Vec<TokenRule>,
    certificates: HashMap<CertificateName, Vec<ConsumerName>>,
    /// What consumers may do who show no token.
    scopes: HashMap<ConsumerName, Arc<[String]>>,
    no_scopes: Arc<[String]>,
    /// The header of the keys, then those of the tokens.
    headers: Vec<HeaderName>,
}

/// Whose a token is.
#[derive(Clone, Debug)]
pub struct TokenRule {
    /// The consumer's.
    pub consumer: ConsumerName,
    /// Where this one issued it,
    pub issuer: IssuerName,
    /// it is about this subject, where one is named,
    pub subject: Option<String>,
    /// and these claims have these texts.
    pub claims: Vec<(String, String)>,
}

impl TokenRule {
    fn is_met(&self, by: &Verified) -> bool {
        let says = |(name, text): &(String, String)| {
            by.claims.get(name).and_then(Value::as_str) == Some(text)
        };
        self.issuer == by.issuer
            && (self.subject.is_none() || self.subject == by.subject)
            && self.claims.iter().all(says)
    }
}

/// Who calls, and how they are known.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The consumer.
    pub consumer: ConsumerName,
    /// What they were told by: of several, the token, then the certificate, then the key.
    pub by: Means,
    /// What they may do.
    pub scopes: Arc<[String]>,
}

/// What a consumer was told by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Means {
    /// A key.
    Key,
    /// The certificate of the connection.
    Certificate,
    /// A token.
    Token {
        /// Who issued it.
        issuer: IssuerName,
        /// Whom it is about.
        subject: Option<String>,
        /// Its own id.
        id: Option<String>,
    },
}

impl Means {
    /// Returns the word for it, in records and for upstreams.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Certificate => "certificate",
            Self::Token { .. } => "token",
        }
    }
}

impl Consumers {
    /// Makes the list of consumers, who show their keys in `header`.
    ///
    /// A consumer may have several keys. Of two consumers with the same key the first is meant.
    pub fn new(
        header: HeaderName,
        keys: impl IntoIterator<Item = (ConsumerName, KeyDigest)>,
    ) -> Self {
        let mut by_head: HashMap<_, Vec<_>> = HashMap::new();
        for (consumer, digest) in keys {
            by_head
                .entry(digest.head())
                .or_default()
                .push((digest, consumer));
        }
        Self {
            by_head,
            issuers: Vec::new(),
            tokens: Vec::new(),
            certificates: HashMap::new(),
            scopes: HashMap::new(),
            no_scopes: Arc::from([]),
            headers: vec![header],
        }
    }

    /// Takes tokens of these issuers too, each from whom one of the rules names.
    #[must_use]
    pub fn with_tokens(mut self, issuers: Vec<Issuer>, rules: Vec<TokenRule>) -> Self {
        for issuer in &issuers {
            if !self.headers.contains(&issuer.header) {
                self.headers.push(issuer.header.clone());
            }
        }
        self.issuers = issuers;
        self.tokens = rules;
        self
    }

    /// Takes client certificates too.
    #[must_use]
    pub fn with_certificates(
        mut self,
        known: impl IntoIterator<Item = (ConsumerName, CertificateName)>,
    ) -> Self {
        for (consumer, name) in known {
            self.certificates.entry(name).or_default().push(consumer);
        }
        self
    }

    /// Says what consumers may do who show no token.
    #[must_use]
    pub fn with_scopes(
        mut self,
        scopes: impl IntoIterator<Item = (ConsumerName, Vec<String>)>,
    ) -> Self {
        let scopes = scopes.into_iter();
        self.scopes = scopes.map(|(name, all)| (name, all.into())).collect();
        self
    }

    /// Returns the headers that consumers show something in: that of the keys, then those of the tokens.
    #[must_use]
    pub fn headers(&self) -> &[HeaderName] {
        &self.headers
    }

    /// Tells whether keys are bearer tokens of RFC 6750, as far as a challenge goes.
    #[must_use]
    pub fn keys_are_bearers(&self) -> bool {
        self.headers.first() == Some(&AUTHORIZATION)
    }

    /// Tells whether tokens are taken.
    #[must_use]
    pub const fn takes_tokens(&self) -> bool {
        !self.issuers.is_empty()
    }

    /// Tells who sent the request.
    ///
    /// Where the header is `Authorization`, what it holds is a bearer token of RFC 6750. All that is
    /// shown must hold, and belong to one consumer; a certificate that belongs to nobody is not shown.
    ///
    /// # Errors
    ///
    /// When there is nothing, or something that belongs to nobody or to somebody else. A request with a
    /// header more than once belongs to nobody: a server behind us might read another of its values
    /// than we do.
    pub fn identify(
        &self,
        headers: &HeaderMap,
        certificate: Option<&ClientCertificate>,
        now: Times,
    ) -> Result<Caller, Refusal> {
        let by_key = self.by_key(headers)?;
        let by_token = self.by_token(headers, now)?;
        let by_certificate = self.by_certificate(certificate)?;
        let token = by_token.as_ref().map(|(consumer, _)| *consumer);
        let mut named = token.into_iter().chain(by_certificate).chain(by_key);
        let consumer = named.next().ok_or(Refusal::Missing)?;
        if named.any(|other| other != consumer) {
            return Err(Refusal::Conflict);
        }
        let consumer = consumer.clone();
        if let Some((_consumer, it)) = by_token {
            let by = Means::Token {
                issuer: it.issuer,
                subject: it.subject,
                id: it.id,
            };
            let scopes = it.scopes.into();
            return Ok(Caller {
                consumer,
                by,
                scopes,
            });
        }
        let scopes = self.scopes.get(&consumer).unwrap_or(&self.no_scopes);
        Ok(Caller {
            scopes: Arc::clone(scopes),
            consumer,
            by: match by_certificate {
                Some(_) => Means::Certificate,
                None => Means::Key,
            },
        })
    }

    /// Removes what consumers show from a head that goes on to an upstream, under every name that the
    /// upstream may take for one of the headers.
    pub fn strip(&self, headers: &mut HeaderMap) {
        strip(headers, &self.headers);
    }

    fn by_key(&self, headers: &HeaderMap) -> Result<Option<&ConsumerName>, Refusal> {
        let Some(header) = self.headers.first() else {
            return Ok(None);
        };
        let mut values = headers.get_all(header).iter();
        let Some(value) = values.next() else {
            return Ok(None);
        };
        if values.next().is_some() {
            return Err(Refusal::Unknown);
        }
        match shown(header, value.as_bytes()) {
            None => Ok(None),
            Some(key) => self
                .find(&KeyDigest::of(key))
                .ok_or(Refusal::Unknown)
                .map(Some),
        }
    }

    fn by_token(
        &self,
        headers: &HeaderMap,
        now: Times,
    ) -> Result<Option<(&ConsumerName, Verified)>, Refusal> {
        let mut found = None;
        for header in self.headers.iter().skip(1) {
            let mut values = headers.get_all(header).iter();
            let Some(value) = values.next() else {
                continue;
            };
            if values.next().is_some() {
                return Err(Refusal::Token(TokenError::Malformed));
            }
            let Some(token) = shown(header, value.as_bytes()) else {
                continue;
            };
            if found.is_some() {
                return Err(Refusal::Conflict);
            }
            let token = std::str::from_utf8(token).map_err(|_other| TokenError::Malformed)?;
            found = Some(token::verify(&self.issuers, header, token, now)?);
        }
        let Some(verified) = found else {
            return Ok(None);
        };
        let rules = self.tokens.iter().filter(|rule| rule.is_met(&verified));
        let consumer = only(rules.map(|rule| &rule.consumer))?;
        let consumer = consumer.ok_or(Refusal::TokenUnknown)?;
        Ok(Some((consumer, verified)))
    }

    fn by_certificate(
        &self,
        certificate: Option<&ClientCertificate>,
    ) -> Result<Option<&ConsumerName>, Refusal> {
        let Some(certificate) = certificate.filter(|_| !self.certificates.is_empty()) else {
            return Ok(None);
        };
        let names = certificate.names().iter();
        only(names.flat_map(|name| self.certificates.get(name).into_iter().flatten()))
    }

    fn find(&self, shown: &KeyDigest) -> Option<&ConsumerName> {
        // The look-up may tell, by the time it takes, whether some digest begins like that of the
        // key shown. That is no help in guessing a key: nobody can choose the beginning of a digest
        // without trying keys, and a digest tells nothing about how to come nearer to its key. Past
        // the look-up no comparison tells how far it went.
        self.by_head
            .get(&shown.head())?
            .iter()
            .find_map(|(digest, consumer)| digest.matches(shown).then_some(consumer))
    }
}

/// Removes headers from a head, under every name that a server may take for one of them.
pub fn strip(headers: &mut HeaderMap, ours: &[HeaderName]) {
    let alias = |headers: &HeaderMap| {
        let is_ours = |sent: &&HeaderName| {
            let mut ours = ours.iter();
            ours.any(|it| is_header_alias(sent.as_str(), it.as_str()))
        };
        headers.keys().find(is_ours).cloned()
    };
    while let Some(name) = alias(headers) {
        headers.remove(name);
    }
}

/// Why nobody was identified.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// The request shows nothing that tells who sent it.
    #[error("the request shows nothing that tells who sent it")]
    Missing,
    /// The consumer key belongs to nobody.
    #[error("the consumer key belongs to nobody")]
    Unknown,
    /// The token is not taken.
    #[error("the token is not taken")]
    Token(#[from] TokenError),
    /// The token is valid and belongs to nobody.
    #[error("the token belongs to nobody")]
    TokenUnknown,
    /// What is shown belongs to different consumers, or is too much.
    #[error("what the request shows belongs to more than one consumer")]
    Conflict,
}

impl Refusal {
    /// Returns the keys that may tell more once they are fetched anew.
    #[must_use]
    pub const fn keys(&self) -> Option<&Arc<IssuerKeys>> {
        match self {
            Self::Token(TokenError::UnknownKey(keys) | TokenError::NoKeys(keys)) => Some(keys),
            _ => None,
        }
    }

    /// Returns the reason; a request that shows nothing is asked for what `consumers` take.
    #[must_use]
    pub const fn reason(&self, consumers: &Consumers) -> ReasonCode {
        match self {
            Self::Missing if consumers.takes_tokens() => ReasonCode::ConsumerTokenMissing,
            Self::Missing => ReasonCode::ConsumerKeyMissing,
            Self::Unknown => ReasonCode::ConsumerKeyUnknown,
            Self::TokenUnknown => ReasonCode::ConsumerTokenUnknown,
            Self::Conflict => ReasonCode::ConsumerConflict,
            Self::Token(error) => match error {
                TokenError::Malformed => ReasonCode::ConsumerTokenMalformed,
                TokenError::Issuer => ReasonCode::ConsumerTokenIssuer,
                TokenError::Signature | TokenError::UnknownKey(_) => {
                    ReasonCode::ConsumerTokenSignature
                }
                TokenError::NoKeys(_) => ReasonCode::IssuerKeysUnavailable,
                TokenError::Expired => ReasonCode::ConsumerTokenExpired,
                TokenError::Audience => ReasonCode::ConsumerTokenAudience,
            },
        }
    }
}

/// Returns the one consumer among those that are named, where any is.
fn only<'a>(
    mut named: impl Iterator<Item = &'a ConsumerName>,
) -> Result<Option<&'a ConsumerName>, Refusal> {
    let first = named.next();
    if named.any(|other| Some(other) != first) {
        return Err(Refusal::Conflict);
    }
    Ok(first)
}

/// Returns the key or token in a header's value, where it holds one. An empty key is none: its digest is
/// what `sha256sum` prints for a mistake.
fn shown<'a>(header: &HeaderName, value: &'a [u8]) -> Option<&'a [u8]> {
    let key = if header == AUTHORIZATION {
        bearer(value)?
    } else {
        value
    };
    (!key.is_empty()).then_some(key)
}

fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, key) = value.split_at_checked(BEARER.len())?;
    scheme
        .eq_ignore_ascii_case(BEARER)
        .then(|| key.trim_ascii_start())
}

const BEARER: &[u8] = b"Bearer ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_consumer_and_each_consumer_may_have_several() {
        let consumers = consumers("x-consumer-key");
        for (key, name) in [("k1", "checkout"), ("k2", "checkout"), ("k3", "reports")] {
            let found = identify(&consumers, &head(&[("x-consumer-key", key)]));
            assert_eq!(found.as_deref(), Ok(name));
        }
    }

    #[test]
    fn no_key_and_a_wrong_key_are_told_apart() {
        let consumers = consumers("x-consumer-key");
        let refusal = |sent: &[(&'static str, &str)]| identify(&consumers, &head(sent)).err();
        assert_eq!(refusal(&[]), Some(ReasonCode::ConsumerKeyMissing));
        assert_eq!(
            refusal(&[("x-consumer-key", "")]),
            Some(ReasonCode::ConsumerKeyMissing)
        );
        assert_eq!(
            refusal(&[("x-consumer-key", "k")]),
            Some(ReasonCode::ConsumerKeyUnknown)
        );
        assert_eq!(
            refusal(&[("x-consumer-key", "K1")]),
            Some(ReasonCode::ConsumerKeyUnknown)
        );
        assert_eq!(
            refusal(&[("x_consumer_key", "k1")]),
            Some(ReasonCode::ConsumerKeyMissing)
        );
    }

    #[test]
    fn the_digest_of_nothing_lets_nobody_in() {
        let keys = [(ConsumerName::from("mistake"), KeyDigest::of(b""))];
        let consumers = Consumers::new(AUTHORIZATION, keys);
        for value in ["Bearer ", "Bearer   ", "", "Bearer"] {
            let found = identify(&consumers, &head(&[("authorization", value)]));
            assert_eq!(
                found.err(),
                Some(ReasonCode::ConsumerKeyMissing),
                "{value:?}"
            );
        }
    }

    #[test]
    fn two_keys_belong_to_nobody() {
        let sent = head(&[("x-consumer-key", "k1"), ("x-consumer-key", "k1")]);
        assert_eq!(
            identify(&consumers("x-consumer-key"), &sent).err(),
            Some(ReasonCode::ConsumerKeyUnknown)
        );
    }

    #[test]
    fn digests_that_begin_alike_are_told_apart_by_the_rest() {
        let mut near = KeyDigest::of(b"k1");
        near.0[31] ^= 1;
        let keys = [
            (ConsumerName::from("near"), near),
            (ConsumerName::from("right"), KeyDigest::of(b"k1")),
        ];
        let consumers = Consumers::new(HeaderName::from_static("key"), keys);
        let found = identify(&consumers, &head(&[("key", "k1")]));
        assert_eq!(found.as_deref(), Ok("right"));
    }

    #[test]
    fn authorization_takes_a_bearer_key_and_no_other_scheme() {
        let consumers = consumers("authorization");
        for value in ["Bearer k1", "bearer k1", "BEARER  k1"] {
            assert!(
                identify(&consumers, &head(&[("authorization", value)])).is_ok(),
                "{value}"
            );
        }
        for value in ["k1", "Basic k1", "Bearerk1"] {
            let found = identify(&consumers, &head(&[("authorization", value)]));
            assert_eq!(found.err(), Some(ReasonCode::ConsumerKeyMissing), "{value}");
        }
    }

    #[test]
    fn a_key_does_not_go_on_under_any_name() {
        let mut headers = head(&[
            ("x-consumer-key", "k1"),
            ("x-consumer-key", "k2"),
            ("x_consumer-key", "k1"),
            ("accept", "kept"),
        ]);
        consumers("x-consumer-key").strip(&mut headers);
        assert_eq!(headers.len(), 1, "{headers:?}");
    }

    #[test]
    fn the_digest_is_sha_256() {
        // FIPS 180-2, appendix B.1.
        let digest = KeyDigest::of(b"abc");
        assert_eq!(digest.0[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(format!("{digest:?}"), "KeyDigest(redacted)");
    }

    fn identify(consumers: &Consumers, headers: &HeaderMap) -> Result<String, ReasonCode> {
        let now = Times {
            wall: std::time::SystemTime::UNIX_EPOCH,
            boot: leasehold_model::BootTime::default(),
        };
        let found = consumers.identify(headers, None, now);
        let found = found.map_err(|refusal| refusal.reason(consumers))?;
        assert_eq!(found.by, Means::Key);
        Ok(found.consumer.to_string())
    }

    fn consumers(header: &'static str) -> Consumers {
        let keys = [("checkout", "k1"), ("checkout", "k2"), ("reports", "k3")];
        Consumers::new(
            HeaderName::from_static(header),
            keys.map(|(name, key)| (ConsumerName::from(name), KeyDigest::of(key.as_bytes()))),
        )
    }

    fn head(sent: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, value.parse().expect("a header value"));
        }
        headers
    }
}
