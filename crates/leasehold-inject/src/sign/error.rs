/// Why a request can't be signed. It names places, and nothing that stands there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// Its body is signed, and not all of it is there.
    #[error("the body is to be signed and was not read")]
    NotWhole,
    /// Its body is signed as it goes by, and nobody knows how long it is.
    #[error("the length of the body is to be signed and is not known")]
    NoLength,
    /// It has no host.
    #[error("the request has no host")]
    NoHost,
    /// A header that is signed is not there.
    #[error("the header `{0}` is to be signed and is missing")]
    NoHeader(String),
    /// A header that is signed is not text.
    #[error("the header `{0}` is to be signed and is not text")]
    NotText(String),
    /// Its body is in the form that signed parts have, and would be in that form twice.
    #[error("the body is made of signed parts already")]
    SignedParts,
    /// What is to be written can't stand in a header.
    #[error("the signature can't stand in a header")]
    Unfit,
    /// The target can't be signed.
    #[error("the target can't be signed")]
    Target,
    /// The key signs nothing.
    #[error("the key can't sign")]
    Key,
}

impl SignError {
    /// Tells whether it is for the consumer to send another request.
    #[must_use]
    pub const fn is_of_request(&self) -> bool {
        !matches!(
            self,
            Self::NotWhole | Self::NoHost | Self::Unfit | Self::Key
        )
    }

    /// Returns what the consumer may be told.
    #[must_use]
    pub const fn public_message(&self) -> &'static str {
        match self {
            Self::NoLength => "a request that is signed in parts has a `Content-Length`",
            Self::NoHeader(_) => "a header that is to be signed is missing",
            Self::NotText(_) => "a header that is to be signed is not text",
            Self::SignedParts => "a body of signed parts can't be signed once more",
            Self::Target => "the target can't be signed",
            Self::NotWhole | Self::NoHost | Self::Unfit | Self::Key => {
                "the request can't be signed"
            }
        }
    }
}
