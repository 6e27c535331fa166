//! The access record: one line for each request, on every way that a request can end.
//!
//! A request opens its record with [`Recorder::open`] and fills it in as it goes. Closing the record
//! hands it to one writer thread through a bounded queue; dropping it unclosed does the same, and
//! says that the request was broken off. The data plane never waits for the sink: what the queue
//! can't take is dropped and counted.

mod line;
mod queue;
mod record;
mod recorder;
mod sink;
mod span;
mod syslog;
mod trace;
mod writer;

pub use record::{AccessRecord, ShownCredential};
pub use recorder::{
    DEFAULT_CAPACITY, Observer, OpenRecord, Recorder, RecorderTask, SinkSwitch, Tracing,
};
pub use sink::{SinkError, append, stdout};
pub use span::{Sampling, Span, SpanId};
pub use syslog::{Syslog, SyslogAddress};
pub use trace::TraceId;
