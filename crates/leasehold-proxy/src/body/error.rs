use std::time::Duration;

/// Why a body breaks off on its way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// Whoever sends it broke it off.
    #[error("the body broke off")]
    Broken(#[source] hyper::Error),
    /// It is larger than it may be.
    #[error("the body is larger than {0} bytes")]
    TooLarge(u64),
    /// The whole exchange took longer than it may.
    #[error("the exchange took longer than it may")]
    Overdue,
    /// It shows a credential.
    #[error("the body shows the credential that its upstream was sent")]
    Reflected,
    /// It is not as long as was signed.
    #[error("the body is not as long as was signed")]
    NotAsSigned,
    /// Whoever sends it was silent for too long.
    #[error("no part of the body within {} ms", .0.as_millis())]
    Late(Duration),
}
