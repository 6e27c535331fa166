use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use leasehold_model::Clock;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// What is counted of new configurations.
#[derive(Debug, Default)]
pub(in crate::serve) struct ReloadMetrics {
    reloads: Family<[(&'static str, &'static str); 1], Counter>,
    generation: Gauge<u64, AtomicU64>,
    applied_at: Gauge<i64, AtomicI64>,
}

impl ReloadMetrics {
    /// Makes the metrics and registers them; the first configuration is the one of the start.
    pub(in crate::serve) fn register(registry: &mut Registry, clock: &dyn Clock) -> Self {
        let it = Self::default();
        registry.register(
            "leasehold_config_reloads",
            "New configurations, by whether they were applied or refused",
            it.reloads.clone(),
        );
        registry.register(
            "leasehold_config_generation",
            "Which configuration is at work, counted from 1 at the start",
            it.generation.clone(),
        );
        registry.register(
            "leasehold_config_applied_timestamp_seconds",
            "When the configuration that is at work was put to work",
            it.applied_at.clone(),
        );
        for outcome in [APPLIED, REFUSED] {
            drop(it.reloads.get_or_create(&[outcome]));
        }
        it.put_to_work(clock);
        it
    }

    pub(super) fn applied(&self, clock: &dyn Clock) {
        self.reloads.get_or_create(&[APPLIED]).inc();
        self.put_to_work(clock);
    }

    pub(super) fn refused(&self) {
        self.reloads.get_or_create(&[REFUSED]).inc();
    }

    /// Returns which configuration is at work.
    pub(super) fn generation(&self) -> u64 {
        self.generation.inner().load(Ordering::Relaxed)
    }

    fn put_to_work(&self, clock: &dyn Clock) {
        self.generation.inc();
        let since = clock.wall().duration_since(SystemTime::UNIX_EPOCH);
        let seconds = since.unwrap_or(Duration::ZERO).as_secs();
        self.applied_at
            .set(i64::try_from(seconds).unwrap_or(i64::MAX));
    }
}

const APPLIED: (&str, &str) = ("outcome", "applied");
const REFUSED: (&str, &str) = ("outcome", "refused");
