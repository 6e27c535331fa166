use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use opentelemetry_sdk::error::OTelSdkResult;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// What becomes of the items of one signal, spans or log records.
#[derive(Debug)]
pub(crate) struct Tally {
    signal: &'static str,
    /// Those that wait, or are on their way.
    pending: AtomicUsize,
    failing: AtomicBool,
    sent: Counter,
    failed: Counter,
    dropped: Counter,
}

/// The counts of all signals.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts(Family<Labels, Counter>);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    signal: &'static str,
    outcome: &'static str,
}

impl Counts {
    pub(crate) fn register(&self, registry: &mut Registry) {
        registry.register(
            "leasehold_otlp_items",
            "Spans and log records for the collector, by what became of them",
            self.0.clone(),
        );
    }

    pub(crate) fn of(&self, signal: &'static str) -> Arc<Tally> {
        let count = |outcome| self.0.get_or_create(&Labels { signal, outcome }).clone();
        Arc::new(Tally {
            signal,
            pending: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            sent: count("sent"),
            failed: count("failed"),
            dropped: count("dropped"),
        })
    }
}

impl Tally {
    /// Tells whether there is room for one more item, and counts it.
    pub(crate) fn admits(&self) -> bool {
        if self.pending.fetch_add(1, Ordering::Relaxed) < QUEUE {
            return true;
        }
        self.pending.fetch_sub(1, Ordering::Relaxed);
        self.dropped.inc();
        false
    }

    /// Counts what has become of as many.
    pub(crate) fn settle(&self, count: usize, result: &OTelSdkResult) {
        self.pending.fetch_sub(count, Ordering::Relaxed);
        let signal = self.signal;
        match result {
            Ok(()) => {
                self.sent.inc_by(count as u64);
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!(signal, "the collector takes telemetry again");
                }
            }
            Err(error) => {
                self.failed.inc_by(count as u64);
                // Said once an episode: each such line is telemetry itself.
                if !self.failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(signal, %error, "the collector does not take telemetry");
                }
            }
        }
    }
}

/// How many items wait at most: a collector that is away must not take the gateway's memory.
pub(crate) const QUEUE: usize = 4096;

#[cfg(test)]
mod tests {
    use opentelemetry_sdk::error::OTelSdkError;

    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_dropped_and_counted() {
        let tally = Counts::default().of("traces");
        assert_eq!((0..QUEUE + 2).filter(|_| tally.admits()).count(), QUEUE);
        assert_eq!(tally.dropped.get(), 2);
        tally.settle(10, &Ok(()));
        tally.settle(5, &Err(OTelSdkError::AlreadyShutdown));
        assert_eq!((tally.sent.get(), tally.failed.get()), (10, 5));
        assert_eq!((0..20).filter(|_| tally.admits()).count(), 15);
    }
}
