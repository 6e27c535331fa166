use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

/// A collector of OpenTelemetry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    /// Where it is, without the path of a signal.
    pub endpoint: Url,
    /// A PEM file of the authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// One of how many traces that begin here is sent; `None` where no trace is.
    pub traces: Option<NonZeroU32>,
    /// Whether the log is sent.
    pub logs: bool,
}
