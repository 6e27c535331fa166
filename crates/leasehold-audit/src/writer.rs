use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;

use crate::line;
use crate::queue::Taker;
use crate::recorder::{Message, Observer, Queued};

/// The one owner of the sink: turns records into lines and writes them, many at once where many wait.
pub(crate) struct Writer<W> {
    sink: W,
    next: Next<W>,
    queue: Taker<Message>,
    /// Whole lines, but for the first, which may be the rest of one that went out in part.
    buffer: Vec<u8>,
    written: Counter,
    dropped: Counter,
    observer: Option<Box<dyn Observer>>,
    /// How many dropped records the log has been told of.
    told: u64,
    failing: bool,
    /// The sink was left within a line.
    torn: bool,
}

/// Where the writer finds a sink that is to take the place of its own.
pub(crate) type Next<W> = Arc<Mutex<Option<W>>>;

impl<W: Write> Writer<W> {
    pub(crate) fn new(
        sink: W,
        next: Next<W>,
        queue: Taker<Message>,
        (written, dropped): (Counter, Counter),
        observer: Option<Box<dyn Observer>>,
    ) -> Self {
        Self {
            sink,
            next,
            queue,
            buffer: Vec::new(),
            written,
            told: dropped.get(),
            dropped,
            observer,
            failing: false,
            torn: false,
        }
    }

    /// Writes until it is told to finish or the last sender is gone.
    pub(crate) fn run(mut self) {
        while let Some(first) = self.queue.take() {
            if self.round(first).is_break() {
                break;
            }
        }
        self.give_up_rest();
    }

    /// Takes one batch and writes it.
    fn round(&mut self, first: Message) -> ControlFlow<()> {
        self.change_sink();
        // What a failing sink has left goes first, to make room where the sink has recovered.
        if !self.buffer.is_empty() {
            self.write();
        }
        let filled = self.fill(first);
        self.write();
        match filled {
            Filled::Batch => ControlFlow::Continue(()),
            Filled::AllQueued => {
                self.tell_dropped();
                ControlFlow::Continue(())
            }
            Filled::Last => ControlFlow::Break(()),
        }
    }

    /// Goes on with another sink where there is one. The former gets the end of the line that it has the
    /// beginning of, or nobody does.
    fn change_sink(&mut self) {
        let Some(next) = self.next.lock().take() else {
            return;
        };
        if !self.buffer.is_empty() {
            self.write();
        }
        if self.torn {
            let end = self.buffer.iter().position(|byte| *byte == b'\n');
            let lost = self
                .buffer
                .drain(..end.map_or(self.buffer.len(), |end| end + 1));
            self.dropped.inc_by(lines(lost.as_slice()));
            self.torn = false;
        }
        self.sink = next;
        self.failing = false;
    }

    /// Takes what is queued, up to one batch.
    fn fill(&mut self, first: Message) -> Filled {
        let mut next = first;
        loop {
            match next {
                Message::Record(queued) => self.add(queued),
                Message::Wake => {}
                Message::Finish => return Filled::Last,
            }
            // A batch has a bound, so that lines reach the sink while requests keep coming.
            if self.buffer.len() >= BATCH {
                return Filled::Batch;
            }
            match self.queue.try_take() {
                Some(message) => next = message,
                None => return Filled::AllQueued,
            }
        }
    }

    fn add(&mut self, mut queued: Queued) {
        if let Some(observer) = &mut self.observer {
            observer.observe(queued.record());
        }
        // A sink that fails leaves its lines here, to go out before later ones. Past the bound, new
        // records are dropped by not being taken.
        if self.buffer.len() >= KEPT {
            return;
        }
        if let Err(error) = line::append(queued.take(), &mut self.buffer) {
            tracing::error!(%error, "an access record could not be written as JSON");
            self.dropped.inc();
        }
    }

    fn write(&mut self) {
        let (sent, outcome) = send(&mut self.sink, &self.buffer);
        if let Some(last) = self.buffer.get(..sent).and_then(<[u8]>::last) {
            self.torn = *last != b'\n';
        }
        let written = self.buffer.drain(..sent);
        self.written.inc_by(lines(written.as_slice()));
        drop(written);
        match outcome {
            Ok(()) => self.failing = false,
            Err(error) if !self.failing => {
                self.failing = true;
                tracing::error!(%error, "access records can't be written, trying again with later ones");
            }
            // Said once an episode; the next word is that of the recovery, with what was lost.
            Err(_) => {}
        }
    }

    /// Logs how many records were dropped since it last did, once the sink takes lines again.
    fn tell_dropped(&mut self) {
        let dropped = self.dropped.get();
        let lost = dropped.saturating_sub(self.told);
        if lost > 0 && !self.failing {
            tracing::warn!(dropped = lost, "access records were dropped");
            self.told = dropped;
        }
    }

    /// Counts the lines that a sink failing to the end leaves unwritten, and has the last word.
    fn give_up_rest(&mut self) {
        self.dropped.inc_by(lines(&self.buffer));
        self.failing = false;
        self.tell_dropped();
    }
}

/// What the buffer was filled with.
enum Filled {
    /// As much as goes out at once; more may wait.
    Batch,
    /// All that waited.
    AllQueued,
    /// The last there is to write.
    Last,
}

/// Writes all, and tells how much of it went out.
fn send(sink: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut rest = bytes;
    let outcome = loop {
        if rest.is_empty() {
            break sink.flush();
        }
        match sink.write(rest) {
            Ok(0) => break Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
    };
    (bytes.len() - rest.len(), outcome)
}

/// Counts line ends: a line has no other, and counts as written when its end is.
fn lines(bytes: &[u8]) -> u64 {
    bytes.iter().map(|byte| u64::from(*byte == b'\n')).sum()
}

/// How many bytes are gathered for one write.
const BATCH: usize = 64 * 1024;
/// How many bytes a failing sink may leave waiting.
const KEPT: usize = 256 * 1024;

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::time::SystemTime;

    use super::*;
    use crate::queue::{self, Putter};
    use crate::{AccessRecord, TraceId};

    #[test]
    fn a_line_that_went_out_in_part_is_finished_before_the_next() {
        let mut bench = Bench::new([Step::Take(10), Step::Fail, Step::TakeAll]);
        bench.round(["/1"]);
        assert_eq!(bench.sink.lock().taken.len(), 10);
        assert_eq!(bench.counts(), (0, 0));
        bench.round(["/2"]);
        assert_eq!(bench.paths(), ["/1", "/2"]);
        assert_eq!(bench.counts(), (2, 0));
    }

    #[test]
    fn a_failing_sink_is_kept_lines_for_up_to_a_bound() {
        let mut bench = Bench::new([]);
        bench.sink.lock().full = true;
        let long = "x".repeat(2000);
        bench.round(std::iter::repeat_n(long.as_str(), 1000));
        let (written, dropped) = bench.counts();
        assert_eq!(written, 0);
        assert!(dropped > 0 && dropped < 1000, "{dropped}");
        assert!(bench.writer.buffer.len() < KEPT + 4096);

        bench.sink.lock().full = false;
        bench.round(["/after"]);
        assert!(bench.paths().last().is_some_and(|path| path == "/after"));
        assert_eq!(bench.counts(), (1000 - dropped + 1, dropped));
    }

    #[test]
    fn another_sink_gets_whole_lines_from_the_next_on() {
        let mut bench = Bench::new([Step::Take(10), Step::Fail, Step::Fail]);
        bench.round(["/1"]);
        let other = Arc::new(Mutex::new(Script::default()));
        *bench.writer.next.lock() = Some(Sink(Arc::clone(&other)));
        bench.round(["/2"]);
        assert_eq!(bench.sink.lock().taken.len(), 10);
        bench.sink = other;
        assert_eq!(bench.paths(), ["/2"]);
        assert_eq!(bench.counts(), (1, 1));
    }

    #[test]
    fn a_sink_that_is_left_gets_the_end_of_its_last_line() {
        let mut bench = Bench::new([Step::Take(10), Step::Fail]);
        bench.round(["/1"]);
        let other = Arc::new(Mutex::new(Script::default()));
        *bench.writer.next.lock() = Some(Sink(Arc::clone(&other)));
        bench.round(["/2"]);
        assert_eq!(bench.paths(), ["/1"]);
        bench.sink = other;
        assert_eq!(bench.paths(), ["/2"]);
        assert_eq!(bench.counts(), (2, 0));
    }

    #[test]
    fn lines_left_at_the_end_count_as_dropped() {
        let mut bench = Bench::new([]);
        bench.sink.lock().full = true;
        bench.round(["/1", "/2"]);
        assert_eq!(bench.counts(), (0, 0));
        bench.writer.give_up_rest();
        assert_eq!(bench.counts(), (0, 2));
    }

    #[test]
    fn an_interrupted_write_goes_on_and_one_that_takes_nothing_fails() {
        let mut bench = Bench::new([Step::Interrupt, Step::Take(0), Step::TakeAll]);
        bench.round(["/1"]);
        assert!(bench.writer.failing);
        bench.round(["/2"]);
        assert_eq!(bench.paths(), ["/1", "/2"]);
    }

    #[test]
    fn the_log_tells_of_a_failure_once_and_of_the_loss_at_its_end() {
        let log = Log::default();
        let lines = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || lines.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut bench = Bench::new([Step::Fail, Step::Fail, Step::Fail]);
            bench.writer.dropped.inc_by(7);
            for path in ["/1", "/2", "/3", "/4"] {
                bench.round([path]);
            }
        });
        let text = String::from_utf8(log.0.lock().clone()).expect("UTF-8");
        assert_eq!(text.matches("can't be written").count(), 1, "{text}");
        assert_eq!(text.matches("were dropped dropped=7").count(), 1, "{text}");
    }

    /// A writer that is driven round by round, on the test's own thread.
    struct Bench {
        writer: Writer<Sink>,
        queue: Putter<Message>,
        sink: Arc<Mutex<Script>>,
    }

    impl Bench {
        fn new(steps: impl IntoIterator<Item = Step>) -> Self {
            let sink = Arc::new(Mutex::new(Script {
                steps: steps.into_iter().collect(),
                ..Script::default()
            }));
            let (queue, arriving) = queue::queue(2000);
            let (written, dropped) = (Counter::default(), Counter::default());
            let first = Sink(Arc::clone(&sink));
            let counts = (written, dropped);
            let writer = Writer::new(first, Next::default(), arriving, counts, None);
            Self {
                writer,
                queue,
                sink,
            }
        }

        fn round<'a>(&mut self, paths: impl IntoIterator<Item = &'a str>) {
            for path in paths {
                let trace_id = TraceId::new(1).expect("not zero");
                let time = SystemTime::UNIX_EPOCH;
                let record = AccessRecord::begin(time, "public".into(), "GET", path, trace_id);
                let queued = Queued::new(Arc::new(record), self.writer.dropped.clone());
                self.queue.try_put(Message::Record(queued)).expect("room");
            }
            while let Some(first) = self.writer.queue.try_take() {
                assert!(self.writer.round(first).is_continue());
            }
        }

        fn counts(&self) -> (u64, u64) {
            (self.writer.written.get(), self.writer.dropped.get())
        }

        fn paths(&self) -> Vec<String> {
            let text = String::from_utf8(self.sink.lock().taken.clone()).expect("UTF-8");
            let path = |line| {
                let json: serde_json::Value = serde_json::from_str(line).expect("a whole line");
                json["path"].as_str().expect("a path").to_owned()
            };
            text.lines().map(path).collect()
        }
    }

    enum Step {
        Take(usize),
        TakeAll,
        Interrupt,
        Fail,
    }

    /// What a sink is to do with each write; it takes all when the steps are over.
    #[derive(Default)]
    struct Script {
        steps: VecDeque<Step>,
        full: bool,
        taken: Vec<u8>,
    }

    struct Sink(Arc<Mutex<Script>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut script = self.0.lock();
            if script.full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let count = match script.steps.pop_front().unwrap_or(Step::TakeAll) {
                Step::Take(count) => count,
                Step::TakeAll => bytes.len(),
                Step::Interrupt => return Err(io::ErrorKind::Interrupted.into()),
                Step::Fail => return Err(io::ErrorKind::StorageFull.into()),
            };
            script.taken.extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}
