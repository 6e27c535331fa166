use std::fmt;
use std::io::Write as _;
use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use leasehold_secret::{Expose as _, Secret, read_owner_only};
use zeroize::Zeroizing;

use crate::NativeError;
use crate::publish::{create_error, publish};

/// The key that a file's records are encrypted under.
///
/// GCM-SIV, because the nonces are random and drawn by processes that know nothing of each other: a
/// nonce drawn twice reveals that two plaintexts are equal, and nothing else.
pub(crate) struct FileKey(RandomizedNonceKey);

impl FileKey {
    /// Reads the key from a file that only its owner can read.
    pub(crate) fn load(key_file: &Path) -> Result<Self, NativeError> {
        let text = read_owner_only(key_file).map_err(|source| NativeError::ReadKey {
            key_file: key_file.to_path_buf(),
            source,
        })?;
        Self::parse(&text).ok_or_else(|| NativeError::BadKey {
            key_file: key_file.to_path_buf(),
        })
    }

    /// Reads the key from a file, which is made with a random key first where there is none.
    pub(crate) fn load_or_create(key_file: &Path) -> Result<Self, NativeError> {
        match create(key_file) {
            // One that was there already is used, and was perhaps made this moment by another
            // process that does the same.
            Ok(()) | Err(NativeError::Exists { .. }) => Self::load(key_file),
            Err(error) => Err(error),
        }
    }

    /// Encrypts; the result is the nonce, the ciphertext and the tag, in this order.
    pub(crate) fn seal(
        &self,
        context: &[u8],
        mut plaintext: Zeroizing<Vec<u8>>,
    ) -> Result<Vec<u8>, NativeError> {
        let (nonce, tag) = self
            .0
            .seal_in_place_separate_tag(Aad::from(context), &mut plaintext)
            .map_err(refused)?;
        let ciphertext = plaintext;
        let nonce: &[u8; NONCE_LEN] = nonce.as_ref();
        Ok([nonce.as_slice(), &ciphertext, tag.as_ref()].concat())
    }

    /// Decrypts what [`FileKey::seal`] made in the same context under the same key; `None` for
    /// anything else.
    pub(crate) fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut buffer = Zeroizing::new(sealed.to_vec());
        let length = self
            .0
            .open_in_place(nonce, Aad::from(context), &mut buffer)
            .ok()?
            .len();
        buffer.truncate(length);
        Some(buffer)
    }

    fn parse(text: &Secret) -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_LEN]);
        // EXPOSE: the digits are turned into the key; both copies made on the way are wiped.
        hex::decode_to_slice(&*text.expose(), key.as_mut_slice()).ok()?;
        RandomizedNonceKey::new(&AES_256_GCM_SIV, key.as_slice())
            .ok()
            .map(Self)
    }
}

impl fmt::Debug for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FileKey(redacted)")
    }
}

/// Draws random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NativeError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(refused)?;
    Ok(bytes)
}

fn create(key_file: &Path) -> Result<(), NativeError> {
    let key = Zeroizing::new(random::<KEY_LEN>()?);
    let mut digits = Zeroizing::new([0; 2 * KEY_LEN]);
    hex::encode_to_slice(key.as_slice(), digits.as_mut_slice())
        .ok()
        .ok_or(NativeError::Crypto)?;
    publish(key_file, |file| {
        file.write_all(digits.as_slice())
            .and_then(|()| file.write_all(b"\n"))
            .map_err(|source| create_error(key_file, source))
    })
}

// The library's error says nothing at all, so that nothing is lost with it.
fn refused(Unspecified: Unspecified) -> NativeError {
    NativeError::Crypto
}

const KEY_LEN: usize = 32;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use leasehold_secret::ReadError;

    use super::*;

    fn plaintext() -> Zeroizing<Vec<u8>> {
        Zeroizing::new(b"canary".to_vec())
    }

    #[test]
    fn a_created_key_is_64_digits_and_is_used_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let key_file = dir.path().join("key");
        let first = FileKey::load_or_create(&key_file).expect("a new key");
        let text = fs::read_to_string(&key_file).expect("the key file");
        assert_eq!(text.len(), 65);
        assert!(text.trim_end().bytes().all(|it| it.is_ascii_hexdigit()));
        let second = FileKey::load_or_create(&key_file).expect("the same key");
        let sealed = first.seal(b"context", plaintext()).expect("sealed");
        let opened = second.open(b"context", &sealed).expect("opened");
        assert_eq!(opened.as_slice(), b"canary");
    }

    #[test]
    fn only_the_same_context_and_the_same_bytes_open() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let key = FileKey::load_or_create(&dir.path().join("key")).expect("a key");
        let other = FileKey::load_or_create(&dir.path().join("other")).expect("a key");
        let sealed = key.seal(b"context", plaintext()).expect("sealed");
        assert!(other.open(b"context", &sealed).is_none());
        assert!(key.open(b"another", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.open(b"context", &changed).is_none(), "byte {at}");
            assert!(
                key.open(b"context", &sealed[..at]).is_none(),
                "cut to {at} bytes"
            );
        }
    }

    #[test]
    fn a_key_file_with_anything_else_is_refused_without_repeating_it() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let key_file = dir.path().join("key");
        for text in ["canary", &"g".repeat(64), &"a".repeat(63), &"a".repeat(66)] {
            fs::write(&key_file, text).expect("write");
            fs::set_permissions(&key_file, fs::Permissions::from_mode(0o600)).expect("chmod");
            let error = FileKey::load(&key_file).expect_err("not a key");
            assert!(matches!(error, NativeError::BadKey { .. }), "{error:?}");
            assert!(!format!("{error} {error:?}").contains(text));
        }
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let key_file = dir.path().join("key");
        FileKey::load_or_create(&key_file).expect("a key");
        fs::set_permissions(&key_file, fs::Permissions::from_mode(0o640)).expect("chmod");
        assert!(matches!(
            FileKey::load_or_create(&key_file),
            Err(NativeError::ReadKey {
                source: ReadError::Open { mode: 0o640, .. },
                ..
            })
        ));
    }
}
