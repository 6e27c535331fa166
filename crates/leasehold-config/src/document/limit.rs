//! How much callers may ask for, as written.

use schemars::JsonSchema;
use serde::Deserialize;

use super::DurationText;

/// How many requests may come in a time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RateLimit")]
pub(crate) struct RateLimitDocument {
    /// What requests are counted by.
    pub(crate) per: LimitPerDocument,
    /// How many there may be …
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) requests: u32,
    /// … in how much time, evenly, up to a day.
    pub(crate) every: DurationText,
    /// How many may come at once after a time of quiet. Default: as many as `requests`.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) burst: Option<u32>,
    /// How many callers there is room for. Those beyond are counted together.
    #[schemars(range(min = 16, max = 10_000_000), extend("default" = 100_000))]
    pub(crate) keys: Option<usize>,
    /// Whether answers tell how much is left, in `RateLimit` and `RateLimit-Policy`.
    #[schemars(extend("default" = true))]
    pub(crate) headers: Option<bool>,
}

/// How many requests may be under way at a time.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "ConcurrencyLimit")]
pub(crate) struct ConcurrencyLimitDocument {
    /// What requests are counted by.
    pub(crate) per: LimitPerDocument,
    /// How many there may be whose answers have not ended.
    #[schemars(range(min = 1, max = 100_000))]
    pub(crate) requests: u32,
}

/// What requests are counted by: one word, or several that are counted by together.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "LimitPer")]
pub(crate) enum LimitPerDocument {
    /// One thing.
    One(LimitPerWord),
    /// Several.
    Many(#[schemars(length(min = 1))] Vec<LimitPerWord>),
}

/// Something that requests are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LimitPerWord {
    Consumer,
    Route,
    Address,
}
