use std::fmt;
use std::io::{self, Write};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use leasehold_model::ReasonCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

use crate::queue::{self, Putter};
use crate::writer::{Next, Writer};
use crate::{AccessRecord, Sampling};

/// How many records wait for the writer where nothing else is asked for.
pub const DEFAULT_CAPACITY: usize = 8192;

/// Takes the records of requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Desk>);

/// What all clones of a recorder share.
#[derive(Debug)]
struct Desk {
    queue: Putter<Message>,
    dropped: Counter,
    sampling: Sampling,
}

/// Is shown each record that the writer takes up.
pub trait Observer: Send {
    /// Takes note of a record. It is called on the writer's thread, and must not block.
    fn observe(&mut self, record: &AccessRecord);
}

/// Who makes traces of records, and of which.
pub struct Tracing {
    /// Who does.
    pub observer: Box<dyn Observer>,
    /// Of which of the traces that begin at the gateway.
    pub sampling: Sampling,
}

impl Recorder {
    /// Starts the writer thread, and registers the counts of written and of dropped records.
    ///
    /// Up to `capacity` records wait for the writer; a capacity of 0 is taken for 1.
    ///
    /// # Errors
    ///
    /// When the system can't start a thread.
    pub fn start(
        sink: impl Write + Send + 'static,
        capacity: usize,
        metrics: &mut Registry,
    ) -> io::Result<(Self, RecorderTask)> {
        Self::start_traced(sink, capacity, metrics, None)
    }

    /// Does the same, and has traces made of the records where they are to be.
    ///
    /// # Errors
    ///
    /// When the system can't start a thread.
    pub fn start_traced(
        sink: impl Write + Send + 'static,
        capacity: usize,
        metrics: &mut Registry,
        tracing: Option<Tracing>,
    ) -> io::Result<(Self, RecorderTask)> {
        let sampling = tracing.as_ref().map_or(Sampling::ALL, |it| it.sampling);
        let observer = tracing.map(|it| it.observer);
        let (written, dropped) = counters(metrics);
        let (queue, arriving) = queue::queue(capacity);
        let next = Next::<Sink>::default();
        let sink: Sink = Box::new(sink);
        let counts = (written, dropped.clone());
        let writer = Writer::new(sink, Arc::clone(&next), arriving, counts, observer);
        let thread = thread::Builder::new()
            .name("access-records".to_owned())
            .spawn(move || writer.run())?;
        let task = RecorderTask {
            queue: queue.clone(),
            next,
            thread,
        };
        let desk = Desk {
            queue,
            dropped,
            sampling,
        };
        Ok((Self(Arc::new(desk)), task))
    }

    /// Returns which of the traces that begin at the gateway are kept.
    #[must_use]
    pub fn sampling(&self) -> Sampling {
        self.0.sampling
    }

    /// Takes charge of a request's record: from here on it is written, whatever becomes of the
    /// request.
    pub fn open(&self, record: AccessRecord) -> OpenRecord {
        OpenRecord {
            record: Arc::new(record),
            recorder: self.clone(),
            closed: false,
        }
    }

    fn send(&self, record: Arc<AccessRecord>) {
        let queued = Queued::new(record, self.0.dropped.clone());
        // A record that the queue does not take comes back in the error, and counts itself there.
        drop(self.0.queue.try_put(Message::Record(queued)));
    }
}

/// The record of a request under way, to be filled in.
///
/// Dropping it unclosed writes it too: with the reason that it has, or else as broken off.
#[derive(Debug)]
#[must_use = "a record that is dropped says that its request was broken off"]
pub struct OpenRecord {
    /// Never shared before the record is closed; an `Arc`, since `Drop` can't give away a `Box`.
    record: Arc<AccessRecord>,
    recorder: Recorder,
    closed: bool,
}

impl OpenRecord {
    /// Hands the record to the writer.
    pub fn close(mut self) {
        self.closed = true;
        self.recorder.send(Arc::clone(&self.record));
    }
}

impl Deref for OpenRecord {
    type Target = AccessRecord;

    fn deref(&self) -> &AccessRecord {
        &self.record
    }
}

impl DerefMut for OpenRecord {
    fn deref_mut(&mut self) -> &mut AccessRecord {
        Arc::make_mut(&mut self.record)
    }
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        let broken_off = if thread::panicking() {
            ReasonCode::Internal
        } else {
            ReasonCode::ClientAborted
        };
        self.reason.get_or_insert(broken_off);
        self.recorder.send(Arc::clone(&self.record));
    }
}

/// The writer thread, to be finished when the last request has ended.
#[must_use = "records that still wait are lost unless the task is finished"]
pub struct RecorderTask {
    queue: Putter<Message>,
    next: Next<Sink>,
    thread: JoinHandle<()>,
}

/// The hold by which the sink is changed while records are written.
#[derive(Clone)]
pub struct SinkSwitch {
    queue: Putter<Message>,
    next: Next<Sink>,
}

impl SinkSwitch {
    /// Has the writer go on with another sink, between two lines. What it could not write to the former
    /// goes to this one. Does not wait for that.
    pub fn switch(&self, sink: impl Write + Send + 'static) {
        *self.next.lock() = Some(Box::new(sink));
        // A writer with a full queue looks for a sink before it takes the next record anyway.
        drop(self.queue.try_put(Message::Wake));
    }
}

impl fmt::Debug for Tracing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracing")
            .field("sampling", &self.sampling)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SinkSwitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkSwitch").finish_non_exhaustive()
    }
}

impl fmt::Debug for RecorderTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecorderTask").finish_non_exhaustive()
    }
}

/// What the writer writes to.
type Sink = Box<dyn Write + Send>;

impl RecorderTask {
    /// Returns the hold by which the sink is changed.
    #[must_use]
    pub fn sinks(&self) -> SinkSwitch {
        SinkSwitch {
            queue: self.queue.clone(),
            next: Arc::clone(&self.next),
        }
    }

    /// Writes all records closed so far and ends the thread. Records closed later are dropped and
    /// counted.
    ///
    /// Blocks for as long as the sink does.
    pub fn finish(self) {
        // A writer that has ended by itself takes no message: the join tells why.
        drop(self.queue.put_urgent(Message::Finish));
        if self.thread.join().is_err() {
            tracing::error!("the access record writer panicked: records were lost");
        }
    }
}

/// What the writer is sent.
#[derive(Debug)]
pub(crate) enum Message {
    Record(Queued),
    /// There is another sink to go on with.
    Wake,
    Finish,
}

/// A record on its way to the writer, which counts itself as dropped wherever it is lost: at a full
/// queue, in a queue whose writer has ended, at a buffer that a failing sink has filled.
#[derive(Debug)]
pub(crate) struct Queued {
    record: Arc<AccessRecord>,
    dropped: Counter,
    taken: bool,
}

impl Queued {
    pub(crate) const fn new(record: Arc<AccessRecord>, dropped: Counter) -> Self {
        Self {
            record,
            dropped,
            taken: false,
        }
    }

    pub(crate) fn record(&self) -> &AccessRecord {
        &self.record
    }

    /// Takes the record out; it is then the taker's to count.
    pub(crate) fn take(&mut self) -> &AccessRecord {
        self.taken = true;
        &self.record
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        if !self.taken {
            self.dropped.inc();
        }
    }
}

fn counters(metrics: &mut Registry) -> (Counter, Counter) {
    let (written, dropped) = (Counter::default(), Counter::default());
    // The encoder adds `_total`.
    metrics.register(
        "leasehold_access_records_written",
        "Access records written to their sink",
        written.clone(),
    );
    metrics.register(
        "leasehold_access_records_dropped",
        "Access records lost to a full queue or a failing sink",
        dropped.clone(),
    );
    (written, dropped)
}
