use schemars::JsonSchema;
use serde::Deserialize;

use crate::document::{DurationText, SizeText};

/// How long an exchange may take.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RouteTimeouts")]
pub(crate) struct RouteTimeoutsDocument {
    /// From the request's head to the end of the answer, further tries included. Default: no limit
    /// but those of the upstream.
    pub(crate) request: Option<DurationText>,
    /// How long nothing may be said on a WebSocket, on either side. Default: 5m.
    pub(crate) websocket_idle: Option<DurationText>,
}

/// When a request is sent again.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Retry")]
pub(crate) struct RetryDocument {
    /// How often a request is sent at most, the first time included. Default: 2.
    #[schemars(range(min = 2, max = 10))]
    pub(crate) attempts: Option<u32>,
    /// After what: `connect` (no connection could be made), `reset` (the upstream broke off before
    /// it answered, or a try took longer than `per_try`), or a status from 500 to 599 as a text.
    /// Default: `connect` and `reset`.
    #[schemars(length(min = 1))]
    pub(crate) on: Option<Vec<String>>,
    /// How long one try may wait for the head of the answer. Default: no limit but those of the
    /// upstream.
    pub(crate) per_try: Option<DurationText>,
    /// How many further tries there may be to a hundred requests; ten are in hand at the start.
    /// Default: 20.
    #[schemars(range(min = 1, max = 100))]
    pub(crate) budget_percent: Option<u32>,
    /// The methods that are sent again. Default: those that may be sent twice: GET, HEAD, OPTIONS,
    /// PUT and DELETE.
    #[schemars(length(min = 1))]
    pub(crate) methods: Option<Vec<String>>,
}

/// How large a request may be, and how many there may be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "RouteLimits")]
pub(crate) struct RouteLimitsDocument {
    /// The body, in bytes that the upstream sees. Default: that of the listener.
    pub(crate) body: Option<SizeText>,
    /// The head: target and headers. Default: that of the listener.
    pub(crate) head: Option<SizeText>,
    /// The names of the `rate_limits` that the requests count at, in this order. Default: none.
    #[serde(default)]
    pub(crate) rate: Vec<String>,
    /// The names of the `concurrency_limits` that the requests count at, in this order. Default: none.
    #[serde(default)]
    pub(crate) concurrency: Vec<String>,
}
