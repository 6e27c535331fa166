use std::fmt;
use std::sync::Arc;

use leasehold_model::GenerationNumber;
use leasehold_provider::{BoxFuture, Material};

/// The credential that tokens are asked for with, as its holder gives it out.
pub trait Parent: Send + Sync + fmt::Debug {
    /// Returns the generation in service. Where there is none, waits a little for one: at the start
    /// the parent is on its way.
    fn current(&self) -> BoxFuture<'_, Option<Arc<dyn Client>>>;

    /// Tells whether this is the generation in service.
    fn is_current(&self, number: GenerationNumber) -> bool;

    /// Says that the token endpoint refused this generation, so that a newer one is looked for.
    fn refused(&self, number: GenerationNumber);
}

/// One generation of the parent. It is in use, and is not given back, for as long as this is held.
pub trait Client: Send + Sync {
    /// Returns its number.
    fn number(&self) -> GenerationNumber;

    /// Returns the fields that [`crate::OauthConfig::fields`] names; nothing where it was not prepared
    /// for this use.
    fn material(&self) -> Option<&Material>;
}
