use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::str::Utf8Error;

use zeroize::Zeroizing;

/// A secret value: wiped when dropped, never copied, compared, serialised or printed.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes ownership of a value.
    ///
    /// Copies that the caller made on the way here are wiped by [`crate::WipingAllocator`] when they
    /// are freed, not by this type.
    #[must_use]
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self(Zeroizing::new(value.into()))
    }

    /// Tells whether the value is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// The one door to plaintext.
pub trait Expose {
    /// Reveals the value for as long as the guard lives.
    ///
    /// The guard can't cross a thread or, in a future that moves between threads, an await point.
    fn expose(&self) -> Exposed<'_>;
}

impl Expose for Secret {
    fn expose(&self) -> Exposed<'_> {
        Exposed {
            value: &self.0,
            not_send: PhantomData,
        }
    }
}

/// A short-lived view of a secret value.
pub struct Exposed<'a> {
    value: &'a [u8],
    not_send: PhantomData<*const ()>,
}

impl Exposed<'_> {
    /// Returns the value as text.
    ///
    /// # Errors
    ///
    /// When the value is not UTF-8. The error tells a position and none of the bytes.
    pub fn as_str(&self) -> Result<&str, Utf8Error> {
        std::str::from_utf8(self.value)
    }
}

impl Deref for Exposed<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.value
    }
}

impl fmt::Debug for Exposed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exposed(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_prints_shows_the_value() {
        let secret = Secret::new("canary-value");
        assert_eq!(format!("{secret:?}"), "Secret(redacted)");
        assert_eq!(format!("{:?}", secret.expose()), "Exposed(redacted)");
    }

    #[test]
    fn the_door_reveals_the_value() {
        let secret = Secret::new("canary-value");
        assert_eq!(secret.expose().as_str(), Ok("canary-value"));
        assert!(Secret::new(vec![0xff]).expose().as_str().is_err());
    }
}
