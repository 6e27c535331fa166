use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leasehold_audit::{Sampling, Tracing};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_appender_tracing::layer::OpenTelemetryTracingBridge;
use opentelemetry_otlp::{
    ExporterBuildError, LogExporter, RetryPolicy, SpanExporter, WithExportConfig as _,
    WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::{self, BatchLogProcessor, SdkLoggerProvider};
use opentelemetry_sdk::trace::{self, BatchSpanProcessor, SpanProcessor as _};
use prometheus_client::registry::Registry;
use reqwest::blocking::Client;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;
use url::Url;

use crate::client::{ClientError, client};
use crate::counted::{Counted, Gate};
use crate::span::Spans;
use crate::tally::{Counts, QUEUE};

/// Where telemetry goes, and which.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The collector, without the path of a signal.
    pub endpoint: Url,
    /// A PEM file of the authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// The name of this gateway among others.
    pub instance: String,
    /// Which of the traces that begin at the gateway are sent; `None` where no trace is.
    pub traces: Option<Sampling>,
    /// Whether the log is sent.
    pub logs: bool,
}

/// Why telemetry can't be sent at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// What the environment says of telemetry can't be used.
    #[error("set up the exporter, by the configuration and the variables OTEL_EXPORTER_OTLP_*")]
    Exporter(#[from] ExporterBuildError),
}

/// What sends telemetry while the gateway runs. It has threads of its own.
#[derive(Debug)]
pub struct Telemetry {
    counts: Counts,
    spans: Option<Arc<BatchSpanProcessor>>,
    sampling: Sampling,
    logs: Option<SdkLoggerProvider>,
}

impl Telemetry {
    /// Makes ready to send. Whether there is a collector shows later.
    ///
    /// Must not be called where asynchronous work runs.
    ///
    /// # Errors
    ///
    /// When authorities are named and can't be had, and when a standard variable in the environment can't
    /// be understood.
    pub fn start(settings: &Settings) -> Result<Self, StartError> {
        let Settings {
            endpoint,
            ca,
            timeout,
            instance,
            traces,
            logs,
        } = settings;
        let counts = Counts::default();
        let speaker = Speaker {
            client: client(endpoint, ca.as_ref(), *timeout)?,
            endpoint: endpoint.as_str().trim_end_matches('/'),
            timeout: *timeout,
            resource: resource(instance),
        };
        let spans = traces.map(|_| speaker.spans(&counts)).transpose()?;
        Ok(Self {
            spans: spans.map(Arc::new),
            sampling: traces.unwrap_or(Sampling::ALL),
            logs: logs.then(|| speaker.logs(&counts)).transpose()?,
            counts,
        })
    }

    /// Registers the counts of what was sent and what was not.
    pub fn register(&self, registry: &mut Registry) {
        self.counts.register(registry);
    }

    /// Returns who makes traces of access records, where they are sent.
    #[must_use]
    pub fn tracing(&self) -> Option<Tracing> {
        let observer = Spans {
            batches: Arc::clone(self.spans.as_ref()?),
            tally: self.counts.of(TRACES),
            scope: InstrumentationScope::builder(NAME)
                .with_version(VERSION)
                .build(),
        };
        Some(Tracing {
            observer: Box::new(observer),
            sampling: self.sampling,
        })
    }

    /// Returns what the log goes through on its way to the collector, where it is sent.
    pub fn layer<S>(&self) -> Option<impl Layer<S> + use<S>>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        self.logs.as_ref().map(OpenTelemetryTracingBridge::new)
    }

    /// Sends what still waits, for as long as one attempt may take. Blocks meanwhile.
    pub fn finish(self) {
        let spans = self.spans.map(|it| it.shutdown_with_timeout(LAST_WORD));
        let logs = self.logs.map(|it| it.shutdown_with_timeout(LAST_WORD));
        for error in [spans, logs].into_iter().flatten().filter_map(Result::err) {
            tracing::warn!(%error, "the last of the telemetry may not have been sent");
        }
    }
}

/// Who speaks to one collector.
struct Speaker<'a> {
    client: Client,
    endpoint: &'a str,
    timeout: Duration,
    resource: Resource,
}

impl Speaker<'_> {
    fn spans(&self, counts: &Counts) -> Result<BatchSpanProcessor, ExporterBuildError> {
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{}/v1/traces", self.endpoint))
            .with_timeout(self.timeout)
            .with_http_client(self.client.clone())
            .with_retry_policy(RetryPolicy::recommended())
            .build()?;
        let tally = counts.of(TRACES);
        let config = trace::BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let mut spans = BatchSpanProcessor::builder(Counted { exporter, tally })
            .with_batch_config(config)
            .build();
        spans.set_resource(&self.resource);
        Ok(spans)
    }

    fn logs(&self, counts: &Counts) -> Result<SdkLoggerProvider, ExporterBuildError> {
        let exporter = LogExporter::builder()
            .with_http()
            .with_endpoint(format!("{}/v1/logs", self.endpoint))
            .with_timeout(self.timeout)
            .with_http_client(self.client.clone())
            .with_retry_policy(RetryPolicy::recommended())
            .build()?;
        let tally = counts.of(LOGS);
        let config = logs::BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let counted = Counted {
            exporter,
            tally: Arc::clone(&tally),
        };
        let batches = BatchLogProcessor::builder(counted)
            .with_batch_config(config)
            .build();
        Ok(SdkLoggerProvider::builder()
            .with_log_processor(Gate { batches, tally })
            .with_resource(self.resource.clone())
            .build())
    }
}

/// Says who sends, besides what `OTEL_RESOURCE_ATTRIBUTES` says.
fn resource(instance: &str) -> Resource {
    Resource::builder()
        .with_service_name(NAME)
        .with_attributes([
            KeyValue::new("service.version", VERSION),
            KeyValue::new("service.instance.id", instance.to_owned()),
        ])
        .build()
}

const NAME: &str = "leasehold";
const VERSION: &str = env!("CARGO_PKG_VERSION");
const TRACES: &str = "traces";
const LOGS: &str = "logs";
const BATCH: usize = 512;
/// How long an item waits for others.
const DELAY: Duration = Duration::from_secs(1);
const LAST_WORD: Duration = Duration::from_secs(5);
