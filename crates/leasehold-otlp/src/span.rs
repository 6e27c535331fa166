use std::borrow::Cow;
use std::sync::Arc;

use leasehold_audit::{AccessRecord, Observer, Span};
use opentelemetry::trace::{
    SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState,
};
use opentelemetry::{InstrumentationScope, Key, KeyValue, Value};
use opentelemetry_sdk::trace::{
    BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor as _,
};

use crate::tally::Tally;

/// Makes a span of each record of a trace that is kept.
#[derive(Debug)]
pub(crate) struct Spans {
    pub(crate) batches: Arc<BatchSpanProcessor>,
    pub(crate) tally: Arc<Tally>,
    pub(crate) scope: InstrumentationScope,
}

impl Observer for Spans {
    fn observe(&mut self, record: &AccessRecord) {
        let kept = record.span.filter(|it| it.sampled);
        if let Some(span) = kept.filter(|_| self.tally.admits()) {
            let data = span_of(record, span, self.scope.clone());
            self.batches.on_end(data);
        }
    }
}

/// Returns the server's part of a request, with the names of OpenTelemetry's conventions for HTTP where
/// those have one.
fn span_of(record: &AccessRecord, span: Span, scope: InstrumentationScope) -> SpanData {
    let context = SpanContext::new(
        TraceId::from_bytes(record.trace_id.number().to_be_bytes()),
        SpanId::from_bytes(span.id.number().to_be_bytes()),
        TraceFlags::SAMPLED,
        false,
        TraceState::NONE,
    );
    let parent = span.parent.map(|it| it.number().to_be_bytes());
    let upstream_time = record.upstream_time.unwrap_or_default();
    SpanData {
        span_context: context,
        parent_span_id: parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: parent.is_some(),
        span_kind: SpanKind::Server,
        name: name(record),
        start_time: record.time,
        end_time: record.time + record.gateway_time + upstream_time,
        attributes: attributes(record),
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: status(record),
        instrumentation_scope: scope,
    }
}

/// The method and the route: few names, whatever callers send.
fn name(record: &AccessRecord) -> Cow<'static, str> {
    let method = known(record).unwrap_or("HTTP");
    match &record.route {
        Some(route) => format!("{method} {}", route.as_str()).into(),
        None => method.into(),
    }
}

/// Returns the method, where it is one of those that are known: what else callers send is no name.
fn known(record: &AccessRecord) -> Option<&'static str> {
    match record.method {
        Cow::Borrowed(method) => Some(method),
        Cow::Owned(_) => None,
    }
}

fn attributes(record: &AccessRecord) -> Vec<KeyValue> {
    let provenance = record.provenance.as_ref();
    let lease = provenance.and_then(|it| it.lease_id.as_ref());
    let error = record.reason.map(|it| it.as_str());
    let text = |value: Option<&str>| value.map(|it| Value::from(it.to_owned()));
    let number = |value: u64| Some(Value::I64(i64::try_from(value).unwrap_or(i64::MAX)));
    [
        (
            "http.request.method",
            Some(known(record).unwrap_or("_OTHER").into()),
        ),
        (
            "http.response.status_code",
            record.status.and_then(|it| number(it.into())),
        ),
        ("http.request.body.size", number(record.request_bytes)),
        ("http.response.body.size", number(record.response_bytes)),
        ("url.path", text(Some(&record.path))),
        (
            "client.address",
            record.client.map(|it| it.ip().to_string().into()),
        ),
        ("error.type", error.map(Into::into)),
        ("leasehold.listener", text(Some(record.listener.as_str()))),
        (
            "leasehold.route",
            text(record.route.as_ref().map(|it| it.as_str())),
        ),
        (
            "leasehold.consumer",
            text(record.consumer.as_ref().map(|it| it.as_str())),
        ),
        (
            "leasehold.upstream",
            text(record.upstream.as_ref().map(|it| it.as_str())),
        ),
        ("leasehold.endpoint", text(record.endpoint.as_deref())),
        (
            "leasehold.credential",
            text(record.credential.as_ref().map(|it| it.as_str())),
        ),
        (
            "leasehold.generation",
            record.generation.and_then(|it| number(it.get())),
        ),
        ("leasehold.lease_id", text(lease.map(|it| it.as_str()))),
        ("leasehold.gateway_us", number(micros(record.gateway_time))),
        (
            "leasehold.upstream_us",
            record.upstream_time.and_then(|it| number(micros(it))),
        ),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some(KeyValue::new(Key::from_static_str(key), value?)))
    .collect()
}

/// A refusal is the caller's matter, and a failure is ours or the upstream's.
fn status(record: &AccessRecord) -> Status {
    match (record.status, record.reason) {
        (Some(500..), reason) => {
            let reason = reason.map_or("the upstream's answer", |it| it.as_str());
            Status::error(reason)
        }
        (None, Some(reason)) => Status::error(reason.as_str()),
        _ => Status::Unset,
    }
}

fn micros(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use leasehold_audit::{SpanId as OurSpanId, TraceId as OurTraceId};
    use leasehold_model::ReasonCode;

    use super::*;

    #[test]
    fn a_span_has_the_place_the_time_and_the_names_of_its_record() {
        let mut record = record("GET");
        record.route = Some("payments".into());
        record.status = Some(200);
        record.gateway_time = Duration::from_millis(2);
        record.upstream_time = Some(Duration::from_millis(40));
        let span = made(&record);
        assert_eq!(span.name, "GET payments");
        assert_eq!(
            span.span_context.trace_id().to_string(),
            format!("{:032x}", 7)
        );
        assert_eq!(
            span.span_context.span_id().to_string(),
            format!("{:016x}", 9)
        );
        assert_eq!(span.parent_span_id.to_string(), format!("{:016x}", 8));
        assert!(span.parent_span_is_remote);
        let took = span.end_time.duration_since(span.start_time);
        assert_eq!(took.expect("in order"), Duration::from_millis(42));
        assert_eq!(value(&span, "http.response.status_code"), "200");
        assert_eq!(value(&span, "leasehold.upstream_us"), "40000");
        assert_eq!(value(&span, "url.path"), "/pay");
        assert_eq!(span.status, Status::Unset);
    }

    #[test]
    fn what_callers_make_up_is_no_name() {
        let span = made(&record("BREW"));
        assert_eq!(span.name, "HTTP");
        assert_eq!(value(&span, "http.request.method"), "_OTHER");
    }

    #[test]
    fn failures_are_errors_and_refusals_are_not() {
        for (status, reason, is_error) in [
            (Some(401), Some(ReasonCode::ConsumerKeyUnknown), false),
            (Some(503), Some(ReasonCode::CredentialUnavailable), true),
            (Some(500), None, true),
            (None, Some(ReasonCode::ClientAborted), true),
        ] {
            let mut record = record("GET");
            (record.status, record.reason) = (status, reason);
            let span = made(&record);
            assert_eq!(matches!(span.status, Status::Error { .. }), is_error);
            if let Some(reason) = reason {
                assert_eq!(value(&span, "error.type"), reason.as_str());
            }
        }
    }

    fn made(record: &AccessRecord) -> SpanData {
        let span = record.span.expect("a place");
        span_of(record, span, InstrumentationScope::builder("x").build())
    }

    fn value(span: &SpanData, key: &str) -> String {
        let found = span.attributes.iter().find(|it| it.key.as_str() == key);
        found.map(|it| it.value.to_string()).unwrap_or_default()
    }

    fn record(method: &str) -> AccessRecord {
        let trace = OurTraceId::new(7).expect("not zero");
        let time = SystemTime::UNIX_EPOCH;
        let mut record = AccessRecord::begin(time, "public".into(), method, "/pay", trace);
        record.span = Some(Span {
            id: OurSpanId::new(9).expect("not zero"),
            parent: OurSpanId::new(8),
            sampled: true,
        });
        record
    }
}
