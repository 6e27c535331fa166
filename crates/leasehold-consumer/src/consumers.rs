use std::collections::HashMap;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};
use leasehold_model::{ConsumerName, ReasonCode, is_header_alias};

use crate::KeyDigest;

/// The consumers that there are, by their keys.
#[derive(Debug)]
pub struct Consumers {
    header: HeaderName,
    by_head: HashMap<[u8; 8], Vec<(KeyDigest, ConsumerName)>>,
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
        Self { header, by_head }
    }

    /// Returns the header that the consumers show their keys in.
    #[must_use]
    pub const fn header(&self) -> &HeaderName {
        &self.header
    }

    /// Tells who sent the request.
    ///
    /// Where the header is `Authorization`, the key is a bearer token of RFC 6750.
    ///
    /// # Errors
    ///
    /// When there is no key, or one that belongs to nobody. A request with the header more than once
    /// belongs to nobody: a server behind us might read another of its values than we do.
    pub fn identify(&self, headers: &HeaderMap) -> Result<&ConsumerName, Refusal> {
        let mut values = headers.get_all(&self.header).iter();
        let value = values.next().ok_or(Refusal::Missing)?;
        if values.next().is_some() {
            return Err(Refusal::Unknown);
        }
        let key = self.key(value.as_bytes()).ok_or(Refusal::Missing)?;
        self.find(&KeyDigest::of(key)).ok_or(Refusal::Unknown)
    }

    /// Removes the key from a head that goes on to an upstream, under every name that the upstream
    /// may take for the header's.
    pub fn strip(&self, headers: &mut HeaderMap) {
        let alias = |headers: &HeaderMap| {
            headers
                .keys()
                .find(|sent| is_header_alias(sent.as_str(), self.header.as_str()))
                .cloned()
        };
        while let Some(name) = alias(headers) {
            headers.remove(name);
        }
    }

    /// Returns the key in a header's value, where it holds one. An empty key is none: its digest is
    /// what `sha256sum` prints for a mistake.
    fn key<'a>(&self, value: &'a [u8]) -> Option<&'a [u8]> {
        let key = if self.header == AUTHORIZATION {
            bearer(value)?
        } else {
            value
        };
        (!key.is_empty()).then_some(key)
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

/// Why nobody was identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The request has no consumer key.
    #[error("the request has no consumer key")]
    Missing,
    /// The consumer key belongs to nobody.
    #[error("the consumer key belongs to nobody")]
    Unknown,
}

impl From<Refusal> for ReasonCode {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Missing => Self::ConsumerKeyMissing,
            Refusal::Unknown => Self::ConsumerKeyUnknown,
        }
    }
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
            let found = consumers.identify(&head(&[("x-consumer-key", key)]));
            assert_eq!(found.map(ConsumerName::as_str), Ok(name));
        }
    }

    #[test]
    fn no_key_and_a_wrong_key_are_told_apart() {
        let consumers = consumers("x-consumer-key");
        let refusal = |sent: &[(&'static str, &str)]| consumers.identify(&head(sent)).err();
        assert_eq!(refusal(&[]), Some(Refusal::Missing));
        assert_eq!(refusal(&[("x-consumer-key", "")]), Some(Refusal::Missing));
        assert_eq!(refusal(&[("x-consumer-key", "k")]), Some(Refusal::Unknown));
        assert_eq!(refusal(&[("x-consumer-key", "K1")]), Some(Refusal::Unknown));
        assert_eq!(refusal(&[("x_consumer_key", "k1")]), Some(Refusal::Missing));
    }

    #[test]
    fn the_digest_of_nothing_lets_nobody_in() {
        let keys = [(ConsumerName::from("mistake"), KeyDigest::of(b""))];
        let consumers = Consumers::new(AUTHORIZATION, keys);
        for value in ["Bearer ", "Bearer   ", "", "Bearer"] {
            let found = consumers.identify(&head(&[("authorization", value)]));
            assert_eq!(found.err(), Some(Refusal::Missing), "{value:?}");
        }
    }

    #[test]
    fn two_keys_belong_to_nobody() {
        let sent = head(&[("x-consumer-key", "k1"), ("x-consumer-key", "k1")]);
        assert_eq!(
            consumers("x-consumer-key").identify(&sent).err(),
            Some(Refusal::Unknown)
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
        let found = consumers.identify(&head(&[("key", "k1")]));
        assert_eq!(found.map(ConsumerName::as_str), Ok("right"));
    }

    #[test]
    fn authorization_takes_a_bearer_key_and_no_other_scheme() {
        let consumers = consumers("authorization");
        for value in ["Bearer k1", "bearer k1", "BEARER  k1"] {
            assert!(
                consumers
                    .identify(&head(&[("authorization", value)]))
                    .is_ok(),
                "{value}"
            );
        }
        for value in ["k1", "Basic k1", "Bearerk1"] {
            let found = consumers.identify(&head(&[("authorization", value)]));
            assert_eq!(found.err(), Some(Refusal::Missing), "{value}");
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
