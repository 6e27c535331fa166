use std::collections::HashSet;
use std::mem;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use leasehold_model::{BootTime, Chain, Clock as _, SystemClock};
use parking_lot::Mutex;
use redb::Database;
use tokio::sync::oneshot;

use crate::book::Book;
use crate::file::LedgerFile;
use crate::{Change, Event, Health, IncarnationId, LedgerError, database};

/// A change on its way to the writer, and who waits for it.
pub(crate) struct Message {
    pub(crate) change: Change,
    pub(crate) reply: Option<Reply>,
}

type Reply = oneshot::Sender<Result<(), LedgerError>>;

/// Takes changes and commits everything that waits at once, on a thread of its own.
pub(crate) struct Writer {
    file: LedgerFile,
    /// None after a failure: the database does nothing more then, and is opened anew.
    database: Option<Database>,
    incarnation: IncarnationId,
    health: Arc<Mutex<Health>>,
    /// What is not on disk yet, in order.
    pending: Vec<Queued>,
    next: u64,
}

struct Queued {
    seq: u64,
    change: Change,
    reply: Option<Reply>,
}

impl Writer {
    pub(crate) fn new(
        file: LedgerFile,
        database: Database,
        incarnation: IncarnationId,
        applied: u64,
        health: Arc<Mutex<Health>>,
    ) -> Self {
        Self {
            file,
            database: Some(database),
            incarnation,
            health,
            pending: Vec::new(),
            next: applied.saturating_add(1),
        }
    }

    /// Works until nobody can send any more; what had been sent by then is committed.
    pub(crate) fn run(mut self, inbox: &Receiver<Message>) -> Result<(), LedgerError> {
        while self.gather(inbox) {
            self.commit();
        }
        self.finish()
    }

    /// Waits until there is something to commit now; tells whether there may be more to come.
    fn gather(&mut self, inbox: &Receiver<Message>) -> bool {
        let mut due = match self.pending.is_empty() {
            true => None,
            false => Some(SystemClock.boot().after(BETWEEN_RETRIES)),
        };
        loop {
            match receive(inbox, due) {
                Ok(message) => {
                    let waited_for = message.reply.is_some();
                    self.queue(message);
                    if waited_for {
                        inbox.try_iter().for_each(|message| self.queue(message));
                        return true;
                    }
                    due.get_or_insert(SystemClock.boot().after(LONGEST_NOTE));
                }
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    fn queue(&mut self, message: Message) {
        self.pending.push(Queued {
            seq: self.next,
            change: message.change,
            reply: message.reply,
        });
        self.next = self.next.saturating_add(1);
    }

    fn commit(&mut self) {
        match self.try_commit() {
            Ok(()) => {
                let done = mem::take(&mut self.pending);
                self.recovered();
                for reply in done.into_iter().filter_map(|it| it.reply) {
                    answer(reply, Ok(()));
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    fn try_commit(&mut self) -> Result<(), LedgerError> {
        let path = self.file.path();
        database::guard(path, || {
            let failed = |error: redb::Error| LedgerError::from_database(path, error);
            // Put back once all went well; dropped otherwise.
            let database = match self.database.take() {
                Some(database) => database,
                None => database::open(&self.file)?,
            };
            let transaction = database::begin(path, &database)?;
            let changes = self.pending.iter().map(|it| (it.seq, &it.change));
            Book::open(path, &transaction, self.incarnation)?.apply(changes)?;
            transaction.commit().map_err(|it| failed(it.into()))?;
            self.database = Some(database);
            Ok(())
        })
    }

    /// Keeps what is to be tried again, and answers those who wait.
    fn failed(&mut self, error: &LedgerError) {
        let waiting = self.keep_for_later();
        self.tell(error);
        for reply in waiting {
            answer(reply, Err(error.clone()));
        }
    }

    /// Makes out of what could not be written what is tried next, and returns who waited for it.
    fn keep_for_later(&mut self) -> Vec<Reply> {
        let (mut waiting, mut withdrawn) = (Vec::new(), Vec::new());
        for mut queued in mem::take(&mut self.pending) {
            match (queued.reply.take(), &queued.change.event) {
                // Nothing may be asked for on an intent whose writer was told that it failed. It is
                // withdrawn, since a commit that is reported as failed may have reached the disk.
                (Some(reply), Event::IntentWritten { id, .. }) => {
                    waiting.push(reply);
                    queued.change.event = Event::IntentFailed { id: *id };
                    withdrawn.push(queued.change);
                }
                (reply, _) => {
                    waiting.extend(reply);
                    self.pending.push(queued);
                }
            }
        }
        // Under numbers of their own, which only grow: a number that is in the file is not made again.
        for change in withdrawn {
            self.queue(Message {
                change,
                reply: None,
            });
        }
        drop_overtaken_renewals(&mut self.pending);
        waiting
    }

    fn tell(&self, error: &LedgerError) {
        let mut health = self.health.lock();
        health.failures = health.failures.saturating_add(1);
        health.unwritten = self.pending.len();
        if health.error.replace(error.clone()).is_none() {
            let error = Chain(error).to_string();
            tracing::error!(error, "ledger can't be written; it is tried again");
        }
    }

    fn recovered(&self) {
        let mut health = self.health.lock();
        health.unwritten = 0;
        if health.error.take().is_some() {
            tracing::info!("ledger is written again");
        }
    }

    fn finish(mut self) -> Result<(), LedgerError> {
        if !self.pending.is_empty() {
            self.commit();
        }
        if let Some(source) = self.health.lock().error.clone() {
            return Err(LedgerError::Unwritten {
                file: self.file.path().to_path_buf(),
                count: self.pending.len(),
                source: Box::new(source),
            });
        }
        match self.database {
            Some(database) => database
                .close()
                .map_err(|error| LedgerError::from_database(self.file.path(), error)),
            None => Ok(()),
        }
    }
}

fn receive(inbox: &Receiver<Message>, due: Option<BootTime>) -> Result<Message, RecvTimeoutError> {
    match due {
        None => inbox.recv().map_err(RecvTimeoutError::from),
        Some(due) => inbox.recv_timeout(due.since(SystemClock.boot())),
    }
}

fn answer(reply: Reply, outcome: Result<(), LedgerError>) {
    // Whoever stopped waiting has no use for it.
    reply.send(outcome).ok();
}

/// While nothing can be written, the last deadline of a lease or an anchor is all that is kept of its
/// renewals: what waits does not grow with time.
fn drop_overtaken_renewals(pending: &mut Vec<Queued>) {
    let mut seen = HashSet::new();
    let mut kept: Vec<Queued> = mem::take(pending);
    kept.reverse();
    kept.retain(|queued| {
        let provider = &queued.change.provider;
        match &queued.change.event {
            Event::LeaseRenewed { lease_id, .. } => {
                seen.insert((provider.clone(), lease_id.as_str().to_owned()))
            }
            Event::AnchorRenewed { accessor, .. } => {
                seen.insert((provider.clone(), accessor.as_str().to_owned()))
            }
            _ => true,
        }
    });
    kept.reverse();
    *pending = kept;
}

/// How long a note waits for others to share a commit with.
const LONGEST_NOTE: Duration = Duration::from_millis(50);
/// How long what could not be written waits where nobody asks for it.
const BETWEEN_RETRIES: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use leasehold_model::{GenerationNumber, InstanceName};

    use super::*;
    use crate::{IntentId, Ledger};

    fn change(event: Event) -> Change {
        Change {
            provider: "vault".into(),
            event,
        }
    }

    fn intent(id: u64) -> Change {
        change(Event::IntentWritten {
            id: IntentId(id),
            credential: "orders".into(),
            consumer: None,
            generation: GenerationNumber::FIRST,
            holder: "a1".into(),
            at: std::time::UNIX_EPOCH,
        })
    }

    fn renewed(seconds: u64) -> Change {
        change(Event::LeaseRenewed {
            lease_id: "l1".into(),
            deadline: std::time::UNIX_EPOCH + Duration::from_secs(seconds),
        })
    }

    fn writer(dir: &tempfile::TempDir) -> Writer {
        let path = dir.path().join("ledger");
        drop(Ledger::open(&path, &InstanceName::from("edge")).expect("made"));
        let file = LedgerFile::lock(&path).expect("locked");
        let database = database::open(&file).expect("opened");
        let id = IncarnationId::new([1; 16]);
        Writer::new(file, database, id, 0, Arc::default())
    }

    #[test]
    fn after_a_failure_all_is_tried_again_in_order_but_intents_that_were_refused() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut writer = writer(&dir);
        let (reply, mut refused) = oneshot::channel();
        for (change, reply) in [
            (renewed(1), None),
            (intent(1), Some(reply)),
            (intent(2), None),
            (renewed(2), None),
        ] {
            writer.queue(Message { change, reply });
        }
        writer.failed(&LedgerError::damaged(writer.file.path(), "a test says so"));
        let answer = refused.try_recv().expect("answered");
        assert!(
            matches!(answer, Err(LedgerError::Damaged { .. })),
            "{answer:?}"
        );
        let kept = writer.pending.iter();
        let kept: Vec<_> = kept.map(|it| (it.seq, it.change.clone())).collect();
        let withdrawn = change(Event::IntentFailed { id: IntentId(1) });
        assert_eq!(kept, [(3, intent(2)), (4, renewed(2)), (5, withdrawn)]);

        writer.commit();
        assert!(writer.pending.is_empty());
        assert_eq!(writer.health.lock().failures, 1);
        writer.finish().expect("closed");
        let contents = Ledger::inspect(dir.path().join("ledger")).expect("contents");
        let intents = contents.providers["vault"].intents.iter();
        assert_eq!(intents.map(|it| it.id).collect::<Vec<_>>(), [IntentId(2)]);
    }

    #[test]
    fn what_is_in_the_file_already_is_not_made_again() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut writer = writer(&dir);
        let ended = change(Event::SessionEnded {
            accessor: "s1".into(),
        });
        writer.queue(Message {
            change: ended.clone(),
            reply: None,
        });
        writer.commit();
        // As after a commit that was made and reported as failed.
        writer.pending.push(Queued {
            seq: 1,
            change: ended,
            reply: None,
        });
        writer.commit();
        writer.finish().expect("closed");
        let contents = Ledger::inspect(dir.path().join("ledger")).expect("contents");
        assert_eq!(contents.providers["vault"].totals.unmatched, 1);
    }
}
