use aws_lc_rs::digest::{Digest, SHA256, SHA512, digest};
use leasehold_model::{Encoding, Hash};

use crate::template::encode;

use super::SignError;

/// Returns the digest of what is public: bodies, and parts of them.
pub(super) fn of(hash: Hash, bytes: &[u8]) -> Digest {
    let algorithm = match hash {
        Hash::Sha256 => &SHA256,
        Hash::Sha512 => &SHA512,
    };
    digest(algorithm, bytes)
}

/// Writes bytes that are public.
pub(super) fn written(encoding: Encoding, bytes: &[u8]) -> Result<String, SignError> {
    let text = encode(encoding, bytes).map_err(|_hidden| SignError::Unfit)?;
    String::from_utf8(text.to_vec()).map_err(|_hidden| SignError::Unfit)
}
