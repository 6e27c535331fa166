//! A body in signed parts, as S3 takes it: each part's signature covers that of the part before.

use std::fmt;

use aws_lc_rs::hmac;
use bytes::{Bytes, BytesMut};
use leasehold_model::{Encoding, Hash};

use super::{SignError, digest};

/// Signs the parts of one body as they go by.
pub struct ChunkSigner {
    key: hmac::Key,
    /// The time and what the key is good for, on a line each.
    scope: String,
    /// The signature of the part before, or of the head.
    previous: String,
    waiting: BytesMut,
    /// How many bytes are still to come.
    left: u64,
    is_ended: bool,
}

impl ChunkSigner {
    pub(super) fn new(key: &[u8], scope: &str, seed: String, length: u64) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            scope: scope.to_owned(),
            previous: seed,
            waiting: BytesMut::new(),
            left: length,
            is_ended: false,
        }
    }

    /// Takes a part of the body, of any size; returns the signed parts that are full by it, if any.
    ///
    /// # Errors
    ///
    /// When the body is longer than was signed.
    pub fn push(&mut self, data: &[u8]) -> Result<Option<Bytes>, SignError> {
        let left = self.left.checked_sub(data.len() as u64);
        self.left = left.ok_or(SignError::NoLength)?;
        let mut signed = BytesMut::new();
        let mut rest = data;
        while !rest.is_empty() {
            let room = PART - self.waiting.len();
            let (part, after) = rest.split_at(room.min(rest.len()));
            self.waiting.extend_from_slice(part);
            rest = after;
            if self.waiting.len() == PART {
                let part = std::mem::take(&mut self.waiting);
                self.write(&part, &mut signed)?;
            }
        }
        Ok((!signed.is_empty()).then(|| signed.freeze()))
    }

    /// Returns the last parts once, when the body has ended.
    ///
    /// # Errors
    ///
    /// When the body is shorter than was signed.
    pub fn finish(&mut self) -> Result<Option<Bytes>, SignError> {
        if self.is_ended {
            return Ok(None);
        }
        if self.left > 0 {
            return Err(SignError::NoLength);
        }
        self.is_ended = true;
        let mut signed = BytesMut::new();
        let part = std::mem::take(&mut self.waiting);
        if !part.is_empty() {
            self.write(&part, &mut signed)?;
        }
        self.write(&[], &mut signed)?;
        Ok(Some(signed.freeze()))
    }

    /// Tells whether all has been handed out.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.is_ended
    }

    fn write(&mut self, part: &[u8], signed: &mut BytesMut) -> Result<(), SignError> {
        let hex = |bytes: &[u8]| digest::written(Encoding::Hex, bytes);
        let (nothing, digest) = (
            hex(digest::of(Hash::Sha256, &[]).as_ref())?,
            hex(digest::of(Hash::Sha256, part).as_ref())?,
        );
        let (scope, previous) = (&self.scope, &self.previous);
        let text = format!("{ALGORITHM}\n{scope}\n{previous}\n{nothing}\n{digest}");
        self.previous = hex(hmac::sign(&self.key, text.as_bytes()).as_ref())?;
        let head = format!("{:x}{SIGNATURE}{}\r\n", part.len(), self.previous);
        signed.reserve(head.len() + part.len() + 2);
        signed.extend_from_slice(head.as_bytes());
        signed.extend_from_slice(part);
        signed.extend_from_slice(b"\r\n");
        Ok(())
    }
}

impl fmt::Debug for ChunkSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChunkSigner").finish_non_exhaustive()
    }
}

/// Returns how long a body of that length is in signed parts.
#[must_use]
pub fn encoded_length(length: u64) -> u64 {
    let part = |size: u64| {
        let digits = u64::from((64 - size.leading_zeros()).div_ceil(4).max(1));
        digits + SIGNATURE.len() as u64 + 64 + 2 + size + 2
    };
    let (whole, rest) = (length / PART as u64, length % PART as u64);
    let last = if rest > 0 { part(rest) } else { 0 };
    whole
        .saturating_mul(part(PART as u64))
        .saturating_add(last + part(0))
}

const ALGORITHM: &str = "AWS4-HMAC-SHA256-PAYLOAD";
const SIGNATURE: &str = ";chunk-signature=";
/// S3 takes no part of less than 8 KiB but the last.
const PART: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use aws_sigv4::sign::v4::generate_signing_key;

    use super::*;

    #[test]
    fn parts_are_those_of_the_example_that_aws_publishes() {
        let at = UNIX_EPOCH + Duration::from_secs(1_369_353_600);
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        let key = generate_signing_key(secret, at, "us-east-1", "s3");
        let scope = "20130524T000000Z\n20130524/us-east-1/s3/aws4_request";
        let seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";
        let length = 66_560;
        let mut signer = ChunkSigner::new(key.as_ref(), scope, seed.to_owned(), length);
        let mut sent = Vec::new();
        for part in vec![b'a'; 66_560].chunks(1000) {
            sent.extend(signer.push(part).expect("as long").unwrap_or_default());
        }
        sent.extend(signer.finish().expect("as long").expect("the last"));
        assert_eq!(signer.finish(), Ok(None));
        assert_eq!(
            (sent.len() as u64, encoded_length(length)),
            (66_824, 66_824)
        );
        let text = String::from_utf8(sent).expect("UTF-8");
        for signature in [
            "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
            "400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
            "0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
        ] {
            assert!(text.contains(signature), "{signature}");
        }
    }

    #[test]
    fn a_body_of_any_length_is_as_long_as_was_said() {
        for length in [1, 15, 16, 65_535, 65_536, 65_537, 131_072, 200_000] {
            let mut signer = signer(length as u64);
            let mut sent = 0;
            for part in vec![b'a'; length].chunks(7919) {
                sent += signer.push(part).expect("as long").map_or(0, |it| it.len());
            }
            sent += signer.finish().expect("as long").map_or(0, |it| it.len());
            assert_eq!(sent as u64, encoded_length(length as u64), "{length}");
        }
    }

    #[test]
    fn a_body_of_another_length_is_not_signed_to_its_end() {
        let mut short = signer(3);
        assert_eq!(short.push(b"ab"), Ok(None));
        assert_eq!(short.finish(), Err(SignError::NoLength));
        assert_eq!(signer(3).push(b"abcd"), Err(SignError::NoLength));
    }

    fn signer(length: u64) -> ChunkSigner {
        ChunkSigner::new(b"key", "scope", String::new(), length)
    }
}
