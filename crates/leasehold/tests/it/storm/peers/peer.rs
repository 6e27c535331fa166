use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use leasehold_testkit::{Authority, GatewayProcess, Lab, free_port, wait};
use tokio::process::{Child, Command};

use crate::support::{binary, vault_provider};

/// Where everything of a run is, and what stands for the placeholders in the configurations.
pub(super) struct Place {
    directory: PathBuf,
    origin: u16,
    origin_tls: u16,
}

impl Place {
    pub(super) fn prepare(directory: &Path) -> Result<Self> {
        let authority = Authority::generate()?;
        let server = authority.server(directory)?;
        let place = Self {
            directory: directory.to_owned(),
            origin: free_port()?,
            origin_tls: free_port()?,
        };
        let (certificate, key) = (fs::read(server.certificate)?, fs::read(server.key)?);
        place.write("server.pem", &certificate)?;
        place.write("server.key", &key)?;
        place.write("server.both.pem", &[certificate, key].concat())?;
        place.write("ca.pem", &fs::read(authority.ca_pem())?)?;
        place.write("100k", &b"0123456789abcdef".repeat(6400))?;
        Ok(place)
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Writes a file that belongs to its owner alone, as keys must.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt as _;
        let file = self.file(name);
        fs::write(&file, bytes).with_context(|| format!("write {name}"))?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
        Ok(file)
    }

    fn fill(&self, template: &str, more: &[(&str, String)]) -> String {
        let directory = self.directory.display().to_string();
        let common = [
            ("DIR", directory),
            ("ORIGIN", self.origin.to_string()),
            ("ORIGIN_TLS", self.origin_tls.to_string()),
            (
                "CREDENTIAL",
                "Basic dXNlcjpwYXNzd29yZC1vZi10aGUtYmVuY2htYXJr".to_owned(),
            ),
            ("BODY", "0123456789abcdef".repeat(64)),
        ];
        let all = common.iter().chain(more);
        all.fold(template.to_owned(), |text, (name, value)| {
            text.replace(&format!("@{name}@"), value)
        })
    }
}

/// The server behind all peers.
pub(super) struct Origin(#[expect(dead_code, reason = "ends when it is dropped")] Child);

impl Origin {
    pub(super) async fn start(place: &Place) -> Result<Self> {
        let text = place.fill(include_str!("origin.conf"), &[]);
        let file = place.write("origin.conf", text.as_bytes())?;
        let child = spawn(LOAD_CORE, &nginx(&file, "origin", place), place)?;
        listens(place.origin).await?;
        Ok(Self(child))
    }
}

/// A gateway that requests go through.
pub(super) struct Peer {
    pub(super) name: &'static str,
    plain: u16,
    tls: u16,
    process: Process,
}

enum Process {
    Other(Child),
    Leasehold(GatewayProcess),
}

impl Peer {
    /// Starts ours with everything on: route, consumer key, a leased credential, metrics and access record.
    pub(super) async fn leasehold(place: &Place, lab: &Lab) -> Result<Self> {
        let (plain, tls) = (free_port()?, free_port()?);
        let ports = [("PLAIN", plain.to_string()), ("TLS", tls.to_string())];
        let text =
            place.fill(include_str!("leasehold.yaml"), &ports) + &vault_provider(lab).await?;
        let binary = option_env!("STORM_BINARY").map_or(binary(), Path::new);
        let process = GatewayProcess::start(binary, &text).await?;
        let id = process.process_id().context("a process")?;
        pin(id).await?;
        let peer = Self {
            name: "leasehold",
            plain,
            tls,
            process: Process::Leasehold(process),
        };
        let mut last = Ok(());
        let ready = wait::until_true("a credential", Duration::from_secs(30), async || {
            last = peer.check().await;
            Ok(last.is_ok())
        });
        ready.await.with_context(|| format!("{last:?}"))?;
        Ok(peer)
    }

    pub(super) async fn start(name: &'static str, place: &Place) -> Result<Self> {
        let (plain, tls) = (free_port()?, free_port()?);
        let log = match name {
            "nginx-log" => format!("access_log {} combined;", place.file("nginx.log").display()),
            _ => "access_log off;".to_owned(),
        };
        let fillings = [
            ("PLAIN", plain.to_string()),
            ("TLS", tls.to_string()),
            ("NAME", name.to_owned()),
            ("LOG", log),
        ];
        let write = |file: &str, template: &str| {
            place.write(file, place.fill(template, &fillings).as_bytes())
        };
        let command = match name {
            "nginx" | "nginx-log" => {
                let file = write(&format!("{name}.conf"), include_str!("nginx.conf"))?;
                nginx(&file, name, place)
            }
            "haproxy" => {
                let file = write("haproxy.cfg", include_str!("haproxy.cfg"))?;
                vec![
                    "haproxy".to_owned(),
                    "-db".to_owned(),
                    "-f".to_owned(),
                    shown(&file),
                ]
            }
            "envoy" => {
                write(
                    "envoy-credential.yaml",
                    include_str!("envoy-credential.yaml"),
                )?;
                let file = write("envoy.yaml", include_str!("envoy.yaml"))?;
                let program = option_env!("STORM_ENVOY").unwrap_or("envoy");
                let options = "--concurrency 1 --disable-hot-restart -l error -c";
                let words = [program].into_iter().chain(options.split(' '));
                words.map(str::to_owned).chain([shown(&file)]).collect()
            }
            _ => bail!("no such peer: {name}"),
        };
        let child = spawn(PEER_CORE, &command, place)?;
        for port in [plain, tls] {
            listens(port)
                .await
                .with_context(|| format!("start {name}"))?;
        }
        Ok(Self {
            name,
            plain,
            tls,
            process: Process::Other(child),
        })
    }

    /// Fails where a request is not answered by the origin.
    pub(super) async fn check(&self) -> Result<()> {
        for (tls, path) in [
            (false, "/1k"),
            (false, "/100k"),
            (false, "/tls/1k"),
            (true, "/1k"),
        ] {
            let client = reqwest::Client::builder()
                .no_proxy()
                .danger_accept_invalid_certs(true);
            let mut request = client.build()?.get(self.url(tls, path));
            for header in [PLACEHOLDER, CONSUMER] {
                let (name, value) = header.split_once(": ").context("a header")?;
                request = request.header(name, value);
            }
            let answer = request.send().await?;
            ensure!(answer.status() == 200, "{path}: {}", answer.status());
        }
        Ok(())
    }

    pub(super) fn url(&self, tls: bool, path: &str) -> String {
        match tls {
            true => format!("https://127.0.0.1:{}{path}", self.tls),
            false => format!("http://127.0.0.1:{}{path}", self.plain),
        }
    }

    pub(super) const fn port(&self, tls: bool) -> u16 {
        if tls { self.tls } else { self.plain }
    }

    /// Returns the CPU time of all threads so far.
    pub(super) fn cpu(&self) -> Result<Duration> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.id()?))?;
        let mut total = 0;
        for task in tasks {
            let text = fs::read_to_string(task?.path().join("schedstat"))?;
            let spent = text.split_whitespace().next().context("a time")?;
            total += spent.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(total))
    }

    /// Returns the resident memory in KiB.
    pub(super) fn resident(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line
            .and_then(|it| it.split_whitespace().next())
            .context("VmRSS")?;
        Ok(number.parse()?)
    }

    fn id(&self) -> Result<u32> {
        let id = match &self.process {
            Process::Other(child) => child.id(),
            Process::Leasehold(process) => process.process_id(),
        };
        id.context("a process that runs")
    }

    pub(super) async fn stop(self) -> Result<()> {
        match self.process {
            Process::Other(mut child) => child.kill().await?,
            Process::Leasehold(mut process) => {
                let status = process.terminate(Duration::from_secs(30)).await?;
                ensure!(status.success(), "{}", process.stderr()?);
            }
        }
        Ok(())
    }
}

/// Keeps all threads of a process on the peers' core.
async fn pin(id: u32) -> Result<()> {
    let mut command = Command::new("taskset");
    let output = command
        .args(["-a", "-p", "-c", PEER_CORE, &id.to_string()])
        .output()
        .await?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn nginx(file: &Path, name: &str, place: &Place) -> Vec<String> {
    let errors = shown(&place.file(&format!("{name}.err")));
    let words = ["nginx".to_owned(), "-e".to_owned(), errors, "-c".to_owned()];
    words.into_iter().chain([shown(file)]).collect()
}

fn shown(file: &Path) -> String {
    file.display().to_string()
}

fn spawn(core: &str, command: &[String], place: &Place) -> Result<Child> {
    let log = fs::File::create(place.file("peers.log"))?;
    Command::new("taskset")
        .args(["-c", core])
        .args(command)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("start {command:?}"))
}

async fn listens(port: u16) -> Result<()> {
    wait::until_true("a peer that listens", Duration::from_secs(30), async || {
        Ok(tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_ok())
    })
    .await
}

pub(super) const LOAD_CORE: &str = "1";
const PEER_CORE: &str = "0";
/// What each consumer sends: a credential of its own, which must not reach the origin, and its key.
pub(super) const PLACEHOLDER: &str = "authorization: Bearer placeholder";
pub(super) const CONSUMER: &str = "x-api-key: the-testers-key";
