use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::output::say;
use crate::serve::Addresses;

/// Calls the gateway all the time and tells what its records say.
pub(crate) struct Caller {
    gateway: SocketAddr,
    admin: SocketAddr,
    consumer_key: String,
    records: UnboundedReceiver<Value>,
    traffic: Traffic,
}

/// What the calls came to.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) requests: u64,
    pub(crate) failed: u64,
    pub(crate) generations: u64,
}

impl Caller {
    pub(crate) fn new(
        addresses: &Addresses,
        consumer_key: String,
        records: UnboundedReceiver<Value>,
    ) -> Self {
        let gateway = addresses
            .listeners
            .first()
            .and_then(|(_, it)| it.tcp())
            .unwrap_or(addresses.admin);
        let traffic = Traffic::default();
        Self {
            gateway,
            admin: addresses.admin,
            consumer_key,
            records,
            traffic,
        }
    }

    /// Tells a person what to look at.
    pub(crate) fn introduce(&self, shows: &str) {
        let Self {
            gateway,
            admin,
            consumer_key,
            ..
        } = self;
        tell(&format!(
            "\nThe gateway is up. Call it yourself from another terminal:\n\n    \
             curl -i -H 'X-Api-Key: {consumer_key}' http://{gateway}/\n\n\
             {shows}\n\
             Your key is the gateway's business and ends there. What the origin is shown in its place \
             never leaves the gateway and the origin.\n\n    \
             curl http://{admin}/readyz      how each route stands\n    \
             curl http://{admin}/metrics     what is counted\n\n\
             Requests run all the time from here on. Ctrl-C ends it all.\n"
        ));
    }

    /// Calls until it is over. A call that fails is told and counted.
    pub(crate) async fn call_until(mut self, over: CancellationToken) -> Result<Traffic> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .build()?;
        self.await_first(&client, &over).await?;
        let mut next = interval(BETWEEN_CALLS);
        next.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut report = interval(BETWEEN_REPORTS);
        while !over.is_cancelled() {
            tokio::select! {
                () = over.cancelled() => {}
                _ = next.tick() => self.call(&client).await,
                _ = report.tick() => self.report(),
                Some(record) = self.records.recv() => self.note(&record),
            }
        }
        self.report();
        Ok(self.traffic)
    }

    /// Waits for the first generation: until then the gateway refuses, as it should.
    async fn await_first(&self, client: &reqwest::Client, over: &CancellationToken) -> Result<()> {
        let ready = format!("http://{}/readyz", self.admin);
        while !over.is_cancelled() && !client.get(&ready).send().await?.status().is_success() {
            tokio::time::sleep(BETWEEN_CALLS).await;
        }
        Ok(())
    }

    async fn call(&mut self, client: &reqwest::Client) {
        let request = client.get(format!("http://{}/", self.gateway));
        let answer = request.header("x-api-key", &self.consumer_key).send().await;
        self.traffic.requests += 1;
        let failure = match answer {
            Ok(answer) if answer.status().is_success() => return,
            Ok(answer) => answer.status().to_string(),
            Err(error) => error.without_url().to_string(),
        };
        self.traffic.failed += 1;
        tell(&format!("a request failed: {failure}"));
    }

    fn note(&mut self, record: &Value) {
        if let Some(generation) = record.get("generation").and_then(Value::as_u64) {
            self.traffic.generations = self.traffic.generations.max(generation);
        }
    }

    fn report(&self) {
        let Traffic {
            requests,
            failed,
            generations,
        } = &self.traffic;
        tell(&format!(
            "{requests:>6} requests, {failed} failed, latest with generation {generations}"
        ));
    }
}

/// Where nobody reads the terminal any more, the demonstration goes on to its end all the same.
pub(crate) fn tell(line: &str) {
    say(line).ok();
}

const BETWEEN_CALLS: Duration = Duration::from_millis(20);
const BETWEEN_REPORTS: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(10);
