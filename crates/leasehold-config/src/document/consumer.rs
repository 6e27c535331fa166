//! Who may call, as written.

use schemars::JsonSchema;
use serde::Deserialize;

/// Somebody who may call.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Consumer")]
pub(crate) struct ConsumerDocument {
    /// Digests of the keys that the consumer may show.
    #[schemars(length(min = 1))]
    pub(crate) keys: Vec<ConsumerKeyDocument>,
}

/// A consumer key, known by its digest only.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConsumerKey")]
pub(crate) struct ConsumerKeyDocument {
    /// The SHA-256 of the key in hexadecimal: `printf %s "$KEY" | sha256sum`.
    #[schemars(regex(pattern = r"^[0-9a-fA-F]{64}$"))]
    pub(crate) sha256: String,
}
