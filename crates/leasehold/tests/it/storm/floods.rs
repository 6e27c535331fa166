//! What floods cost a client who behaves: its latency before, during and after each, and the memory that the
//! gateway takes up meanwhile.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::{GatewayProcess, Scratch, free_port, wait};
use rustix::process::nice;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::{MissedTickBehavior, timeout};

use crate::support::{PATIENCE, binary};

#[tokio::test]
#[ignore = "takes minutes and slowhttptest; `cargo xtask bench floods`"]
async fn a_client_who_behaves_is_served_beside_floods() -> Result<()> {
    let rig = Rig::start().await?;
    let mut report = String::from(
        "| attack | p50, p99 before | during | after | MiB before, at most |\n|---|---|---|---|---|\n",
    );
    for attack in FRAMES {
        let attacking = Attackers::start(rig.gateway, attack);
        rig.row(&mut report, attack.0, attacking).await?;
    }
    for attack in SLOW {
        let attacking = Slow::start(rig.gateway, attack);
        rig.row(&mut report, attack.0, attacking).await?;
    }
    println!("{report}");
    if let Some(directory) = option_env!("STORM_OUT") {
        fs::write(Path::new(directory).join("floods.md"), &report)?;
    }
    rig.stop().await
}

/// The gateway, with an origin that has a small and a large answer.
struct Rig {
    gateway: SocketAddr,
    process: GatewayProcess,
    _origin: Child,
    _directory: Scratch,
}

impl Rig {
    async fn start() -> Result<Self> {
        let directory = Scratch::new()?;
        let port = free_port()?;
        let origin = origin(directory.path(), port).await?;
        let document = format!(
            "instance: flooded\nworkers: 1\n\
             listeners: {{ public: {{ address: \"127.0.0.1:0\", http2: true }} }}\n\
             admin: {{ address: \"127.0.0.1:0\" }}\n\
             upstreams: {{ origin: {{ endpoints: [\"http://127.0.0.1:{port}\"] }} }}\n\
             routes: [{{ match: {{ path: / }}, upstream: origin, consumers: anyone }}]\n"
        );
        let binary = option_env!("STORM_BINARY").map_or(binary(), Path::new);
        let mut process = GatewayProcess::start(binary, &document).await?;
        Ok(Self {
            gateway: process.address("public").await?,
            process,
            _origin: origin,
            _directory: directory,
        })
    }

    /// Measures one attack. The gateway must be the same process afterwards.
    async fn row<A>(
        &self,
        report: &mut String,
        name: &str,
        attack: impl Future<Output = Result<A>>,
    ) -> Result<()> {
        let id = self.process.process_id().context("it runs")?;
        let measure = || measure(self.gateway, id);
        measure().await?;
        let before = measure().await?;
        let attacking = attack
            .await
            .with_context(|| format!("attack with {name}"))?;
        let during = measure().await?;
        drop(attacking);
        let after = measure().await?;
        ensure!(self.process.process_id() == Some(id), "it was restarted");
        let [before_ms, during_ms, after_ms] = [&before, &during, &after].map(Figures::latency);
        let (rest, peak) = (before.memory, during.memory.max(after.memory));
        writeln!(
            report,
            "| {name} | {before_ms} | {during_ms} | {after_ms} | {rest}, {peak} |"
        )?;
        Ok(())
    }

    async fn stop(mut self) -> Result<()> {
        self.process.terminate(PATIENCE).await?;
        Ok(())
    }
}

async fn origin(directory: &Path, port: u16) -> Result<Child> {
    fs::write(directory.join("large"), vec![b'x'; LARGE])?;
    let shown = directory.display();
    let text = format!(
        "daemon off; master_process off; pid {shown}/pid; error_log {shown}/error.log crit;\n\
         worker_rlimit_nofile 8000; events {{ worker_connections 4000; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; server {{ listen 127.0.0.1:{port};\n\
         location = /large {{ root {shown}; }} location / {{ return 200 ok; }} }} }}\n"
    );
    let file = directory.join("origin.conf");
    fs::write(&file, text)?;
    let origin = Command::new("nginx")
        .arg("-c")
        .arg(&file)
        .arg("-p")
        .arg(directory)
        .kill_on_drop(true)
        .spawn()
        .context("start nginx")?;
    wait::until_true("the origin to listen", PATIENCE, async || {
        Ok(TcpStream::connect(("127.0.0.1", port)).is_ok())
    })
    .await?;
    Ok(origin)
}

/// How a client fared, and what the gateway took up in MiB at most.
struct Figures {
    millis: Vec<f64>,
    memory: u64,
}

impl Figures {
    fn latency(&self) -> String {
        let at = |percent: usize| {
            let place = self.millis.len() * percent / 100;
            self.millis.get(place).copied().unwrap_or(f64::NAN)
        };
        format!("{:.1}, {:.1}", at(50), at(99))
    }
}

/// Asks 200 times a second over one connection. What is late counts from when it was due.
async fn measure(gateway: SocketAddr, process: u32) -> Result<Figures> {
    let mut stream = tokio::net::TcpStream::connect(gateway).await?;
    stream.set_nodelay(true)?;
    let (mut millis, mut memory) = (Vec::new(), 0);
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for number in 0..REQUESTS {
        let due = ticks.tick().await;
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"ok") {
            let length = timeout(PATIENCE, stream.read_buf(&mut answer)).await??;
            ensure!(length > 0, "the gateway has closed");
        }
        ensure!(answer.starts_with(b"HTTP/1.1 200 "), "it was refused");
        millis.push(due.elapsed().as_secs_f64() * 1000.0);
        if number % 20 == 0 {
            memory = memory.max(resident(process)?);
        }
    }
    millis.sort_by(f64::total_cmp);
    Ok(Figures { millis, memory })
}

fn resident(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
    let kib = line.and_then(|it| it.trim().strip_suffix(" kB"));
    Ok(kib.context("a size")?.parse::<u64>()? / 1024)
}

/// Four threads that send frames for as long as they are taken, and begin anew where they are cut off.
struct Attackers(Arc<AtomicBool>);

impl Attackers {
    async fn start(gateway: SocketAddr, (name, first, then): FrameAttack) -> Result<Self> {
        let over = Arc::new(AtomicBool::new(false));
        for _ in 0..4 {
            let over = Arc::clone(&over);
            let name = name.to_owned();
            std::thread::Builder::new().name(name).spawn(move || {
                // So that it is not the machine that is short of time.
                nice(5)?;
                while !over.load(Ordering::Relaxed) {
                    // Being cut off is what is to be expected.
                    drop(flood(gateway, first, then, &over));
                }
                Ok::<_, anyhow::Error>(())
            })?;
        }
        tokio::time::sleep(Duration::from_millis(400)).await;
        Ok(Self(over))
    }
}

impl Drop for Attackers {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn flood(gateway: SocketAddr, first: Part, then: Part, over: &AtomicBool) -> io::Result<()> {
    let mut stream = TcpStream::connect(gateway)?;
    stream.set_write_timeout(Some(Duration::from_secs(1)))?;
    let mut answers = stream.try_clone()?;
    let reading = std::thread::spawn(move || {
        let mut part = vec![0; 1 << 16];
        while matches!(answers.read(&mut part), Ok(1..)) {}
    });
    stream.write_all(&[PREFACE, &frame(4, 0, 0, &[])].concat())?;
    let mut ids = (0..1_000_000).map(|number| 2 * number + 1);
    stream.write_all(&first(ids.next().unwrap_or(1)))?;
    let mut sent = Ok(());
    while sent.is_ok() && !over.load(Ordering::Relaxed) {
        let Some(id) = ids.next() else { break };
        sent = stream.write_all(&then(id));
    }
    drop(stream.shutdown(std::net::Shutdown::Both));
    drop(reading.join());
    sent
}

/// slowhttptest with a thousand connections.
struct Slow;

impl Slow {
    async fn start(gateway: SocketAddr, (name, options): SlowAttack) -> Result<Child> {
        let path = if options.contains(&"-X") { "large" } else { "" };
        let child = Command::new("nice")
            .args(["-n", "5", "slowhttptest", "-c", "1000", "-r", "500"])
            .args(["-l", "30", "-p", "3"])
            .args(options)
            .args(["-u", &format!("http://{gateway}/{path}")])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("start slowhttptest for {name}"))?;
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok(child)
    }
}

/// Makes what is sent of the number of a stream.
type Part = fn(u32) -> Vec<u8>;
/// A name, what a connection begins with, and what follows for ever.
type FrameAttack = (&'static str, Part, Part);
type SlowAttack = (&'static str, &'static [&'static str]);

fn frame(kind: u8, flags: u8, id: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len())
        .unwrap_or_default()
        .to_be_bytes();
    [&length[1..], &[kind, flags], &id.to_be_bytes(), payload].concat()
}

fn nothing(_id: u32) -> Vec<u8> {
    Vec::new()
}

const FRAMES: [FrameAttack; 7] = [
    ("rapid reset", nothing, |id| {
        [frame(1, 5, id, &GET), frame(3, 0, id, &[0, 0, 0, 8])].concat()
    }),
    ("MadeYouReset", nothing, |id| {
        [frame(1, 5, id, &GET), frame(8, 0, id, &[0; 4])].concat()
    }),
    (
        "CONTINUATION",
        |id| frame(1, 0, id, &GET),
        |_| {
            let part = [&[0, 1, b'x', 0x7f, 0x81, 0x7e][..], &[b'a'; 16_000]].concat();
            frame(9, 0, 1, &part)
        },
    ),
    ("SETTINGS, answers read", nothing, |_| {
        frame(4, 0, 0, &[0, 4, 0, 0, 0xff, 0xff]).repeat(200)
    }),
    ("PING, answers read", nothing, |_| {
        frame(6, 0, 0, &[7; 8]).repeat(200)
    }),
    (
        "empty DATA",
        |id| frame(1, 4, id, &POST),
        |_| frame(0, 0, 1, &[]).repeat(100),
    ),
    ("HPACK bomb", nothing, |id| {
        let entry = [&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e][..], &[b'a'; 4000]].concat();
        frame(1, 5, id, &[&GET[..], &entry, &[0xbe; 12_000]].concat())
    }),
];
const SLOW: [SlowAttack; 3] = [
    (
        "slow heads, 1,000 connections",
        &["-H", "-i", "1", "-x", "24"],
    ),
    (
        "slow bodies, 1,000 connections",
        &["-B", "-i", "1", "-s", "8192", "-x", "10"],
    ),
    (
        "slow reads of 20 MB, 1,000 connections",
        &[
            "-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32", "-k", "3",
        ],
    ),
];
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// `GET` or `POST`, `http`, `/` and an authority.
const GET: [u8; 6] = [0x82, 0x86, 0x84, 0x41, 1, b'a'];
const POST: [u8; 6] = [0x83, 0x86, 0x84, 0x41, 1, b'a'];
const LARGE: usize = 20_000_000;
const REQUESTS: u32 = 600;
const INTERVAL: Duration = Duration::from_millis(5);
