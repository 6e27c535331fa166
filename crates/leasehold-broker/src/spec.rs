use std::error::Error;
use std::fmt;

use leasehold_lease::Kind;
use leasehold_model::{CredentialName, ProviderName};
use leasehold_provider::{Material, Source};

/// Turns the material of a generation into the form that it is injected in.
pub type Prepare<P> =
    Box<dyn Fn(&Material) -> Result<P, Box<dyn Error + Send + Sync>> + Send + Sync>;

/// One credential as declared.
pub struct CredentialSpec<P> {
    /// Its name.
    pub name: CredentialName,
    /// Who is asked for it.
    pub provider: ProviderName,
    /// What is asked for.
    pub source: Source,
    /// By what rules it ages.
    pub kind: Kind,
    /// What is made of it. An error keeps the generation out of service.
    pub prepare: Prepare<P>,
}

/// A credential names a provider that has not been declared.
#[derive(Debug, thiserror::Error)]
#[error("credential {credential} names provider {provider}, which is not declared")]
pub struct UnknownProvider {
    /// The credential.
    pub credential: CredentialName,
    /// The provider it names.
    pub provider: ProviderName,
}

impl<P> fmt::Debug for CredentialSpec<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialSpec")
            .field("name", &self.name)
            .field("provider", &self.provider)
            .field("source", &self.source)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
