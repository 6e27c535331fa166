use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::{error::Unspecified, hmac, rand::SystemRandom};
use leasehold_model::Fingerprint;
use leasehold_secret::{Expose as _, Secret};

/// The secret fields of one generation, all from one answer of the provider.
///
/// A room that does not import `leasehold-secret` can carry this and drop it, and cannot read it.
#[derive(Default)]
pub struct Material {
    fields: BTreeMap<Box<str>, Secret>,
}

impl Material {
    /// Adds a field, or replaces the one of that name.
    pub fn insert(&mut self, name: impl Into<Box<str>>, value: Secret) {
        self.fields.insert(name.into(), value);
    }

    /// Returns the field of that name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Secret> {
        self.fields.get(name)
    }

    /// Returns the names of the fields, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(AsRef::as_ref)
    }

    /// Returns the keyed digest that identifies this material in logs and records.
    #[must_use]
    pub fn fingerprint(&self, key: &FingerprintKey) -> Fingerprint {
        let mut context = hmac::Context::with_key(&key.0);
        for (name, value) in &self.fields {
            // EXPOSE: the digest is over the values; it is keyed and one-way, and only it leaves.
            let value = value.expose();
            // Lengths go first, so that no two sets of fields can run together into one input.
            for part in [name.as_bytes(), &value] {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part);
            }
        }
        let tag = context.sign();
        let mut digest = [0; 16];
        for (to, from) in digest.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        Fingerprint::new(digest)
    }
}

impl fmt::Debug for Material {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.fields.iter()).finish()
    }
}

/// The key of this process's fingerprints: random, never stored, never printed.
pub struct FingerprintKey(hmac::Key);

impl FingerprintKey {
    /// Draws a key from the system.
    ///
    /// # Errors
    ///
    /// When the system's random source fails.
    pub fn generate() -> Result<Self, RandomError> {
        hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map(Self)
            .map_err(|Unspecified| RandomError)
    }
}

/// The system's random source gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system's random source failed")]
pub struct RandomError;

impl fmt::Debug for FingerprintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FingerprintKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn material(fields: &[(&str, &str)]) -> Material {
        let mut material = Material::default();
        for (name, value) in fields {
            material.insert(*name, Secret::new(*value));
        }
        material
    }

    #[test]
    fn debug_shows_names_and_no_values() {
        let text = format!("{:?}", material(&[("password", "canary")]));
        assert!(
            text.contains("password") && !text.contains("canary"),
            "{text}"
        );
    }

    #[test]
    fn a_fingerprint_depends_on_each_field_and_on_the_key() {
        let key = FingerprintKey::generate().expect("random bytes");
        let one = material(&[("a", "bc"), ("d", "")]);
        assert_eq!(
            one.fingerprint(&key),
            material(&[("d", ""), ("a", "bc")]).fingerprint(&key),
            "the order of insertion does not matter"
        );
        assert_ne!(
            one.fingerprint(&key),
            material(&[("a", "b"), ("d", "c")]).fingerprint(&key)
        );
        assert_ne!(
            one.fingerprint(&key),
            material(&[("ab", "c"), ("d", "")]).fingerprint(&key)
        );
        let other = FingerprintKey::generate().expect("random bytes");
        assert_ne!(one.fingerprint(&key), one.fingerprint(&other));
    }
}
