//! The gateway from its start to its orderly end.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use leasehold_admin::{Admin, Readiness, RouteReadiness};
use leasehold_audit::{Recorder, SinkError};
use leasehold_broker::{Leftover, Standing};
use leasehold_config::{RecordTarget, Snapshot, Workers};
use leasehold_model::{Clock, Failure, ListenerName, SystemClock};
use leasehold_proxy::{Gateway, ProxyMetrics, Server};
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};

use crate::cli::ServeArgs;
use crate::compose::{self, ComposeError, Composed};
use crate::{check, logging, output};

/// Why the gateway could not start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    #[error("start the control runtime")]
    Runtime(#[source] io::Error),
    #[error("put the configuration to work")]
    Compose(#[from] ComposeError),
    #[error("open the access record")]
    Sink(#[from] SinkError),
    #[error("start the access record writer")]
    Recorder(#[source] io::Error),
    #[error("bind the listeners")]
    Bind(#[source] io::Error),
    #[error("bind the admin listener to {address}")]
    BindAdmin {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("start the workers")]
    Workers(#[source] io::Error),
    #[error("listen for signals")]
    Signals(#[source] io::Error),
}

/// Where a gateway that has started can be reached.
#[derive(Debug)]
pub(crate) struct Addresses {
    pub(crate) listeners: Vec<(ListenerName, SocketAddr)>,
    pub(crate) admin: SocketAddr,
}

/// Runs the gateway until it is told to stop. Fails where a lease could not be given back.
pub(crate) fn run(args: &ServeArgs) -> ExitCode {
    let snapshot = match leasehold_config::read(&args.config) {
        Ok(snapshot) => snapshot,
        Err(error) => return check::refuse(error),
    };
    logging::start(args.log);
    match run_to_end(snapshot) {
        Ok(left) if left.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => output::fail_with(&error),
    }
}

fn run_to_end(snapshot: Snapshot) -> Result<Vec<Leftover>, ServeError> {
    let sink = open_sink(&snapshot.access_record.to)?;
    control_runtime()?.block_on(async {
        let stop = Stop::listen()?;
        serve(snapshot, sink, |_| {}, stop.told()).await
    })
}

/// Makes the runtime for everything that is not on the data path.
pub(crate) fn control_runtime() -> Result<tokio::runtime::Runtime, ServeError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ServeError::Runtime)
}

/// Serves a configuration until `stop` completes, then drains requests and gives every lease back.
/// Returns the leases that could not be given back.
pub(crate) async fn serve(
    snapshot: Snapshot,
    sink: Box<dyn Write + Send>,
    started: impl FnOnce(&Addresses),
    stop: impl Future<Output = ()>,
) -> Result<Vec<Leftover>, ServeError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut registry = Registry::default();
    let Composed { broker, gateway } = compose::compose(&snapshot, &clock, &mut registry)?;
    let gateway = Arc::new(gateway);
    let metrics = ProxyMetrics::register(&mut registry);
    let (recorder, records) =
        Recorder::start(sink, leasehold_audit::DEFAULT_CAPACITY, &mut registry)
            .map_err(ServeError::Recorder)?;

    let listeners: Vec<_> = snapshot
        .listeners
        .iter()
        .map(|it| (it.name.clone(), it.address))
        .collect();
    let bound = Server::bind(&listeners, workers(snapshot.workers)).map_err(ServeError::Bind)?;
    let admin_listener = bind_admin(snapshot.admin.address).await?;
    let admin_address = admin_listener.local_addr().map_err(ServeError::Bind)?;
    let addresses = Addresses {
        listeners: bound.addresses().to_vec(),
        admin: admin_address,
    };

    let tasks = TaskTracker::new();
    let (stop_broker, stop_admin) = (CancellationToken::new(), CancellationToken::new());
    let draining = Arc::new(AtomicBool::new(false));
    let admin = Admin {
        registry: Arc::new(registry),
        readiness: readiness(&gateway, &clock, &draining),
    };
    let admin = tasks.spawn(leasehold_admin::serve(
        admin_listener,
        admin,
        stop_admin.clone(),
    ));
    let broker = tasks.spawn(broker.run(stop_broker.clone(), snapshot.shutdown.revoke));
    let server = bound
        .run(&gateway, &recorder, &metrics, &clock)
        .map_err(ServeError::Workers)?;
    announce(&snapshot, &addresses);
    started(&addresses);

    stop.await;
    info!("draining");
    draining.store(true, Ordering::Relaxed);
    // Requests first: a lease can be given back once no request uses it.
    let limit = snapshot.shutdown.drain;
    let cut = tokio::task::spawn_blocking(move || server.drain(limit)).await;
    match cut {
        Ok(0) => {}
        Ok(cut) => warn!(
            connections = cut,
            "connections were cut at the end of the drain"
        ),
        Err(panic) => error!(%panic, "the drain failed"),
    }
    stop_broker.cancel();
    let left = broker.await.unwrap_or_default();
    for lease in &left {
        error!(
            credential = %lease.credential,
            generation = lease.generation.get(),
            lease_id = %lease.lease_id,
            "lease not given back: revoke it by hand or let it run out"
        );
    }
    stop_admin.cancel();
    if let Ok(Err(failure)) = admin.await {
        error!(error = %failure, "the admin listener failed");
    }
    // The writer blocks for as long as its sink does.
    if tokio::task::spawn_blocking(move || records.finish())
        .await
        .is_err()
    {
        error!("the access record could not be finished");
    }
    info!("stopped");
    Ok(left)
}

fn workers(declared: Workers) -> usize {
    match declared {
        Workers::Count(count) => count.get(),
        Workers::PerCore => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
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
}

async fn bind_admin(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::BindAdmin { address, source })
}

fn readiness(
    gateway: &Arc<Gateway>,
    clock: &Arc<dyn Clock>,
    draining: &Arc<AtomicBool>,
) -> Arc<dyn Fn() -> Readiness + Send + Sync> {
    let (gateway, clock, draining) = (Arc::clone(gateway), Arc::clone(clock), Arc::clone(draining));
    Arc::new(move || Readiness {
        draining: draining.load(Ordering::Relaxed),
        routes: gateway
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

fn open_sink(target: &RecordTarget) -> Result<Box<dyn Write + Send>, SinkError> {
    Ok(match target {
        RecordTarget::Stdout => Box::new(leasehold_audit::stdout()?),
        RecordTarget::File(path) => Box::new(leasehold_audit::append(path)?),
    })
}

/// The signals that end the process in order.
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Stop {
    /// Takes the signals over from the system, which would end the process without giving a lease
    /// back.
    pub(crate) fn listen() -> Result<Self, ServeError> {
        let listen = |kind| signal(kind).map_err(ServeError::Signals);
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits until the process is told to stop. SIGHUP, which asks other servers to reload, is
    /// answered in the log.
    pub(crate) async fn told(mut self) {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    warn!("SIGHUP: reloading is not supported yet, restart to change the configuration");
                }
            }
        }
    }
}
