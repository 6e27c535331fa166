//! Where traces and logs go, as written.

use std::num::NonZeroU32;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::Deserialize;

use super::DurationText;

/// A collector of OpenTelemetry, which is sent traces and logs by OTLP over HTTP.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Telemetry")]
pub(crate) struct TelemetryDocument {
    /// The collector's URL without the path of a signal, like `http://127.0.0.1:4318`.
    pub(crate) endpoint: String,
    /// A file with the certificate authorities that vouch for the collector, in PEM.
    /// Default: those that the system trusts.
    pub(crate) ca: Option<PathBuf>,
    /// How long one attempt to send may take.
    #[schemars(extend("default" = "10s"))]
    pub(crate) timeout: Option<DurationText>,
    /// Whether traces are sent. Default: `true`.
    pub(crate) traces: Option<bool>,
    /// One of how many traces that begin at the gateway is sent. Whether others are, the caller says.
    /// Default: 1.
    pub(crate) one_in: Option<NonZeroU32>,
    /// Whether the log is sent too, as it goes to standard error. Default: `true`.
    pub(crate) logs: Option<bool>,
}
