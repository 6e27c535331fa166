//! `leasehold demo`: the gateway at work, with servers of its own.
//!
//! The gateway in the demonstration is the one that `serve` runs: the same configuration format, the
//! same rooms. Everything stands in a temporary directory and listens on loopback.

mod database;
mod rotating_key;
mod tap;
mod traffic;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use leasehold_consumer::KeyDigest;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::cli::DemoArgs;
use crate::demo::tap::Tap;
use crate::demo::traffic::{Caller, Traffic};
use crate::serve::{self, Addresses, Origin, Outputs, Stop};
use crate::{logging, output};

/// Runs the demonstration until Ctrl-C. Fails where a request failed or something was left behind.
pub(crate) fn run(args: &DemoArgs) -> ExitCode {
    logging::start_for_people();
    let outcome = serve::control_runtime()
        .context("start the runtime")
        .and_then(|runtime| runtime.block_on(demonstrate(args)));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => output::fail(&format!("{error:#}")),
    }
}

async fn demonstrate(args: &DemoArgs) -> Result<bool> {
    // Before any server is started: Ctrl-C from here on is an orderly end.
    let (stop, _others) = serve::listen()?;
    let stop = stop_after(stop, args.seconds.map(Duration::from_secs));
    if args.openbao {
        database::run(stop).await
    } else {
        rotating_key::run(stop).await
    }
}

/// A gateway that serves the demonstration's configuration, and a caller that keeps it busy.
struct Stage {
    /// The configuration, but for what every demonstration has in common.
    config: String,
    upstream_shows: &'static str,
}

impl Stage {
    /// Plays until `stop` completes. `beside` goes on at the same time; it is told when to end.
    async fn play<B>(
        self,
        stop: impl Future<Output = ()>,
        beside: impl FnOnce(CancellationToken) -> B,
    ) -> Result<Traffic>
    where
        B: Future<Output = Result<()>> + Send + 'static,
    {
        let consumer_key = leasehold_testkit::secret()?;
        let document = self.document(&consumer_key);
        let snapshot = leasehold_config::load("demonstration", &document)?;
        let (tap, records) = Tap::new();
        let tasks = TaskTracker::new();
        let over = CancellationToken::new();
        let beside = tasks.spawn(beside(over.clone()));
        let mut traffic = None;
        let started = |addresses: &Addresses| {
            let caller = Caller::new(addresses, consumer_key, records);
            caller.introduce(self.upstream_shows);
            traffic = Some(tasks.spawn(caller.call_until(over.clone())));
        };
        let end_of_traffic = async {
            stop.await;
            over.cancel();
        };
        let left = serve::serve(
            snapshot,
            Origin::default(),
            Outputs {
                records: Box::new(tap),
                telemetry: None,
            },
            started,
            end_of_traffic,
        )
        .await?;
        let traffic = traffic.context("the gateway did not start")?.await??;
        beside.await??;
        anyhow::ensure!(left.is_clean(), "not everything was given back: {left:?}");
        Ok(traffic)
    }

    fn document(&self, consumer_key: &str) -> String {
        let digest = KeyDigest::of(consumer_key.as_bytes()).0;
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!(
            "instance: demo\n\
             listeners: {{ public: {{ address: \"127.0.0.1:0\" }} }}\n\
             admin: {{ address: \"127.0.0.1:0\" }}\n\
             consumers: {{ you: {{ keys: [{{ sha256: {digest} }}] }} }}\n\
             routes: [{{ name: demo, upstream: origin, consumers: [you] }}]\n\
             {}",
            self.config
        )
    }
}

async fn stop_after(stop: Stop, limit: Option<Duration>) {
    match limit {
        // The end of the time is the ordinary end here.
        Some(limit) => drop(tokio::time::timeout(limit, stop.told()).await),
        None => stop.told().await,
    }
}
