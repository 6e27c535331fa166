//! Traces and logs, as a collector gets them.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use leasehold_testkit::origin::Handler;
use leasehold_testkit::{Origin, free_port, scan, wait};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message as _;

use crate::support::{CONSUMER_KEY, Gateway, PATIENCE};

#[tokio::test]
async fn a_request_is_a_span_of_its_callers_trace_and_the_log_comes_too() -> Result<()> {
    let (origin, collector) = (Origin::echo().await?, Collector::start().await?);
    let ca = collector.ca_pem().context("it speaks TLS")?;
    let telemetry = format!("endpoint: {:?}, ca: {ca:?}", collector.url());
    let mut gateway = Gateway::start(&parts(&origin, &telemetry)).await?;
    let answer = gateway
        .request("/echo?secret=canary-query")
        .header("traceparent", format!("00-{TRACE}-{PARENT}-01"))
        .send()
        .await?;
    ensure!(answer.status() == 200);
    let echoed = answer.text().await?;
    let unsampled = gateway
        .request("/echo")
        .header("traceparent", format!("00-{OTHER}-{PARENT}-00"))
        .send()
        .await?;
    ensure!(unsampled.status() == 200);
    ensure!(gateway.get("/nowhere").await?.status == 404);
    let spans = collector.handler().spans(2).await?;
    let span = &spans[0];
    ensure!(hex::encode(&span.trace_id) == TRACE && hex::encode(&span.parent_span_id) == PARENT);
    // What the upstream was told is the parent of its own part.
    ensure!(echoed.contains(&format!("00-{TRACE}-{}-01", hex::encode(&span.span_id))));
    ensure!(span.name == "GET echo" && span.kind == SERVER, "{span:?}");
    ensure!(span.end_time_unix_nano > span.start_time_unix_nano);
    ensure!(text(&span.attributes, "http.response.status_code") == "200");
    ensure!(text(&span.attributes, "leasehold.consumer") == "tester");
    ensure!(text(&span.attributes, "url.path") == "/echo");
    ensure!(spans[1].name == "GET", "{spans:?}");
    ensure!(text(&spans[1].attributes, "error.type") == "no_route");
    gateway.stop().await?;
    // Those of the very end come too.
    let collected = collector.handler();
    ensure!(
        collected.logs().iter().any(|it| it == "stopped"),
        "{:?}",
        collected.logs()
    );
    ensure!(
        collected.spans(2).await?.len() == 2,
        "one was not to be kept"
    );
    let service = collected.service();
    ensure!(service == ["leasehold", "under-test"], "{service:?}");
    let bytes = collected.0.bytes.lock().concat();
    let secrets = [CONSUMER_KEY, "canary-query"];
    ensure!(scan(&bytes, &secrets)?.is_empty(), "a secret was sent");
    Ok(())
}

#[tokio::test]
async fn a_collector_that_is_away_costs_no_request_and_is_told_of_later_ones() -> Result<()> {
    let (origin, collector) = (Origin::echo().await?, Collector::start().await?);
    let ca = collector.ca_pem().context("it speaks TLS")?;
    collector.handler().0.refuses.store(true, Ordering::SeqCst);
    let telemetry = format!("endpoint: {:?}, ca: {ca:?}, logs: false", collector.url());
    let mut gateway = Gateway::start(&parts(&origin, &telemetry)).await?;
    ensure!(gateway.get("/echo").await?.status == 200);
    counted(&gateway, "failed", 1).await?;
    collector.handler().0.refuses.store(false, Ordering::SeqCst);
    ensure!(gateway.get("/echo").await?.status == 200);
    counted(&gateway, "sent", 1).await?;
    let log = gateway.process().stderr()?;
    ensure!(
        log.contains("the collector does not take telemetry"),
        "{log}"
    );
    ensure!(log.contains("the collector takes telemetry again"), "{log}");
    gateway.stop().await
}

#[tokio::test]
async fn a_gateway_whose_collector_never_was_there_serves_and_ends_in_order() -> Result<()> {
    let origin = Origin::echo().await?;
    let telemetry = format!("endpoint: \"http://127.0.0.1:{}\"", free_port()?);
    let mut gateway = Gateway::start(&parts(&origin, &telemetry)).await?;
    for _ in 0..20 {
        ensure!(gateway.get("/echo").await?.status == 200);
    }
    gateway.stop().await?;
    ensure!(gateway.records()?.len() == 20);
    Ok(())
}

fn parts(origin: &Origin<leasehold_testkit::origin::Echo>, telemetry: &str) -> String {
    format!(
        "telemetry: {{ {telemetry} }}\n\
         upstreams: {{ echo: {{ endpoints: [{:?}] }} }}\n\
         routes:\n  \
           - {{ name: echo, match: {{ path: /echo }}, upstream: echo, consumers: [tester] }}\n",
        origin.url()
    )
}

/// Waits until so many spans have had that outcome.
async fn counted(gateway: &Gateway, outcome: &str, count: u32) -> Result<()> {
    let labels = format!("signal=\"traces\",outcome=\"{outcome}\"");
    let line = format!("leasehold_otlp_items_total{{{labels}}} {count}");
    wait::until_true(&line, PATIENCE, async || {
        Ok(gateway.metrics().await?.lines().any(|it| it == line))
    })
    .await
}

/// A collector that takes OTLP over HTTP with protobuf, as its specification has it.
struct Collector(Collected);

#[derive(Default)]
struct Collected {
    refuses: AtomicBool,
    spans: Mutex<Vec<Span>>,
    logs: Mutex<Vec<String>>,
    service: Mutex<Vec<String>>,
    bytes: Mutex<Vec<Vec<u8>>>,
}

impl Collector {
    async fn start() -> Result<Origin<Self>> {
        Origin::serve_tls(Self(Collected::default())).await
    }

    /// Waits until so many spans have come, and returns them in the order of their beginning.
    async fn spans(&self, count: usize) -> Result<Vec<Span>> {
        let come = || self.0.spans.lock().clone();
        wait::until_true("spans", PATIENCE, async || Ok(come().len() >= count)).await?;
        let mut spans = come();
        spans.sort_by_key(|it| it.start_time_unix_nano);
        Ok(spans)
    }

    fn logs(&self) -> Vec<String> {
        self.0.logs.lock().clone()
    }

    fn service(&self) -> Vec<String> {
        self.0.service.lock().clone()
    }

    fn take(&self, request: &Request<Bytes>) -> Result<()> {
        let body = request.body().clone();
        self.0.bytes.lock().push(body.to_vec());
        match request.uri().path() {
            "/v1/traces" => {
                let taken = ExportTraceServiceRequest::decode(body)?;
                for part in taken.resource_spans {
                    let resource = part.resource.context("who sends")?;
                    *self.0.service.lock() = ["service.name", "service.instance.id"]
                        .map(|key| text(&resource.attributes, key))
                        .to_vec();
                    let spans = part.scope_spans.into_iter().flat_map(|it| it.spans);
                    self.0.spans.lock().extend(spans);
                }
            }
            "/v1/logs" => {
                let taken = ExportLogsServiceRequest::decode(body)?;
                let parts = taken.resource_logs.into_iter();
                let parts = parts.flat_map(|it| it.scope_logs);
                let records = parts.flat_map(|it| it.log_records);
                let lines = records.map(|it| said(it.body.as_ref()));
                self.0.logs.lock().extend(lines);
            }
            path => anyhow::bail!("nothing is at {path}"),
        }
        Ok(())
    }
}

impl Handler for Collector {
    async fn answer(&self, request: Request<Bytes>) -> Response<Full<Bytes>> {
        let of_protobuf = request.headers()["content-type"] == "application/x-protobuf";
        let status = if self.0.refuses.load(Ordering::SeqCst) {
            StatusCode::SERVICE_UNAVAILABLE
        } else if of_protobuf && request.method() == "POST" && self.take(&request).is_ok() {
            StatusCode::OK
        } else {
            StatusCode::BAD_REQUEST
        };
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response
    }
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|it| it.key == key);
    found.map_or_else(String::new, |it| said(it.value.as_ref()))
}

fn said(value: Option<&AnyValue>) -> String {
    match value.and_then(|it| it.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

const SERVER: i32 = 2;
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const OTHER: &str = "1af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";
