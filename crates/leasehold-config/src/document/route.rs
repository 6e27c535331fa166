//! Which requests go where, as written.

use schemars::JsonSchema;
use serde::Deserialize;

/// Which requests go to which upstream.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Route")]
pub(crate) struct RouteDocument {
    /// The route's name in records and metrics. Default: its host and path.
    pub(crate) name: Option<String>,
    /// Which requests the route takes. Default: all.
    #[serde(rename = "match")]
    pub(crate) matches: Option<MatchDocument>,
    /// The upstream's name.
    pub(crate) upstream: String,
    /// The names of the consumers that the route is open to, or the word `anyone`.
    pub(crate) consumers: AdmissionDocument,
}

/// Which requests a route takes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Match")]
pub(crate) struct MatchDocument {
    /// The exact host name, without a port. Default: every host.
    pub(crate) host: Option<String>,
    /// The beginning of the path, by whole segments: `/pay` takes `/pay` and `/pay/x` and leaves
    /// `/payments` alone.
    #[schemars(extend("default" = "/"), regex(pattern = "^/"))]
    pub(crate) path: Option<String>,
}

/// Whom a route is open to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Admission")]
pub(crate) enum AdmissionDocument {
    /// Everybody who reaches the listener.
    Word(AdmissionWord),
    /// The consumers of these names.
    These(#[schemars(length(min = 1))] Vec<String>),
}

/// The word that opens a route to everybody.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AdmissionWord {
    /// Everybody who reaches the listener.
    Anyone,
}
