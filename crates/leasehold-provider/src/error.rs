use std::error::Error;

use leasehold_model::{Failure, RequestId};

/// Why a call to a provider failed.
///
/// The text is for operators' logs. It names the call and what the provider said, never a value
/// that was sent or received.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {detail}")]
pub struct ProviderError {
    /// What was being done, with its path, such as `read kv/data/app`.
    pub operation: String,
    /// What went wrong, in the provider's words where it is safe to repeat them.
    pub detail: String,
    /// What it means for the credential.
    pub failure: Failure,
    /// The provider's own id of this call, where it gave one.
    pub request_id: Option<RequestId>,
    /// The cause, printed by whoever prints the chain.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl ProviderError {
    /// Makes an error without a cause.
    #[must_use]
    pub fn new(operation: impl Into<String>, failure: Failure, detail: impl Into<String>) -> Self {
        Self {
            operation: operation.into(),
            detail: detail.into(),
            failure,
            request_id: None,
            source: None,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }
}
