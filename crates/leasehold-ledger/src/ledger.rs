use std::fmt;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{self, JoinHandle};

use leasehold_model::{Chain, Clock as _, InstanceName, SystemClock};
use parking_lot::Mutex;
use redb::Database;
use tokio::sync::oneshot;

use crate::book::{Book, NO_ABOUT};
use crate::entry::{About, Entry};
use crate::file::LedgerFile;
use crate::writer::{Message, Writer};
use crate::{Change, Contents, Former, Incarnation, IncarnationId, LedgerError, database, publish};

/// The durable list of what one instance holds, open for one incarnation of it.
///
/// Changes are made in the order in which [`Ledger::write`] and [`Ledger::note`] are called.
pub struct Ledger {
    path: PathBuf,
    incarnation: IncarnationId,
    health: Arc<Mutex<Health>>,
    inbox: Mutex<Option<Sender<Message>>>,
    writer: Mutex<Option<JoinHandle<Result<(), LedgerError>>>>,
}

/// How the writing goes.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// Commits that failed, since the ledger was opened.
    pub failures: u64,
    /// Changes that could not be written yet and are tried again.
    pub unwritten: usize,
    /// Why the last commit failed; `None` while writing goes well.
    pub error: Option<LedgerError>,
}

impl Ledger {
    /// Opens the ledger of an instance for a new incarnation, and tells what earlier ones left.
    ///
    /// A file that does not exist is made, with mode 0600, in a directory that does. The file is
    /// locked until the ledger is closed. Blocks its thread.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Busy`] when another process has it open, [`LedgerError::OtherInstance`] when it
    /// is another instance's, [`LedgerError::Damaged`] and [`LedgerError::Format`] when it is not what
    /// a ledger of this version left, and when it can't be made, read or written.
    pub fn open(
        path: impl Into<PathBuf>,
        instance: &InstanceName,
    ) -> Result<(Self, Former), LedgerError> {
        let path = path.into();
        let file = lock_or_create(&path, instance)?;
        let start = database::guard(&path, || begin(&file, instance))?;
        let health = Arc::new(Mutex::new(Health::default()));
        let id = start.incarnation;
        let writer = Writer::new(file, start.database, id, start.applied, Arc::clone(&health));
        let (inbox, messages) = channel();
        let writer = thread::Builder::new()
            .name("ledger".to_owned())
            .spawn(move || writer.run(&messages))
            .map_err(|error| LedgerError::from_io(&path, error))?;
        let ledger = Self {
            path,
            incarnation: id,
            health,
            inbox: Mutex::new(Some(inbox)),
            writer: Mutex::new(Some(writer)),
        };
        Ok((ledger, start.former))
    }

    /// Reads what is in a ledger that no gateway has open, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Missing`] when there is no such file, and as [`Ledger::open`].
    pub fn inspect(path: impl AsRef<Path>) -> Result<Contents, LedgerError> {
        let path = path.as_ref();
        let bytes = LedgerFile::lock_shared(path)?.bytes()?;
        read_copy(path, &bytes)
    }

    /// Makes a change, and resolves once it is on disk.
    ///
    /// The change has its place in the order from the moment of the call, whether or not the future
    /// is awaited.
    ///
    /// # Errors
    ///
    /// When it could not be written. It is then tried again with each later commit, in its place in
    /// the order, until it succeeds. The exception is [`Event::IntentWritten`](crate::Event): such an
    /// intent is withdrawn, so that whoever gets an error must not issue and need not do anything
    /// else. [`LedgerError::Closed`] after [`Ledger::close`].
    pub fn write(
        &self,
        change: Change,
    ) -> impl Future<Output = Result<(), LedgerError>> + Send + use<> {
        let (reply, answer) = oneshot::channel();
        self.send(Message {
            change,
            reply: Some(reply),
        });
        let file = self.path.clone();
        async move {
            // Where it could not be sent the other end is gone, too.
            let answer = answer.await;
            answer.unwrap_or(Err(LedgerError::Closed { file }))
        }
    }

    /// Makes a change that nobody waits for: it is on disk with the next commit, 50 ms later at the
    /// latest.
    ///
    /// Where it can't be written it is tried again until it can; [`Ledger::health`] tells.
    pub fn note(&self, change: Change) {
        if !self.send(Message {
            change,
            reply: None,
        }) {
            let mut health = self.health.lock();
            health.failures = health.failures.saturating_add(1);
            health.unwritten = health.unwritten.saturating_add(1);
            tracing::error!("ledger is closed; a change to it is lost");
        }
    }

    /// Tells how the writing goes.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.lock().clone()
    }

    /// Returns the id of this life of the instance.
    #[must_use]
    pub fn incarnation(&self) -> IncarnationId {
        self.incarnation
    }

    /// Writes what was queued, and lets go of the file. Blocks its thread.
    ///
    /// Dropping the ledger does the same and logs what goes wrong. A second call does nothing.
    ///
    /// # Errors
    ///
    /// [`LedgerError::Unwritten`] when there was something that could not be written.
    pub fn close(&self) -> Result<(), LedgerError> {
        // The writer ends once nobody can send it anything any more.
        drop(self.inbox.lock().take());
        let Some(writer) = self.writer.lock().take() else {
            return Ok(());
        };
        let ended = writer.join();
        ended.unwrap_or_else(|_| Err(LedgerError::damaged(&self.path, "its writer panicked")))
    }

    /// Tells whether there was somebody to send it to.
    fn send(&self, message: Message) -> bool {
        let inbox = self.inbox.lock();
        inbox.as_ref().is_some_and(|it| it.send(message).is_ok())
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            let error = Chain(&error).to_string();
            tracing::error!(error, "ledger was not closed as it should be");
        }
    }
}

impl fmt::Debug for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ledger")
            .field("path", &self.path)
            .field("incarnation", &self.incarnation)
            .finish_non_exhaustive()
    }
}

/// Reads what is in the bytes of a file.
pub(crate) fn read_copy(path: &Path, bytes: &[u8]) -> Result<Contents, LedgerError> {
    database::guard(path, || {
        let database = database::open_copy(path, bytes, true)?;
        let (contents, about) = Contents::of(database::entries(path, &database)?);
        about.ok_or_else(|| LedgerError::damaged(path, NO_ABOUT))?;
        Ok(contents)
    })
}

/// What an incarnation begins with.
struct Start {
    database: Database,
    incarnation: IncarnationId,
    applied: u64,
    former: Former,
}

fn lock_or_create(path: &Path, instance: &InstanceName) -> Result<LedgerFile, LedgerError> {
    match LedgerFile::lock(path) {
        Err(LedgerError::Missing { .. }) => {
            let about = Entry::About(About {
                instance: Some(instance.clone()),
                applied: 0,
            });
            publish::create(path, &[encoded(path, &about, 0)?])?;
            LedgerFile::lock(path)
        }
        outcome => outcome,
    }
}

fn begin(file: &LedgerFile, instance: &InstanceName) -> Result<Start, LedgerError> {
    let path = file.path();
    let database = database::open(file)?;
    let (contents, about) = Contents::of(database::entries(path, &database)?);
    let about = about.ok_or_else(|| LedgerError::damaged(path, NO_ABOUT))?;
    let about = claimed(path, about, instance)?;
    let applied = about.applied;
    let incarnation = IncarnationId::draw().map_err(|error| LedgerError::from_io(path, error))?;
    let life = Incarnation {
        id: incarnation,
        started_at: SystemClock.wall(),
    };
    let transaction = database::begin(path, &database)?;
    Book::open(path, &transaction, incarnation)?.begin(about, life, &contents.spent())?;
    transaction
        .commit()
        .map_err(|error| LedgerError::from_database(path, error))?;
    Ok(Start {
        database,
        incarnation,
        applied,
        former: Former {
            providers: contents.providers,
        },
    })
}

/// Makes sure that the file is the instance's; one that is nobody's becomes so.
fn claimed(path: &Path, about: About, instance: &InstanceName) -> Result<About, LedgerError> {
    match about.instance {
        Some(found) if found != *instance => Err(LedgerError::OtherInstance {
            file: path.to_path_buf(),
            found: found.to_string(),
            want: instance.to_string(),
        }),
        _ => Ok(About {
            instance: Some(instance.clone()),
            applied: about.applied,
        }),
    }
}

/// Encodes an entry to be put under its key.
pub(crate) fn encoded(
    path: &Path,
    entry: &Entry,
    seq: u64,
) -> Result<(Vec<u8>, Vec<u8>), LedgerError> {
    let value = entry.encode(seq).map_err(|source| LedgerError::Encode {
        file: path.to_path_buf(),
        source: source.into(),
    })?;
    Ok((entry.key(), value))
}
