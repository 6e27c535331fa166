use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

/// A histogram of durations that any number of cores may add to without a lock.
#[derive(Clone, Debug, Default)]
pub(super) struct AtomicHistogram(Arc<Cells>);

impl AtomicHistogram {
    pub(super) fn observe(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().position(|bound| nanos <= *bound);
        if let Some(count) = self.0.counts.get(bucket.unwrap_or(BOUNDS.len())) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.0.sum.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl EncodeMetric for AtomicHistogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let upper = BOUNDS
            .iter()
            .map(|bound| seconds(*bound))
            .chain([f64::INFINITY]);
        let counts = self.0.counts.iter().map(|it| it.load(Ordering::Relaxed));
        let buckets: Vec<_> = upper.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = seconds(self.0.sum.load(Ordering::Relaxed));
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

#[derive(Debug, Default)]
struct Cells {
    /// One for each bound, and one for what is longer.
    counts: [AtomicU64; BOUNDS.len() + 1],
    /// In nanoseconds: enough for 584 years.
    sum: AtomicU64,
}

fn seconds(nanos: u64) -> f64 {
    Duration::from_nanos(nanos).as_secs_f64()
}

/// The upper ends of the buckets, in nanoseconds: from less than a request costs to a minute.
const BOUNDS: [u64; 16] = [
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    50_000_000,
    250_000_000,
    1_000_000_000,
    5_000_000_000,
    15_000_000_000,
    60_000_000_000,
];

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;

    use super::*;

    #[test]
    fn times_are_counted_in_the_buckets_they_belong_to() {
        let histogram = AtomicHistogram::default();
        let mut registry = Registry::default();
        registry.register("time_seconds", "Time", histogram.clone());
        for micros in [10, 11, 600_000, 90_000_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        let mut text = String::new();
        encode(&mut text, &registry).expect("text");
        for line in [
            "time_seconds_bucket{le=\"0.00001\"} 1",
            "time_seconds_bucket{le=\"0.000025\"} 2",
            "time_seconds_bucket{le=\"0.25\"} 2",
            "time_seconds_bucket{le=\"1.0\"} 3",
            "time_seconds_bucket{le=\"60.0\"} 3",
            "time_seconds_bucket{le=\"+Inf\"} 4",
            "time_seconds_count 4",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
