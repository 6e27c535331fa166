//! Which requests go where, as written.

mod cors;
mod edit;
mod matching;
mod retry;
mod target;

use schemars::JsonSchema;
use serde::Deserialize;

pub(crate) use cors::{CorsDocument, OriginsDocument, OriginsWord};
pub(crate) use edit::{HeaderEditsDocument, RewriteDocument};
pub(crate) use matching::{
    DotSegmentsWord, EncodedSlashesWord, HeaderTestDocument, MatchDocument, PathDocument,
    PathKindDocument, PathPolicyDocument,
};
pub(crate) use retry::{RetryDocument, RouteLimitsDocument, RouteTimeoutsDocument};
pub(crate) use target::{MirrorDocument, RedirectDocument, WeightedDocument};

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
    /// The upstream's name. Exactly one of `upstream`, `upstreams` and `redirect` is there.
    pub(crate) upstream: Option<String>,
    /// Several upstreams that share the requests by weight.
    #[schemars(length(min = 1))]
    pub(crate) upstreams: Option<Vec<WeightedDocument>>,
    /// Where the gateway itself sends the caller, instead of asking an upstream.
    pub(crate) redirect: Option<RedirectDocument>,
    /// The names of the consumers that the route is open to, or the word `anyone`.
    pub(crate) consumers: AdmissionDocument,
    /// What those consumers must be allowed to do, all of it. Default: nothing.
    #[schemars(length(min = 1))]
    pub(crate) scopes: Option<Vec<String>>,
    /// What of the target the upstream sees in another form.
    pub(crate) rewrite: Option<RewriteDocument>,
    /// What is changed in the request's head before the credential is placed.
    pub(crate) request_headers: Option<HeaderEditsDocument>,
    /// What is changed in the head of the upstream's answer.
    pub(crate) response_headers: Option<HeaderEditsDocument>,
    /// Who else gets a copy of the requests. Answers to copies are discarded.
    pub(crate) mirror: Option<MirrorDocument>,
    /// What else than HTTP may be spoken with the upstream once it agrees to that. Default: nothing.
    pub(crate) upgrades: Option<Vec<UpgradeWord>>,
    /// How long the exchange may take.
    pub(crate) timeouts: Option<RouteTimeoutsDocument>,
    /// When a request is sent again. Default: only where nothing of it can have been sent, and one
    /// that may be sent twice where a kept connection was dead.
    pub(crate) retry: Option<RetryDocument>,
    /// Which pages of other origins may read the answers in a browser.
    pub(crate) cors: Option<CorsDocument>,
    /// How large a request may be, and how many there may be.
    pub(crate) limits: Option<RouteLimitsDocument>,
    /// What is done where the upstream's answer holds the credential that it was shown. Default: `off`.
    pub(crate) reflection: Option<ReflectionWord>,
}

/// What is done where an answer holds the credential that its upstream is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Reflection")]
pub(crate) enum ReflectionWord {
    /// Answers are not looked through.
    Off,
    /// It is logged, counted and recorded.
    Report,
    /// The same, and it is overwritten with `*`.
    Mask,
    /// The same, and the answer is refused with 502, or broken off where it has begun.
    Block,
}

/// What a connection may become.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "Upgrade")]
pub(crate) enum UpgradeWord {
    /// A WebSocket, as RFC 6455 has it.
    Websocket,
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
