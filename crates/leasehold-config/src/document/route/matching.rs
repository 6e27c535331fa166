use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

/// Which requests a route takes: those that are as all of its fields say.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Match")]
pub(crate) struct MatchDocument {
    /// The host name, without a port: exact, or `*.example.com` for every host below
    /// `example.com`. Default: every host.
    pub(crate) host: Option<String>,
    /// The beginning of the path, by whole segments: `/pay` takes `/pay` and `/pay/x` and leaves
    /// `/payments` alone. Or one of `{ exact: /x }`, `{ prefix: /x/ }` and
    /// `{ template: "/users/{id}" }`.
    #[schemars(extend("default" = "/"))]
    pub(crate) path: Option<PathDocument>,
    /// The methods. Default: every method.
    #[schemars(length(min = 1))]
    pub(crate) methods: Option<Vec<String>>,
    /// Headers that the request has, by name: the exact value, or `{ present: true }`.
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, HeaderTestDocument>,
    /// Parameters of the query, by name, each with its exact value as it is sent.
    #[serde(default)]
    pub(crate) query: BTreeMap<String, String>,
}

/// Which paths a route takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Path")]
pub(crate) enum PathDocument {
    /// The beginning of the path, by whole segments.
    Prefix(String),
    /// What kind of path it is.
    Kind(PathKindDocument),
}

/// A path of a kind: exactly one of the fields is there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PathKind")]
pub(crate) struct PathKindDocument {
    /// The whole path.
    pub(crate) exact: Option<String>,
    /// The beginning of the path, by whole segments.
    pub(crate) prefix: Option<String>,
    /// The whole path, where `{name}` stands for any one segment and `{*name}`, at the end, for the
    /// rest.
    pub(crate) template: Option<String>,
}

/// What a header must be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "HeaderTest")]
pub(crate) enum HeaderTestDocument {
    /// It is there once, with this value.
    Exact(String),
    /// It is there, or is not.
    Present(PresenceDocument),
}

/// Whether a header is there.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Presence")]
pub(crate) struct PresenceDocument {
    /// `true` where the header must be there, `false` where it must not.
    pub(crate) present: bool,
}

/// What is done about paths that two servers may read differently, before a route is looked for.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "PathPolicy")]
pub(crate) struct PathPolicyDocument {
    /// Slashes written as `%2F`: `refuse` (400), or `forward` as they are.
    #[schemars(extend("default" = "refuse"))]
    pub(crate) encoded_slashes: Option<EncodedSlashesWord>,
    /// Segments that are `.` or `..`: `refuse` (400), or `normalise` as RFC 3986 has it.
    #[schemars(extend("default" = "refuse"))]
    pub(crate) dot_segments: Option<DotSegmentsWord>,
    /// Whether several slashes in a row become one. Default: `false`.
    pub(crate) merge_slashes: Option<bool>,
}

/// What is done about encoded slashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EncodedSlashesWord {
    /// The request is answered with 400.
    Refuse,
    /// They go on as they are.
    Forward,
}

/// What is done about dot segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum DotSegmentsWord {
    /// The request is answered with 400.
    Refuse,
    /// They are resolved, and what is left goes on.
    Normalise,
}
