use schemars::JsonSchema;
use serde::Deserialize;

use crate::document::DurationText;

/// Which pages of other origins may read the answers in a browser.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Cors")]
pub(crate) struct CorsDocument {
    /// The origins, each exactly as browsers send it, like `https://app.example.com`; or the word
    /// `any`.
    pub(crate) origins: OriginsDocument,
    /// The methods that they may use. Default: the route's own `methods`, or GET, HEAD and POST.
    #[schemars(length(min = 1))]
    pub(crate) methods: Option<Vec<String>>,
    /// The request headers that they may set.
    #[serde(default)]
    pub(crate) headers: Vec<String>,
    /// The answer's headers that they may read, beyond those that all may.
    #[serde(default)]
    pub(crate) expose: Vec<String>,
    /// Whether the browser may send cookies and the like. Not with `origins: any`. Default:
    /// `false`.
    pub(crate) credentials: Option<bool>,
    /// How long a browser may remember the answer to its question.
    #[schemars(extend("default" = "5m"))]
    pub(crate) max_age: Option<DurationText>,
}

/// Which origins may read answers.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Origins")]
pub(crate) enum OriginsDocument {
    /// All of them.
    Word(OriginsWord),
    /// These.
    These(#[schemars(length(min = 1))] Vec<String>),
}

/// The word for all origins.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OriginsWord {
    /// All of them.
    Any,
}
