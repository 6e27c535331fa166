use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// What of the target the upstream sees in another form.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Rewrite")]
pub(crate) struct RewriteDocument {
    /// What stands in the path instead of what the route's `path` matched.
    pub(crate) prefix: Option<String>,
    /// What the upstream reads as `Host`: a name, or the word `preserve` for what the consumer
    /// sent. Default: the endpoint's own.
    pub(crate) host: Option<String>,
}

/// What is changed in a head: first `remove`, then `set`, then `add`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "HeaderEdits")]
pub(crate) struct HeaderEditsDocument {
    /// Headers that are there once then, with this value.
    #[serde(default)]
    pub(crate) set: BTreeMap<String, String>,
    /// Headers that are there once more then.
    #[serde(default)]
    pub(crate) add: BTreeMap<String, String>,
    /// Headers that are not there then.
    #[serde(default)]
    pub(crate) remove: Vec<String>,
}
