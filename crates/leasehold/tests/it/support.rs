use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use leasehold_testkit::{GatewayProcess, Lab, scan, wait};
use reqwest::{Client, StatusCode};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use tokio::sync::{Mutex, MutexGuard};
use tokio::task::{JoinError, JoinSet};

/// A gateway under test and a consumer of it.
pub(crate) struct Gateway {
    process: GatewayProcess,
    url: String,
    admin: String,
    client: Client,
    /// Everything that a consumer or an operator was answered, to be searched for secrets.
    answers: Vec<String>,
}

/// What a consumer was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) content_type: String,
    pub(crate) text: String,
}

/// An access record as it stands in its line.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Record {
    pub(crate) time: String,
    pub(crate) status: Option<u16>,
    pub(crate) reason: Option<String>,
    pub(crate) consumer: Option<String>,
    pub(crate) route: Option<String>,
    pub(crate) upstream: Option<String>,
    pub(crate) endpoint: Option<String>,
    pub(crate) credential: Option<String>,
    pub(crate) generation: Option<u64>,
    pub(crate) retried_after: Option<u64>,
    pub(crate) lease_id: Option<String>,
    pub(crate) provider_request_id: Option<String>,
    pub(crate) fingerprint: Option<String>,
    pub(crate) trace_id: String,
}

/// Statuses and how often each was answered.
pub(crate) type Statuses = BTreeMap<u16, usize>;

impl Gateway {
    /// Starts a gateway with the given parts of a configuration added to what all have in common:
    /// a listener, the admin listener and the consumers `tester` and `other`.
    pub(crate) async fn start(parts: &str) -> Result<Self> {
        Self::of(GatewayProcess::start(binary(), &document(parts)).await?).await
    }

    /// Starts a gateway of this name that has an operator's socket.
    pub(crate) async fn start_operated(instance: &str, socket: &Path, parts: &str) -> Result<Self> {
        let document = operated_document(instance, socket, parts);
        Self::of(GatewayProcess::start(binary(), &document).await?).await
    }

    /// Writes another configuration into the file that the gateway was started with.
    pub(crate) fn configure(&self, document: &str) -> Result<()> {
        std::fs::write(self.process.config_file(), document).context("write the configuration")
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.process.process_id().context("the gateway has ended")?;
        let id = Pid::from_raw(i32::try_from(id)?).context("a process id")?;
        Ok(kill_process(id, signal)?)
    }

    /// Takes a gateway that has been started with a [`document`].
    pub(crate) async fn of(mut process: GatewayProcess) -> Result<Self> {
        let url = format!("http://{}", process.address("public").await?);
        let admin = format!("http://{}", process.admin_address().await?);
        let client = Client::builder().no_proxy().timeout(PATIENCE).build()?;
        Ok(Self {
            process,
            url,
            admin,
            client,
            answers: Vec::new(),
        })
    }

    /// Takes the process of another gateway for this one's, which listens where this one did. Returns
    /// the former.
    pub(crate) fn succeeded_by(&mut self, process: GatewayProcess) -> GatewayProcess {
        std::mem::replace(&mut self.process, process)
    }

    /// Kills the gateway, as a crash would.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        self.process.kill().await?;
        Ok(())
    }

    /// Waits for the end of a gateway that was sent a signal.
    pub(crate) async fn aborted(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.process.ended(limit).await
    }

    /// Returns where it listens.
    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap_or(&self.url)
    }

    pub(crate) const fn process(&self) -> &GatewayProcess {
        &self.process
    }

    pub(crate) fn request(&self, path: &str) -> reqwest::RequestBuilder {
        self.request_as(CONSUMER_KEY, path)
    }

    /// Sends a request with this key.
    pub(crate) fn request_as(&self, key: &str, path: &str) -> reqwest::RequestBuilder {
        let request = self.client.get(format!("{}{path}", self.url));
        request.header("x-api-key", key)
    }

    pub(crate) async fn get(&mut self, path: &str) -> Result<Answer> {
        let answer = read(self.request(path)).await?;
        self.answers.push(answer.text.clone());
        Ok(answer)
    }

    /// Sends these headers and no consumer key of its own.
    pub(crate) async fn get_with(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer> {
        let request = self.client.get(format!("{}{path}", self.url));
        let request = headers
            .iter()
            .fold(request, |it, (name, value)| it.header(*name, *value));
        let answer = read(request).await?;
        self.answers.push(answer.text.clone());
        Ok(answer)
    }

    pub(crate) async fn admin(&mut self, path: &str) -> Result<Answer> {
        let answer = read(self.client.get(format!("{}{path}", self.admin))).await?;
        self.answers.push(answer.text.clone());
        Ok(answer)
    }

    /// Reads the metrics, which a test that waits for them reads often: they are not kept.
    pub(crate) async fn metrics(&self) -> Result<String> {
        let request = self.client.get(format!("{}/metrics", self.admin));
        Ok(read(request).await?.text)
    }

    /// Waits until a route has what it needs.
    pub(crate) async fn ready(&mut self, route: &str) -> Result<()> {
        let url = format!("{}/readyz/{route}", self.admin);
        let client = self.client.clone();
        wait::until_true(
            &format!("route {route} to be ready"),
            PATIENCE,
            async || Ok(client.get(&url).send().await?.status().is_success()),
        )
        .await
    }

    /// Sends a request each `interval` until `done`, whatever becomes of those before as long as they
    /// are not hundreds, and counts the statuses. A request that gets no answer counts as status 0.
    pub(crate) async fn load(
        &self,
        path: &str,
        interval: Duration,
        done: impl Future<Output = Result<()>>,
    ) -> Result<Statuses> {
        self.load_all(&[path.to_owned()], interval, done).await
    }

    /// As [`Gateway::load`], to one path after the other.
    pub(crate) async fn load_all(
        &self,
        paths: &[String],
        interval: Duration,
        done: impl Future<Output = Result<()>>,
    ) -> Result<Statuses> {
        let mut under_way = JoinSet::new();
        let mut ticks = tokio::time::interval(interval);
        let mut statuses = Statuses::new();
        let sending = async {
            for path in paths.iter().cycle() {
                ticks.tick().await;
                if under_way.len() >= MOST_UNDER_WAY {
                    count(&mut statuses, under_way.join_next().await)?;
                }
                let request = self.request(path);
                under_way.spawn(async { read(request).await.map_or(0, |it| it.status.as_u16()) });
            }
            Err::<(), _>(anyhow!("there is no path to ask for"))
        };
        tokio::select! {
            result = done => result?,
            result = sending => result?,
        }
        while let Some(status) = under_way.join_next().await {
            count(&mut statuses, Some(status))?;
        }
        Ok(statuses)
    }

    pub(crate) fn records(&self) -> Result<Vec<Record>> {
        let text = self.process.stdout()?;
        let parse = |line| serde_json::from_str(line).with_context(|| format!("record {line}"));
        // While the gateway runs, the last line may be half written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(parse).collect()
    }

    /// Ends the gateway in order.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        self.stop_within(PATIENCE).await
    }

    /// As [`Gateway::stop`], for one that has much to give back.
    pub(crate) async fn stop_within(&mut self, limit: Duration) -> Result<()> {
        let status = self.process.terminate(limit).await?;
        ensure!(
            status.success(),
            "the gateway ended with {status}:\n{}",
            self.process.stderr()?
        );
        Ok(())
    }

    /// Fails where a secret shows in anything that the gateway wrote or answered.
    pub(crate) fn assert_no_leak(&self, secrets: &[String]) -> Result<()> {
        let log = self.process.stderr()?;
        let records = self.process.stdout()?;
        ensure!(!log.is_empty(), "there is a log to search");
        for (name, text) in [("log", &log), ("access record", &records)] {
            let hits = scan(text.as_bytes(), secrets)?;
            ensure!(hits.is_empty(), "secrets in the {name}: {hits:?}");
        }
        let hits = scan(self.answers.join("\n").as_bytes(), secrets)?;
        ensure!(hits.is_empty(), "secrets in answers: {hits:?}");
        Ok(())
    }
}

fn count(statuses: &mut Statuses, ended: Option<Result<u16, JoinError>>) -> Result<()> {
    if let Some(status) = ended {
        *statuses.entry(status?).or_default() += 1;
    }
    Ok(())
}

async fn read(request: reqwest::RequestBuilder) -> Result<Answer> {
    let response = request.send().await?;
    let status = response.status();
    let content_type = response.headers().get("content-type");
    let content_type = content_type
        .map_or("", |it| it.to_str().unwrap_or(""))
        .to_owned();
    Ok(Answer {
        status,
        content_type,
        text: response.text().await?,
    })
}

/// Returns the program under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_leasehold"))
}

/// Returns a whole configuration of which `parts` are given.
pub(crate) fn document(parts: &str) -> String {
    format!("{COMMON}{parts}")
}

/// As [`document`], of a gateway of this name that has an operator's socket.
pub(crate) fn operated_document(instance: &str, socket: &Path, parts: &str) -> String {
    let common = COMMON.replace("under-test", instance);
    let admin = "admin: { address: \"127.0.0.1:0\"";
    let common = common.replace(admin, &format!("{admin}, socket: {socket:?}"));
    format!("{common}{parts}")
}

/// Starts a lab, and lets no other test start one until the guard is dropped: two cores can't give a
/// lease of three seconds its due with other servers starting beside it.
pub(crate) async fn lab() -> Result<(MutexGuard<'static, ()>, Lab)> {
    let turn = lab_turn().await;
    Ok((turn, Lab::start().await?))
}

/// Waits for the turn to start a lab.
pub(crate) async fn lab_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}

/// The part of a configuration that declares the lab's OpenBao as provider `vault`.
pub(crate) async fn vault_provider(lab: &Lab) -> Result<String> {
    let approle = lab.approle("gateway").await?;
    Ok(format!(
        "providers:\n  \
           vault:\n    \
             kind: vault\n    \
             address: {:?}\n    \
             auth: {{ approle: {{ role_id: {:?}, secret_id: {{ file: {:?} }} }} }}\n",
        lab.openbao.address(),
        approle.role_id,
        approle.secret_id_file
    ))
}

/// Fails with the gateway's log where a request was answered otherwise than with 200.
pub(crate) fn all_served(gateway: &Gateway, statuses: &Statuses) -> Result<()> {
    if statuses.keys().eq([&200]) {
        return Ok(());
    }
    let mut others = gateway.records()?;
    others.retain(|record| record.status != Some(200));
    bail!("{statuses:?}\n{others:#?}\n{}", gateway.process().stderr()?)
}

/// Nothing of a gateway's is left in the database.
pub(crate) async fn no_user_left(lab: &Lab) -> Result<()> {
    let left = lab.postgres.login_roles_like("v-").await?;
    ensure!(left.is_empty(), "database users left: {left:?}");
    Ok(())
}

/// So that a machine that is too slow for a load runs out of time and not of files.
const MOST_UNDER_WAY: usize = 256;
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The keys of the consumers `tester` and `other`; their digests stand in [`COMMON`].
pub(crate) const OTHER_KEY: &str = "the-others-key";
pub(crate) const CONSUMER_KEY: &str = "the-testers-key";
const COMMON: &str = "\
instance: under-test
listeners: { public: { address: \"127.0.0.1:0\" } }
admin: { address: \"127.0.0.1:0\" }
consumers:
  tester: { keys: [{ sha256: 42407b7d4887bdb864a4712eb2e3d1905830bd87f72ef9a5e8fc8af57c5d32ce }] }
  other: { keys: [{ sha256: 8302f732bcf72cbe01fb853fa4c65669e868acabfadea9550513656b7340cf68 }] }
";
