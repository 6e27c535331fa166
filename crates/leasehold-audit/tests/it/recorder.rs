use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::SystemTime;

use leasehold_audit::{AccessRecord, Recorder, RecorderTask, TraceId};
use leasehold_model::ReasonCode;
use parking_lot::{Condvar, Mutex};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde_json::Value;

#[test]
fn each_request_leaves_one_line_in_order_whichever_way_it_ends() {
    let bench = Bench::start(16);
    let recorder = bench.recorder.clone();

    let mut answered = recorder.open(record("/answered"));
    answered.status = Some(200);
    answered.close();
    drop(recorder.open(record("/aborted")));
    let mut refused = recorder.open(record("/refused"));
    refused.reason = Some(ReasonCode::NoRoute);
    drop(refused);
    let broken = catch_unwind(AssertUnwindSafe(|| {
        let _record = recorder.open(record("/panicked"));
        panic!("a fault of ours");
    }));
    assert!(broken.is_err());

    let (lines, metrics) = bench.finish();
    let seen: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["path"].as_str(),
                line["status"].as_u64(),
                line["reason"].as_str(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (Some("/answered"), Some(200), None),
            (Some("/aborted"), None, Some("client_aborted")),
            (Some("/refused"), None, Some("no_route")),
            (Some("/panicked"), None, Some("internal")),
        ]
    );
    assert_eq!(count(&metrics, "written"), 4);
    assert_eq!(count(&metrics, "dropped"), 0);
}

#[test]
fn what_a_full_queue_does_not_take_is_dropped_and_counted() {
    let bench = Bench::start(2);
    bench.sink.hold();
    bench.recorder.open(record("/in-the-write")).close();
    bench.sink.wait_until_held_up();

    for path in ["/queued-1", "/queued-2", "/lost-1", "/lost-2", "/lost-3"] {
        bench.recorder.open(record(path)).close();
    }
    bench.sink.release();

    let (lines, metrics) = bench.finish();
    let paths: Vec<_> = lines.iter().map(|line| line["path"].as_str()).collect();
    assert_eq!(
        paths,
        [Some("/in-the-write"), Some("/queued-1"), Some("/queued-2")]
    );
    assert_eq!(count(&metrics, "written"), 3);
    assert_eq!(count(&metrics, "dropped"), 3);
}

#[test]
fn what_is_closed_after_the_end_is_dropped_and_counted() {
    let bench = Bench::start(16);
    let recorder = bench.recorder.clone();
    let late = recorder.open(record("/late"));
    bench.task.finish();
    late.close();
    drop(recorder.open(record("/later")));
    assert_eq!(count(&bench.metrics, "dropped"), 2);
}

#[test]
fn every_record_of_many_threads_is_written_or_counted() {
    const EACH: usize = 2_000;
    let bench = Bench::start(64);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            let recorder = bench.recorder.clone();
            scope.spawn(move || (0..EACH).for_each(|_| recorder.open(record("/")).close()));
        }
    });
    let (lines, metrics) = bench.finish();
    assert_eq!(lines.len(), count(&metrics, "written"));
    assert_eq!(lines.len() + count(&metrics, "dropped"), 4 * EACH);
}

struct Bench {
    recorder: Recorder,
    task: RecorderTask,
    metrics: Registry,
    sink: Sink,
}

impl Bench {
    fn start(capacity: usize) -> Self {
        let sink = Sink::default();
        let mut metrics = Registry::default();
        let started = Recorder::start(sink.clone(), capacity, &mut metrics);
        let (recorder, task) = started.expect("a thread");
        Self {
            recorder,
            task,
            metrics,
            sink,
        }
    }

    fn finish(self) -> (Vec<Value>, Registry) {
        self.task.finish();
        let state = self.sink.state.lock();
        let text = std::str::from_utf8(&state.bytes).expect("UTF-8");
        let lines = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"));
        (lines.collect(), self.metrics)
    }
}

/// A sink in memory that can be held up.
#[derive(Clone, Default)]
struct Sink {
    state: Arc<Mutex<State>>,
    changed: Arc<Condvar>,
}

#[derive(Default)]
struct State {
    held: bool,
    held_up: bool,
    bytes: Vec<u8>,
}

impl Sink {
    fn hold(&self) {
        self.state.lock().held = true;
    }

    fn release(&self) {
        self.state.lock().held = false;
        self.changed.notify_all();
    }

    fn wait_until_held_up(&self) {
        let mut state = self.state.lock();
        self.changed.wait_while(&mut state, |state| !state.held_up);
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state.lock();
        state.held_up = state.held;
        self.changed.notify_all();
        self.changed.wait_while(&mut state, |state| state.held);
        state.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn record(path: &str) -> AccessRecord {
    let trace_id = TraceId::new(1).expect("not zero");
    AccessRecord::begin(
        SystemTime::UNIX_EPOCH,
        "public".into(),
        "GET",
        path,
        trace_id,
    )
}

fn count(metrics: &Registry, outcome: &str) -> usize {
    let mut text = String::new();
    encode(&mut text, metrics).expect("metrics");
    let name = format!("leasehold_access_records_{outcome}_total ");
    let value = text.lines().find_map(|line| line.strip_prefix(&name));
    value.and_then(|value| value.parse().ok()).expect("a count")
}
