//! Tells who is calling.
//!
//! A consumer shows a key, of which the gateway knows only the SHA-256 digest, or a token that an issuer
//! has signed, or the certificate of its connection. [`Consumers::identify`] decides; it reads nothing and
//! has no clock. [`KeyFetcher`] keeps the issuers' keys at hand, off the data path.

mod algorithm;
mod certificate;
mod consumers;
mod fetch;
mod issuer;
mod jwks;
mod key;
#[cfg(test)]
mod mint;
mod strict;
mod token;

pub use algorithm::Algorithm;
pub use certificate::{CertificateName, ClientCertificate};
pub use consumers::{Caller, Consumers, Means, Refusal, TokenRule, strip};
pub use fetch::{FetcherError, KeyFetcher, KeySource};
pub use issuer::{Issuer, IssuerKeys};
pub use jwks::{KeySet, KeySetError};
pub use key::KeyDigest;
pub use token::{Times, TokenError, Verified, is_scope, verify};
