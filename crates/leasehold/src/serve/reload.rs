//! A new configuration for a gateway that runs, whole or not at all.

mod fixed;
mod metrics;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use leasehold_admin::{NotReady, Reload};
use leasehold_audit::SinkSwitch;
use leasehold_broker::{Changes, Dismissal, Handle, Standing};
use leasehold_config::Snapshot;
use leasehold_inject::Prepared;
use leasehold_model::{Chain, Clock, CredentialName, Failure, ListenerName};
use leasehold_proxy::{Gateway, Held, ListenerChanges, Listeners, Plans, ProxyMetrics};
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

pub(super) use self::metrics::ReloadMetrics;
use super::handover::{self, Own};
use super::signals::{Ask, Asks};
use super::sink;
use crate::check;
use crate::compose::{self, Composed, Composition};
use crate::listeners::{self, Watch};

/// What is asked of a gateway that runs.
pub(crate) enum Order {
    /// To read its configuration again.
    Reload(oneshot::Sender<Reload>),
    /// To hand its listening sockets to the successor that waits there.
    HandOver {
        /// The successor's socket.
        to: PathBuf,
        /// Whether it has them.
        answer: oneshot::Sender<Result<(), String>>,
    },
}

/// Puts new configurations to work.
pub(super) struct Reloader {
    /// The file that the configuration came from; none in a demonstration.
    pub(super) file: Option<PathBuf>,
    pub(super) snapshot: Snapshot,
    pub(super) composition: Composition,
    pub(super) changes: Changes<Prepared>,
    pub(super) plans: Plans,
    pub(super) listeners: Listeners,
    /// The files of the listeners.
    pub(super) watch: Watch,
    pub(super) proxy_metrics: ProxyMetrics,
    /// What readiness is reported of.
    pub(super) standing: Arc<ArcSwap<Gateway>>,
    pub(super) sinks: SinkSwitch,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: ReloadMetrics,
    pub(super) tasks: TaskTracker,
    pub(super) sockets: Own,
    pub(super) succession: Succession,
}

/// How a handover goes.
#[derive(Clone, Debug, Default)]
pub(super) struct Succession {
    under_way: Arc<AtomicBool>,
    /// Cancelled once the successor serves.
    pub(super) done: CancellationToken,
}

/// What is told to people when there is nothing else to answer with.
type Refused = String;

impl Reloader {
    /// Carries out orders, one after the other, until `stop`. Returns the configuration that is at work.
    pub(super) async fn run(
        mut self,
        mut orders: mpsc::Receiver<Order>,
        mut asks: Option<Asks>,
        stop: CancellationToken,
    ) -> Snapshot {
        let serving = async {
            loop {
                let asked = async {
                    match &mut asks {
                        Some(asks) => asks.next().await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    Some(order) = orders.recv() => self.obey(order).await,
                    ask = asked => match ask {
                        Ask::Reload => drop(self.reload().await),
                        Ask::Reopen => self.reopen(),
                    },
                }
            }
        };
        // A reload that is under way is given up: what it asked for is given back with the rest.
        stop.run_until_cancelled(serving).await.unwrap_or(());
        self.snapshot
    }

    async fn obey(&mut self, order: Order) {
        let heard = match order {
            Order::Reload(answer) => answer.send(self.reload().await).is_ok(),
            Order::HandOver { to, answer } => answer.send(self.hand_over(to).await).is_ok(),
        };
        if !heard {
            warn!("nobody waits for the outcome of the order any more");
        }
    }

    /// Hands the listening sockets over, and ends this gateway once the successor serves. Until then
    /// both accept nothing but what they would: this one serves on.
    async fn hand_over(&self, to: PathBuf) -> Result<(), Refused> {
        let Succession { under_way, done } = self.succession.clone();
        if under_way.swap(true, Ordering::Relaxed) {
            return Err("another successor is about to take over".to_owned());
        }
        let given = handover::give(to, &self.listeners, &self.sockets).await;
        let mut line = given.map_err(|error| {
            under_way.store(false, Ordering::Relaxed);
            Chain(&error).to_string()
        })?;
        self.tasks.spawn(async move {
            if line.successor_serves().await {
                done.cancel();
                // The end of the line tells the successor that this process has ended.
                std::future::pending::<()>().await;
            }
            under_way.store(false, Ordering::Relaxed);
            warn!("the successor went away before it served: this gateway serves on");
        });
        Ok(())
    }

    /// Opens the access record anew, under the name that it has.
    fn reopen(&self) {
        match sink::open(&self.snapshot.access_record.to) {
            Ok(sink) => {
                self.sinks.switch(sink);
                info!("access record reopened");
            }
            Err(error) => {
                error!(error = %Chain(&error), "the access record stays as it is");
            }
        }
    }

    /// Reads the configuration again and puts it to work; where anything stands in the way, all stays as
    /// it is.
    async fn reload(&mut self) -> Reload {
        match self.attempt().await {
            Ok(done) => {
                self.metrics.applied(&*self.clock);
                tell_applied(&done);
                done
            }
            Err(report) => {
                self.metrics.refused();
                error!(
                    report,
                    "configuration refused: the one before stays at work"
                );
                Reload {
                    outcome: "refused".to_owned(),
                    generation: self.metrics.generation(),
                    report: Some(report),
                    ..Reload::default()
                }
            }
        }
    }

    async fn attempt(&mut self) -> Result<Reload, Refused> {
        let snapshot = self.read().await?;
        if let Some(refused) = fixed::differences(&self.snapshot, &snapshot) {
            return Err(refused);
        }
        let former = Some(&self.composition);
        let composed = compose::compose(&snapshot, &self.clock, &self.changes, former);
        let Composed { composition, draft } = composed.map_err(|it| Chain(&it).to_string())?;
        let sink = sink::open(&snapshot.access_record.to).map_err(|it| Chain(&it).to_string())?;
        let prepared = self.prepare_listeners(&snapshot).await?;
        let listeners = self.listeners.prepare(&prepared.specs);
        let listeners = listeners.map_err(|it| Chain(&it).to_string())?;

        // From here on nothing can fail but by the end of the process.
        let stopped = |it| Chain(&it).to_string();
        self.changes.declare(draft).await.map_err(stopped)?;
        compose::issuers::follow(&composition.keys, &self.tasks);
        let not_ready = self.await_fresh(&composition).await;
        self.plans.replace(&composition.gateway);
        self.standing.store(Arc::clone(&composition.gateway));
        self.sinks.switch(sink);
        // After the gateway: what reaches a new listener is not for the former one.
        let changes = self.listeners.apply(listeners, snapshot.shutdown.drain);
        self.watch_files_of(prepared).await;
        let budget = snapshot.shutdown.revoke;
        let told = self.changes.give_back_within(budget).await;
        told.map_err(|it| Chain(&it).to_string())?;
        let done = self.applied(&composition, changes, not_ready);
        self.snapshot = snapshot;
        let former = std::mem::replace(&mut self.composition, composition);
        self.take_leave(former);
        Ok(done)
    }

    async fn read(&self) -> Result<Snapshot, Refused> {
        let Some(file) = self.file.clone() else {
            return Err("this gateway was not started from a file".to_owned());
        };
        let read = spawn_blocking(move || leasehold_config::read(&file)).await;
        let read = read.map_err(|it| Chain(&it).to_string())?;
        read.map_err(check::report)
    }

    async fn prepare_listeners(&self, next: &Snapshot) -> Result<listeners::Prepared, Refused> {
        let (declared, watch) = (next.listeners.clone(), self.watch.clone());
        let prepared = spawn_blocking(move || listeners::prepare(&declared, &watch)).await;
        let prepared = prepared.map_err(|it| Chain(&it).to_string())?;
        prepared.map_err(|it| Chain(&it).to_string())
    }

    async fn watch_files_of(&self, listeners: listeners::Prepared) {
        let (watch, metrics) = (self.watch.clone(), self.proxy_metrics.clone());
        let replaced = spawn_blocking(move || watch.replace(listeners, &metrics)).await;
        if replaced.is_err() {
            error!("the files of the new listeners are not looked at");
        }
    }

    /// Waits for what the new configuration fetches, so that no route that works loses its credential.
    /// Returns what could not be had in time.
    async fn await_fresh(&self, next: &Composition) -> Vec<NotReady> {
        let fresh = next.holds_beside(&self.composition);
        let waits = fresh.flat_map(|(name, holding)| {
            let former = self.composition.holding(name).map(|it| &it.held);
            let handles = handles(&holding.held, former);
            handles.into_iter().map(move |it| (name, it))
        });
        let outcomes = waits.map(
            async |(name, handle)| match handle.acquired(READY_LIMIT).await {
                Ok(_) => None,
                Err(_unavailable) => Some(self.not_ready(name, &handle)),
            },
        );
        join_all(outcomes).await.into_iter().flatten().collect()
    }

    fn not_ready(&self, name: &CredentialName, handle: &Handle<Prepared>) -> NotReady {
        let cause = match handle.standing(self.clock.boot()) {
            Standing::Unavailable {
                failure: Some(failure),
            } => Failure::as_str(failure),
            Standing::Unavailable { failure: None } | Standing::Ready => "pending",
        };
        NotReady {
            credential: name.to_string(),
            cause: cause.to_owned(),
        }
    }

    fn applied(
        &self,
        next: &Composition,
        listeners: ListenerChanges,
        not_ready: Vec<NotReady>,
    ) -> Reload {
        let told = |names: Vec<ListenerName>| names.iter().map(ToString::to_string).collect();
        let names = |of: &Composition, beside: &Composition| -> Vec<String> {
            let fresh = of.holds_beside(beside);
            fresh.map(|(name, _)| name.to_string()).collect()
        };
        let fetched = names(next, &self.composition);
        let kept = next.len().saturating_sub(fetched.len());
        Reload {
            outcome: "applied".to_owned(),
            generation: self.metrics.generation().saturating_add(1),
            report: None,
            kept: u64::try_from(kept).unwrap_or(u64::MAX),
            fetched,
            given_back: names(&self.composition, next),
            not_ready,
            listeners_opened: told(listeners.opened.into_iter().map(|(name, _)| name).collect()),
            listeners_changed: told(listeners.changed),
            listeners_closed: told(listeners.closed),
        }
    }

    /// Gives back what is not needed any more, once no request can take it.
    fn take_leave(&self, former: Composition) {
        let dismissal = former.dismissed_for(&self.composition);
        let changes = self.changes.clone();
        let Composition { gateway, .. } = former;
        self.tasks.spawn(async move {
            until_unused(gateway).await;
            dismiss(&changes, dismissal).await;
        });
    }
}

/// Returns the handles to wait for: of a credential that consumers have for themselves, those of the
/// consumers that have one now.
fn handles(fresh: &Held, former: Option<&Held>) -> Vec<Handle<Prepared>> {
    match (fresh, former) {
        (Held::Shared(handle), _) => vec![handle.clone()],
        (Held::PerConsumer(family), Some(Held::PerConsumer(former))) => {
            let consumers = former.consumers();
            let handles = consumers.iter().filter_map(|it| family.handle(it).ok());
            handles.collect()
        }
        (Held::PerConsumer(_), Some(Held::Shared(_)) | None) => Vec::new(),
    }
}

/// Waits until no request looks for its credential in a gateway any more, or has had time enough to.
///
/// One that has begun there may be about to take it; one that has taken it holds it by itself.
async fn until_unused(gateway: Arc<Gateway>) {
    let unused = async {
        while Arc::strong_count(&gateway) > 1 {
            tokio::time::sleep(UNUSED_INTERVAL).await;
        }
    };
    if tokio::time::timeout(UNUSED_LIMIT, unused).await.is_err() {
        info!("requests of the former configuration go on with what they hold");
    }
}

async fn dismiss(changes: &Changes<Prepared>, dismissal: Dismissal<Prepared>) {
    if let Err(error) = changes.dismiss(dismissal).await {
        // Its end gives everything back.
        info!(error = %Chain(&error), "nothing is given back one by one any more");
    }
}

fn tell_applied(done: &Reload) {
    info!(
        generation = done.generation,
        kept = done.kept,
        fetched = done.fetched.join(" "),
        given_back = done.given_back.join(" "),
        listeners_opened = done.listeners_opened.join(" "),
        listeners_changed = done.listeners_changed.join(" "),
        listeners_closed = done.listeners_closed.join(" "),
        "configuration applied"
    );
    for it in &done.not_ready {
        warn!(
            credential = it.credential,
            cause = it.cause,
            "the credential is not to be had yet: its routes answer 503 until it is"
        );
    }
}

/// How long a reload waits for what it fetches.
const READY_LIMIT: Duration = Duration::from_secs(10);
/// As long as a consumer's first request may wait for its credential.
const UNUSED_LIMIT: Duration = Duration::from_secs(20);
const UNUSED_INTERVAL: Duration = Duration::from_millis(20);
