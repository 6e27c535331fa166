//! Sends traces and logs to a collector of OpenTelemetry, by OTLP over HTTP.
//!
//! A trace is made of what the access record says of a request, on the thread that writes that: the data
//! plane knows nothing of it. What a collector does not take is counted and dropped; nothing waits for it.

mod client;
mod counted;
mod span;
mod tally;
mod telemetry;

pub use client::ClientError;
pub use telemetry::{Settings, StartError, Telemetry};
