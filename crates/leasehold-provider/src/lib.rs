//! The seam between Leasehold and the systems that keep or issue credentials.
//!
//! A provider is programmed against the [`Provider`] trait alone. It keeps its own session material
//! (a Vault token, say) to itself, under the [`leasehold_model::SessionEpoch`] that the engine
//! numbered the login with, and it never retries: what to do about a failure is the engine's
//! decision, from the [`leasehold_model::Failure`] that the provider read out of it.

mod error;
mod grant;
mod material;
mod provider;

pub use error::ProviderError;
pub use grant::{Fetched, Holding, LeaseGrant, SessionGrant};
pub use material::{FingerprintKey, Material, RandomError};
pub use provider::{BoxFuture, Parameters, Provider, Source};
