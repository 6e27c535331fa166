//! What the gateway says in its log.

use std::io;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

use crate::origin::{Nowhere, Origin};
use crate::rig::{Setup, until};

#[test]
fn a_failure_is_logged_with_its_causes_and_the_trace_of_the_refusal() {
    let logs = Logs::start();
    let silent = Origin::start(|mut connection| drop(connection.receive()));
    let nowhere = Nowhere::new();
    for (url, cause) in [
        (silent.url(), "connection closed before message completed"),
        (nowhere.url(), "connect: Connection refused"),
    ] {
        let rig = Setup::to(std::slice::from_ref(&url)).start();
        let answer = rig.connect().get("/", "");
        assert_eq!(answer.status(), "502");
        let line = logs.line(rig.record()["trace_id"].as_str().expect("a trace"));
        assert!(line.contains(cause), "{line}");
        assert!(line.contains("upstream=origin"), "{line}");
        assert!(line.contains(&url), "{line}");
    }
}

#[test]
fn an_answer_that_breaks_off_is_logged_with_its_cause() {
    let logs = Logs::start();
    let origin = Origin::start(|mut connection| {
        connection.receive();
        connection.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello");
    });
    let rig = Setup::to(&[origin.url()]).start();
    let mut consumer = rig.connect();
    consumer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    consumer.try_receive().expect_err("the body has no end");
    let line = logs.line(rig.record()["trace_id"].as_str().expect("a trace"));
    assert!(line.contains("the body broke off: "), "{line}");
    assert!(line.contains("end of file before message length"), "{line}");
    assert!(line.contains("upstream=origin"), "{line}");
    assert!(line.contains(&origin.url()), "{line}");
}

/// The log of all the tests in this process.
#[derive(Clone, Default)]
struct Logs(Arc<Mutex<Vec<u8>>>);

impl Logs {
    fn start() -> Self {
        static LOGS: LazyLock<Logs> = LazyLock::new(|| {
            let logs = Logs::default();
            let writer = logs.clone();
            tracing_subscriber::fmt()
                .with_ansi(false)
                .with_writer(move || writer.clone())
                .init();
            logs
        });
        LOGS.clone()
    }

    /// Waits for a line that names the trace.
    fn line(&self, trace_id: &str) -> String {
        until("a line in the log", || {
            let text = String::from_utf8(self.0.lock().clone()).expect("text");
            let mut lines = text.lines();
            lines
                .find(|line| line.contains(trace_id))
                .map(str::to_owned)
        })
    }
}

impl io::Write for Logs {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
