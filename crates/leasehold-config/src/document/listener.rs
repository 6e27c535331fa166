//! Where requests are accepted, as written.

use schemars::JsonSchema;
use serde::Deserialize;

/// An address that requests are accepted on.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Listener")]
pub(crate) struct ListenerDocument {
    /// IP address and port, like `0.0.0.0:8080` or `[::]:8080`.
    pub(crate) address: String,
}
