use std::fmt;

use serde::{Deserialize, Serialize, Serializer};

use crate::name::{LeaseId, ProviderName, RequestId};

/// Numbers the values of one credential, from 1, in the order they were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GenerationNumber(u64);

impl GenerationNumber {
    /// The first generation of a credential.
    pub const FIRST: Self = Self(1);

    /// Returns the number of the generation after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for GenerationNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Declares one number type a noun, so that a session can never be passed where an anchor is meant.
macro_rules! epochs {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(u64);

        impl $name {
            /// The first one.
            pub const FIRST: Self = Self(1);

            /// Returns the number of the one after this.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }

            /// Returns the number.
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

epochs! {
    /// Numbers our logins at one provider.
    SessionEpoch,
    /// Numbers our anchors at one provider.
    AnchorEpoch,
}

/// What a lease hangs on: it dies with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Holder {
    /// The login that issued it.
    Session(SessionEpoch),
    /// The anchor that issued it.
    Anchor(AnchorEpoch),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(epoch) => write!(f, "session {epoch}"),
            Self::Anchor(epoch) => write!(f, "anchor {epoch}"),
        }
    }
}

/// Identifies a generation's material without revealing it: a keyed digest, cut to 128 bits.
///
/// The key belongs to the process, so that nobody can test guesses against a log.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Wraps the digest.
    #[must_use]
    pub const fn new(digest: [u8; 16]) -> Self {
        Self(digest)
    }

    /// Returns the digest's 32 hex digits.
    fn digits(self) -> [u8; 32] {
        // Each request's record has one: not by way of a formatter, which takes several times as long.
        let digit = |half: u8| {
            if half < 10 {
                b'0' + half
            } else {
                b'a' + half - 10
            }
        };
        let mut digits = [0; 32];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 0xf)]);
        }
        digits
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

/// Where one generation came from: the keys that join our records with the provider's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Provenance {
    /// The provider that issued it.
    pub provider: ProviderName,
    /// The provider's own id of the call that issued it.
    pub request_id: Option<RequestId>,
    /// The lease it is held on, where the provider grants one.
    pub lease_id: Option<LeaseId>,
    /// The version at the provider, where the provider counts versions.
    pub version: Option<u64>,
    /// The keyed digest of its material.
    pub fingerprint: Fingerprint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_written_in_hex() {
        let mut digest = [0; 16];
        digest[0] = 0xab;
        let text = Fingerprint::new(digest).to_string();
        assert_eq!(text, "ab000000000000000000000000000000");
    }
}
