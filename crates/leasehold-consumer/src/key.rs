use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};

/// The SHA-256 digest of a consumer key.
#[derive(Clone, Copy)]
pub struct KeyDigest(pub [u8; 32]);

impl KeyDigest {
    /// Computes the digest of a key.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(digest(&SHA256, key).as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }

    /// Returns the first 8 bytes, to look candidates up by.
    pub(crate) fn head(&self) -> [u8; 8] {
        self.0.first_chunk().copied().unwrap_or_default()
    }

    /// Compares in a time that does not depend on where the digests differ.
    pub(crate) fn matches(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl fmt::Debug for KeyDigest {
    /// Shows nothing: the key can be guessed from its digest where it is a weak one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyDigest(redacted)")
    }
}
