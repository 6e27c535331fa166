//! What happens to a request, one module a step.

pub(crate) mod admit;
pub(crate) mod challenge;
pub(crate) mod close;
pub(crate) mod forward;
pub(crate) mod identify;
pub(crate) mod inject;
pub(crate) mod limit;
pub(crate) mod observe;
pub(crate) mod path;
pub(crate) mod refuse;
pub(crate) mod retry;
pub(crate) mod route;
pub(crate) mod seal;
pub(crate) mod sign;
pub(crate) mod streams;
