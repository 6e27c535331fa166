use schemars::JsonSchema;
use serde::Deserialize;

/// One of several upstreams of a route.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Weighted")]
pub(crate) struct WeightedDocument {
    /// The upstream's name.
    pub(crate) name: String,
    /// Its share of the requests, in parts of the sum of all weights; with 0 it gets none.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(crate) weight: u32,
}

/// Where the gateway itself sends the caller. At least one of `scheme`, `host`, `port` and `path`
/// is there; the query is kept.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Redirect")]
pub(crate) struct RedirectDocument {
    /// The status: 301, 302, 307 or 308. Default: 302.
    #[schemars(range(min = 301, max = 308))]
    pub(crate) status: Option<u16>,
    /// `http` or `https`. Default: that of the request.
    pub(crate) scheme: Option<String>,
    /// The host name. Default: that of the request.
    pub(crate) host: Option<String>,
    /// The port. Default: that of the scheme.
    #[schemars(range(min = 1, max = 65_535))]
    pub(crate) port: Option<u16>,
    /// What stands in the path instead of what the route's `path` matched. Default: the path as it
    /// is.
    pub(crate) path: Option<String>,
}

/// Who else gets a copy of the requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Mirror")]
pub(crate) struct MirrorDocument {
    /// The upstream's name. It is shown its own credential, where it declares one.
    pub(crate) upstream: String,
    /// Of how many requests in a hundred it gets a copy. Default: 100.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) percent: Option<u8>,
}
