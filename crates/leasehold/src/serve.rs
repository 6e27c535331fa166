//! The gateway from its start to its orderly end.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use leasehold_admin::{
    Admin, Operator, OperatorSocket, Readiness, RouteReadiness, SharedSocket, SocketError,
};
use leasehold_audit::{Recorder, RecorderTask, SinkError};
use leasehold_broker::{Broker, BrokerMetrics, Control, End, Standing, UnknownProvider};
use leasehold_config::Snapshot;
use leasehold_inject::Prepared;
use leasehold_model::{Clock, Failure, ListenerName, SystemClock};
use leasehold_otlp::Telemetry;
use leasehold_provider::FingerprintKey;
use leasehold_proxy::{BindError, Gateway, ListenerAddress, ProxyMetrics, RunningServer};
use prometheus_client::registry::Registry;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use self::bind::Bound;
use self::handover::{Opened, Own, TakeOverError};
pub(crate) use self::reload::Order;
use self::reload::{ReloadMetrics, Reloader, Succession};
pub(crate) use self::signals::{Asks, Stop, listen};
use crate::cli::ServeArgs;
use crate::compose::{self, ComposeError, Composed};
use crate::listeners::{self, ListenerError, Watch};
use crate::operations::GatewayOperations;
use crate::{check, logging, output};

mod activation;
mod bind;
mod handover;
mod ledger;
mod reload;
mod signals;
mod sink;
mod telemetry;

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("start the control runtime")]
    Runtime(#[source] io::Error),
    #[error("put the configuration to work")]
    Compose(#[from] ComposeError),
    #[error("draw the fingerprint key from the system's random source")]
    Random(#[source] leasehold_provider::RandomError),
    #[error("declare a credential")]
    Credential(#[from] UnknownProvider),
    #[error("open the ledger")]
    Ledger(#[from] ledger::KeepError),
    #[error("open the access record")]
    Sink(#[from] SinkError),
    #[error("make ready to send telemetry")]
    Telemetry(#[from] leasehold_otlp::StartError),
    #[error("start the access record writer")]
    Recorder(#[source] io::Error),
    #[error(transparent)]
    Listener(#[from] ListenerError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error("bind the admin listener to {address}")]
    BindAdmin {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("keep the listening sockets for a successor")]
    Sockets(#[source] io::Error),
    #[error("take over from the gateway that runs")]
    TakeOver(#[from] TakeOverError),
    #[error("make the operator's socket")]
    Socket(#[from] SocketError),
    #[error("start the workers")]
    Workers(#[source] io::Error),
    #[error("the broker ended by itself, so leases may be left behind: see the log")]
    Broker,
    #[error("listen for signals")]
    Signals(#[source] io::Error),
}

/// Where a gateway that has started can be reached.
#[derive(Debug)]
pub(crate) struct Addresses {
    pub(crate) listeners: Vec<(ListenerName, ListenerAddress)>,
    pub(crate) admin: SocketAddr,
}

/// Runs the gateway until it is told to stop. Fails where something was not given back.
pub(crate) fn run(args: &ServeArgs) -> ExitCode {
    let snapshot = match leasehold_config::read(&args.config) {
        Ok(snapshot) => snapshot,
        Err(error) => return check::refuse(error),
    };
    // Before there is a runtime: its client has one of its own.
    let telemetry = match telemetry::start(&snapshot) {
        Ok(telemetry) => telemetry,
        Err(error) => return output::fail_with(&ServeError::from(error)),
    };
    logging::start(args.log, telemetry.as_ref());
    match run_to_end(snapshot, telemetry, args) {
        Ok(end) if end.is_clean() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => output::fail_with(&error),
    }
}

fn run_to_end(
    snapshot: Snapshot,
    telemetry: Option<Telemetry>,
    args: &ServeArgs,
) -> Result<End, ServeError> {
    let outputs = Outputs {
        records: sink::open(&snapshot.access_record.to)?,
        telemetry,
    };
    // Before there is another thread: what systemd has passed is taken once.
    let activated = activation::take(&snapshot.listeners);
    let runtime = control_runtime()?;
    let outcome = runtime.block_on(async {
        let (stop, asks) = listen()?;
        let origin = Origin {
            file: Some(args.config.clone()),
            asks: Some(asks),
            predecessor: args.upgrade_from.clone(),
            activated,
        };
        serve(snapshot, origin, outputs, |_| {}, stop.told()).await
    });
    // A thread that still waits for a stalled disk or pipe must not hold up the end.
    runtime.shutdown_background();
    outcome
}

/// Makes the runtime for everything that is not on the data path.
pub(crate) fn control_runtime() -> Result<Runtime, ServeError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)
}

/// Serves a configuration until `stop` completes, then drains requests and gives every lease back.
///
/// # Errors
///
/// When the gateway can't start, and when the broker ends before it is told to.
pub(crate) async fn serve(
    snapshot: Snapshot,
    origin: Origin,
    outputs: Outputs,
    started: impl FnOnce(&Addresses),
    stop: impl Future<Output = ()>,
) -> Result<End, ServeError> {
    let in_ledger = snapshot.ledger.is_some();
    let mut running = Running::start(snapshot, origin, outputs).await?;
    started(&running.addresses);
    let succeeded = running.succession.done.clone();
    let broker_is_gone = tokio::select! {
        () = stop => false,
        () = succeeded.cancelled() => {
            running.leave_to_successor();
            false
        }
        // Without it nothing is renewed: better an end in order than a slow death.
        _gone = &mut running.broker => true,
    };
    running.drain().await;
    let end = if broker_is_gone {
        None
    } else {
        let end = running.give_back().await;
        end.inspect(|end| tell_what_is_left(end, in_ledger))
    };
    running.finish().await;
    end.ok_or(ServeError::Broker)
}

/// Where new configurations come from while the gateway runs.
#[derive(Default)]
pub(crate) struct Origin {
    /// The file of the one that it starts with.
    pub(crate) file: Option<PathBuf>,
    /// The signals that ask for it to be read again.
    pub(crate) asks: Option<Asks>,
    /// The operator's socket of the gateway that this one takes over from.
    pub(crate) predecessor: Option<PathBuf>,
    /// Listening sockets that systemd has opened.
    pub(crate) activated: Vec<(ListenerName, OwnedFd)>,
}

/// Where what the gateway tells of requests goes.
pub(crate) struct Outputs {
    pub(crate) records: Box<dyn Write + Send>,
    /// Who sends traces and the log to a collector, where there is one.
    pub(crate) telemetry: Option<Telemetry>,
}

/// A gateway that serves.
struct Running {
    addresses: Addresses,
    server: Option<RunningServer>,
    broker: JoinHandle<End>,
    admin: JoinHandle<io::Result<()>>,
    operator: Option<JoinHandle<io::Result<()>>>,
    records: RecorderTask,
    telemetry: Option<Telemetry>,
    reloader: JoinHandle<Snapshot>,
    succession: Succession,
    /// What of the operator's socket the successor goes on with.
    socket: Option<SharedSocket>,
    draining: Arc<AtomicBool>,
    stop_reloads: CancellationToken,
    stop_broker: CancellationToken,
    stop_admin: CancellationToken,
}

impl Running {
    async fn start(
        snapshot: Snapshot,
        origin: Origin,
        Outputs { records, telemetry }: Outputs,
    ) -> Result<Self, ServeError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let mut registry = Registry::default();
        let mut broker = broker(&clock, &mut registry)?;
        let changes = broker.changes();
        let Composed { composition, draft } = compose::compose(&snapshot, &clock, &changes, None)?;
        broker.declare(draft)?;
        let predecessor = origin.predecessor.as_deref();
        let ledger = ledger::keep(&snapshot, &mut broker, predecessor.is_some()).await?;
        let reload_metrics = ReloadMetrics::register(&mut registry, &*clock);
        let metrics = ProxyMetrics::register(&mut registry);
        let tracing = telemetry.as_ref().and_then(|it| {
            it.register(&mut registry);
            it.tracing()
        });
        let capacity = leasehold_audit::DEFAULT_CAPACITY;
        let (recorder, records) = Recorder::start_traced(records, capacity, &mut registry, tracing)
            .map_err(ServeError::Recorder)?;
        let (opened, line) = match predecessor {
            Some(socket) => {
                let (opened, line) = handover::take(socket).await?;
                (opened, Some(line))
            }
            None => (Opened::activated(origin.activated), None),
        };
        let watch = Watch::default();
        let listeners = listeners::prepare(&snapshot.listeners, &watch)?;
        let bound = Bound::new(&snapshot, &listeners.specs, opened, predecessor).await?;
        watch.replace(listeners, &metrics);
        let sockets = Own {
            admin: handover::again(&bound.admin).map_err(ServeError::Sockets)?,
            operator: share(bound.operator.as_ref()).map_err(ServeError::Sockets)?,
        };
        let socket = share(bound.operator.as_ref()).map_err(ServeError::Sockets)?;

        let tasks = TaskTracker::new();
        let (stop_broker, stop_admin) = (CancellationToken::new(), CancellationToken::new());
        tasks.spawn(watch.clone().run(metrics.clone(), stop_admin.clone()));
        compose::issuers::follow(&composition.keys, &tasks);
        let control = broker.control();
        let give_back = snapshot.shutdown.revoke;
        let broker = tasks.spawn(broker.run(stop_broker.clone(), give_back));
        if line.is_some()
            && let Err(error) = handover::await_credentials(&composition).await
        {
            stop_broker.cancel();
            let end = broker.await.map_err(|_panic| ServeError::Broker)?;
            tell_what_is_left(&end, snapshot.ledger.is_some());
            return Err(error.into());
        }
        let draining = Arc::new(AtomicBool::new(false));
        let standing = Arc::new(ArcSwap::from(Arc::clone(&composition.gateway)));
        let admin = Admin {
            registry: Arc::new(registry),
            readiness: readiness(&standing, &clock, &draining),
        };
        let Bound {
            server,
            admin: admin_listener,
            operator: operator_socket,
            addresses,
        } = bound;
        let admin = leasehold_admin::serve(admin_listener, admin, stop_admin.clone());
        let (orders, ordered) = mpsc::channel(ORDERS);
        let operator = operator_socket.map(|socket| {
            let operator = operator(&snapshot, control, orders.clone());
            leasehold_admin::serve_operator(socket, operator, stop_admin.clone())
        });
        let (server, listeners) = server
            .run(&composition.gateway, &recorder, &metrics, &clock)
            .map_err(ServeError::Workers)?;
        announce(&snapshot, &addresses);
        if let Some(mut line) = line {
            line.say_ready().await?;
            server.own_files();
            if let Some(socket) = &socket {
                socket.own();
            }
            tasks.spawn(ledger::follow(line, ledger, changes.clone()));
        }
        let (stop_reloads, succession) = (CancellationToken::new(), Succession::default());
        let reloader = Reloader {
            file: origin.file,
            snapshot,
            composition,
            changes,
            plans: server.plans(),
            listeners,
            watch,
            proxy_metrics: metrics,
            standing,
            sinks: records.sinks(),
            clock,
            metrics: reload_metrics,
            tasks: tasks.clone(),
            sockets,
            succession: succession.clone(),
        };
        let reloader = reloader.run(ordered, origin.asks, stop_reloads.clone());
        Ok(Self {
            addresses,
            server: Some(server),
            broker,
            reloader: tasks.spawn(reloader),
            succession,
            socket,
            stop_reloads,
            admin: tasks.spawn(admin),
            operator: operator.map(|it| tasks.spawn(it)),
            records,
            telemetry,
            draining,
            stop_broker,
            stop_admin,
        })
    }

    /// Answers operators no more: whoever asks now means the successor, which has the same sockets.
    fn leave_to_successor(&mut self) {
        info!("the successor serves");
        if let Some(socket) = &self.socket {
            socket.leave();
        }
        if let Some(server) = &self.server {
            server.leave_files();
        }
        self.stop_admin.cancel();
    }

    /// Lets requests end. This comes first: a lease can be given back once no request uses it.
    async fn drain(&mut self) {
        info!("draining");
        self.draining.store(true, Ordering::Relaxed);
        self.stop_reloads.cancel();
        let limit = match (&mut self.reloader).await {
            Ok(snapshot) => snapshot.shutdown.drain,
            Err(_panic) => {
                error!("the task that reloads the configuration failed");
                DRAIN_LIMIT
            }
        };
        let Some(server) = self.server.take() else {
            return;
        };
        let is_succeeded = self.succession.done.is_cancelled();
        let drained = tokio::task::spawn_blocking(move || {
            if is_succeeded {
                server.leave(limit)
            } else {
                server.drain(limit)
            }
        });
        match drained.await {
            Ok(0) => {}
            Ok(cut) => warn!(
                connections = cut,
                "connections were cut at the end of the drain"
            ),
            // The panic's message may hold anything; its place has been logged.
            Err(_panic) => error!("the drain failed"),
        }
    }

    /// Gives every lease back. `None` where the broker failed.
    async fn give_back(&mut self) -> Option<End> {
        self.stop_broker.cancel();
        (&mut self.broker).await.ok()
    }

    async fn finish(self) {
        self.stop_admin.cancel();
        if let Ok(Err(failure)) = self.admin.await {
            error!(error = %failure, "the admin listener failed");
        }
        if let Some(operator) = self.operator
            && let Ok(Err(failure)) = operator.await
        {
            error!(error = %failure, "the operator's socket failed");
        }
        // The writer blocks for as long as its sink does, which may be for ever.
        let finish = tokio::task::spawn_blocking(move || self.records.finish());
        if !matches!(
            tokio::time::timeout(RECORDS_LIMIT, finish).await,
            Ok(Ok(()))
        ) {
            error!("the last access records could not be written");
        }
        info!("stopped");
        if let Some(telemetry) = self.telemetry {
            telemetry::finish(telemetry).await;
        }
    }
}

/// Tells of everything that could not be given back, and what becomes of it.
fn tell_what_is_left(end: &End, in_ledger: bool) {
    let remedy = if in_ledger {
        "it is in the ledger, and the next start revokes it"
    } else {
        "revoke it by hand or let it run out"
    };
    for lease in &end.leases {
        error!(
            credential = %lease.credential,
            generation = lease.generation.get(),
            lease_id = %lease.lease_id,
            remedy,
            "lease not given back"
        );
    }
    if !end.leases.is_empty() || end.unanswered > 0 || end.sessions > 0 {
        let (leases, unanswered, sessions) = (end.leases.len(), end.unanswered, end.sessions);
        error!(
            leases,
            unanswered, sessions, remedy, "the budget for giving back was not enough"
        );
    }
}

fn announce(snapshot: &Snapshot, addresses: &Addresses) {
    info!(
        instance = %snapshot.instance,
        version = env!("CARGO_PKG_VERSION"),
        routes = snapshot.routes.len(),
        "started"
    );
    for (listener, address) in &addresses.listeners {
        info!(%listener, %address, "listening");
    }
    info!(address = %addresses.admin, "admin listening");
    if let Some(socket) = &snapshot.admin.socket {
        info!(socket = %socket.display(), "operator's socket listening");
    }
}

fn share(socket: Option<&OperatorSocket>) -> io::Result<Option<SharedSocket>> {
    socket.map(OperatorSocket::share).transpose()
}

fn operator(snapshot: &Snapshot, control: Control, orders: mpsc::Sender<Order>) -> Operator {
    Operator {
        instance: snapshot.instance.clone(),
        operations: Arc::new(GatewayOperations { control, orders }),
    }
}

/// Makes a broker that nothing is declared to yet.
fn broker(clock: &Arc<dyn Clock>, registry: &mut Registry) -> Result<Broker<Prepared>, ServeError> {
    let fingerprints = FingerprintKey::generate().map_err(ServeError::Random)?;
    let metrics = BrokerMetrics::register(registry);
    Ok(Broker::new(Arc::clone(clock), fingerprints, metrics))
}

fn readiness(
    gateway: &Arc<ArcSwap<Gateway>>,
    clock: &Arc<dyn Clock>,
    draining: &Arc<AtomicBool>,
) -> Arc<dyn Fn() -> Readiness + Send + Sync> {
    let (gateway, clock, draining) = (Arc::clone(gateway), Arc::clone(clock), Arc::clone(draining));
    Arc::new(move || Readiness {
        draining: draining.load(Ordering::Relaxed),
        routes: gateway
            .load()
            .readiness(clock.boot())
            .into_iter()
            .map(|it| {
                let (ready, cause) = match it.standing {
                    Standing::Ready => (true, None),
                    Standing::Unavailable { failure } => {
                        (false, Some(failure.map_or("pending", Failure::as_str)))
                    }
                };
                RouteReadiness {
                    route: it.route,
                    ready,
                    cause,
                }
            })
            .collect(),
    })
}

/// Orders that may wait for the one that is carried out.
const ORDERS: usize = 16;
const DRAIN_LIMIT: Duration = Duration::from_secs(30);
const RECORDS_LIMIT: Duration = Duration::from_secs(5);
