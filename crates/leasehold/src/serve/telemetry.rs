use leasehold_audit::Sampling;
use leasehold_config::Snapshot;
use leasehold_otlp::{Settings, StartError, Telemetry};

/// Makes ready to send traces and the log to a collector, where the configuration has one.
pub(super) fn start(snapshot: &Snapshot) -> Result<Option<Telemetry>, StartError> {
    let Some(telemetry) = &snapshot.telemetry else {
        return Ok(None);
    };
    let settings = Settings {
        endpoint: telemetry.endpoint.clone(),
        ca: telemetry.ca.clone(),
        timeout: telemetry.timeout,
        instance: snapshot.instance.to_string(),
        traces: telemetry.traces.map(Sampling::one_in),
        logs: telemetry.logs,
    };
    Telemetry::start(&settings).map(Some)
}

/// Sends what still waits. A collector that is away holds nothing up for long.
pub(super) async fn finish(telemetry: Telemetry) {
    let finish = tokio::task::spawn_blocking(move || telemetry.finish());
    if finish.await.is_err() {
        tracing::error!("the task that sends telemetry failed");
    }
}
