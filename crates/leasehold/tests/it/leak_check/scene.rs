//! The run that the places are collected from.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use leasehold_testkit::memory::copies;
use leasehold_testkit::origin::TokenServer;
use leasehold_testkit::{GatewayProcess, Lab, Origin, Scratch, secret, wait};
use rustix::process::Signal;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::canaries::Canaries;
use super::places::Places;
use super::upstream::{Listening, Treacherous};
use crate::native;
use crate::operator::{Said, command, run};
use crate::support::{
    CONSUMER_KEY, Gateway, PATIENCE, binary, lab, operated_document, vault_provider,
};

/// What is left of a run.
pub(crate) struct Scene {
    pub(crate) places: Places,
    /// What a route hands on that does not look.
    pub(crate) unguarded: Places,
    pub(crate) canaries: Canaries,
}

impl Scene {
    /// Runs a gateway through success and failure, and replaces each credential as many times.
    pub(crate) async fn play(rounds: usize) -> Result<Self> {
        let (_turn, lab) = lab().await?;
        let mut stage = Stage::new(&lab).await?;
        stage.succeed().await?;
        for _ in 0..rounds {
            stage.replace().await?;
        }
        stage.unguarded().await?;
        stage.operate().await?;
        stage.break_things().await?;
        stage.look_at_process()?;
        stage.crash().await?;
        stage.collect_files()?;
        Ok(stage.scene)
    }
}

struct Stage<'a> {
    lab: &'a Lab,
    scratch: Scratch,
    plain: Origin<Treacherous>,
    secure: Origin<Treacherous>,
    issuer: TokenServer,
    token_endpoint: Origin<TokenServer>,
    collector: Origin<Listening>,
    astray: Origin<Listening>,
    document: String,
    gateway: Gateway,
    scene: Scene,
    /// Those that are in use, by name.
    kv: String,
    native: String,
    client: String,
}

impl<'a> Stage<'a> {
    async fn new(lab: &'a Lab) -> Result<Self> {
        let scratch = Scratch::new()?;
        let (plain, secure) = tokio::try_join!(
            Origin::serve(Treacherous::default()),
            Origin::serve_tls(Treacherous::default())
        )?;
        let issuer = TokenServer::new(Duration::from_secs(3600));
        let token_endpoint = issuer.start().await?;
        let collector = Origin::serve_tls(Listening::default()).await?;
        let astray = Origin::serve(Listening::default()).await?;
        let mut scene = Scene {
            places: Places::default(),
            unguarded: Places::default(),
            canaries: Canaries::default(),
        };
        let (kv, native, client) = (made()?, made()?, made()?);
        lab.create_db_role("leak", "1h", "24h").await?;
        let stored = json!({ "key": kv });
        lab.openbao.kv_put("kv", "leak", stored).await?;
        native::put(scratch.path(), "leak/key", &native)?;
        native::put(scratch.path(), "idp/client", &client)?;
        issuer.accept(&client);
        let [kv_name, native_name, client_name] = NAMES;
        scene.canaries.add(kv_name, &kv);
        scene.canaries.add(native_name, &native);
        scene.canaries.add(client_name, &client);
        scene.canaries.add("consumer key", CONSUMER_KEY);
        let upstreams = Upstreams {
            plain: &plain,
            secure: &secure,
            token_endpoint: &token_endpoint,
            collector: &collector,
        };
        let document = document(lab, &scratch, &upstreams).await?;
        let secret_id = std::fs::read_to_string(lab.dir().join("gateway.secret-id"))?;
        scene.canaries.add("secret id", secret_id.trim());
        let gateway = start(&scratch, &document, &astray.url()).await?;
        Ok(Self {
            lab,
            scratch,
            plain,
            secure,
            issuer,
            token_endpoint,
            collector,
            astray,
            document,
            gateway,
            scene,
            kv,
            native,
            client,
        })
    }

    /// Asks every route for every answer.
    async fn succeed(&mut self) -> Result<()> {
        for route in ROUTES {
            self.gateway.ready(route).await?;
        }
        self.ask_everything().await?;
        self.learn()?;
        for used in [&self.kv, &self.native] {
            let shown = self.plain.handler().was_shown(used);
            ensure!(shown, "the upstream is shown the credential");
        }
        ensure!(
            self.secure.handler().was_shown(&self.kv),
            "so is that with TLS"
        );
        self.scene.canaries.expect("database password", 1)?;
        self.scene.canaries.expect("access token", 1)
    }

    async fn ask_everything(&mut self) -> Result<()> {
        for route in ROUTES {
            for what in ANSWERS {
                let key = format!("x-api-key: {CONSUMER_KEY}\r\n");
                self.ask("GET", &format!("/{route}/{what}"), &key).await?;
            }
            let key = format!("x-api-key: {CONSUMER_KEY}\r\n");
            for method in ["HEAD", "TRACE", "OPTIONS", "BREW"] {
                self.ask(method, &format!("/{route}/echo"), &key).await?;
            }
            let huge = format!("{key}x-fill: {}\r\n", "x".repeat(70_000));
            self.ask("GET", &format!("/{route}/echo"), &huge).await?;
            for wrong in [
                "x-api-key: made-up\r\n".to_owned(),
                String::new(),
                format!("{key}Host: b\r\n"),
                format!("{key}Transfer-Encoding: gzip\r\n"),
                format!("{key}Content-Length: x\r\n"),
            ] {
                self.ask("GET", &format!("/{route}/echo"), &wrong).await?;
            }
            self.ask(
                "GET",
                &format!("http://elsewhere.example/{route}/echo"),
                &key,
            )
            .await?;
        }
        Ok(())
    }

    /// Sends a request and collects all that comes back.
    async fn ask(&mut self, method: &str, target: &str, more: &str) -> Result<Vec<u8>> {
        let address = self.gateway.address();
        let mut stream = TcpStream::connect(address).await?;
        let head =
            format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{more}Connection: close\r\n\r\n");
        // It may be refused before all of it was read, and an answer that shows a secret breaks off.
        drop(stream.write_all(head.as_bytes()).await);
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        let place = if target.contains("redirect") { 14 } else { 12 };
        self.scene.places.add(place, "an answer", answer.clone());
        if more.contains("made-up") {
            self.scene
                .places
                .add(16, "an answer to a false key", answer.clone());
        }
        Ok(answer)
    }

    /// Replaces each credential, and searches the memory for those that were before.
    async fn replace(&mut self) -> Result<()> {
        let (kv, native, client) = (made()?, made()?, made()?);
        let former = [&self.kv, &self.native].map(Clone::clone);
        let tokens: Vec<_> = self
            .issuer
            .issued()
            .into_iter()
            .map(|it| it.value)
            .collect();
        let [kv_name, native_name, client_name] = NAMES;
        for (name, value) in [
            (kv_name, &kv),
            (native_name, &native),
            (client_name, &client),
        ] {
            self.scene.canaries.add(name, value);
        }
        self.issuer.accept(&client);
        let stored = json!({ "key": kv });
        self.lab.openbao.kv_put("kv", "leak", stored).await?;
        native::put(self.scratch.path(), "leak/key", &native)?;
        native::put(self.scratch.path(), "idp/client", &client)?;
        let passwords = self.passwords()?;
        let said = run(&["lease", "rotate", "login"], &self.socket()).await?;
        ensure!(said.code == 0, "{said:?}");
        self.said(&said);
        let uses = |it: &str| self.plain.handler().was_shown(it);
        let gateway = &self.gateway;
        wait::until_true("the new ones in use", PATIENCE, async || {
            for route in ROUTES {
                drop(gateway.request(&format!("/{route}/cookie")).send().await);
            }
            let issued = self.issuer.issued();
            let token = issued
                .iter()
                .any(|it| it.secret == client && uses(&it.value));
            let login = self.passwords()?.len() > passwords.len();
            Ok(uses(&kv) && uses(&native) && token && login)
        })
        .await?;
        self.learn()?;
        let retired = former.into_iter().chain(tokens).chain(passwords);
        let retired: Vec<String> = retired.chain([self.client.clone()]).collect();
        ensure!(
            !copies(self.process()?, &[&kv])?.is_empty(),
            "the search finds what is there"
        );
        self.search_memory(&retired).await?;
        (self.kv, self.native, self.client) = (kv, native, client);
        Ok(())
    }

    /// Notes what is left of what has been retired, five seconds later.
    async fn search_memory(&mut self, retired: &[String]) -> Result<()> {
        let process = self.process()?;
        let mut left = Vec::new();
        let gone = wait::until_true("nothing to be left", WITHIN, async || {
            left = copies(process, retired)?;
            Ok(left.is_empty())
        });
        // What is left then is for the report.
        drop(gone.await);
        let canaries = self.scene.canaries.values();
        let number = |it: usize| {
            canaries
                .iter()
                .position(|known| Some(known) == retired.get(it))
        };
        for place in [1, 2] {
            let stack = |region: &str| region.contains("stack");
            let of_place = left.iter().filter(|it| stack(&it.region) == (place == 2));
            let found = of_place.filter_map(|it| Some((number(it.secret)?, it.form)));
            let found = found.collect();
            self.scene.places.add_searched(place, "memory", found);
        }
        Ok(())
    }

    /// Learns what was issued in the meantime.
    fn learn(&mut self) -> Result<()> {
        for password in self.passwords()? {
            self.scene.canaries.add("database password", &password);
        }
        for token in self.issuer.issued() {
            self.scene.canaries.add("access token", &token.value);
        }
        Ok(())
    }

    fn passwords(&self) -> Result<Vec<String>> {
        let mut passwords = Vec::new();
        for shown in self.plain.handler().shown("authorization") {
            let Some(basic) = shown.strip_prefix("Basic ") else {
                continue;
            };
            let login = String::from_utf8(STANDARD.decode(basic)?)?;
            let (_, password) = login.split_once(':').context("a password")?;
            if !passwords.iter().any(|it| it == password) {
                passwords.push(password.to_owned());
            }
        }
        Ok(passwords)
    }

    async fn unguarded(&mut self) -> Result<()> {
        let key = format!("x-api-key: {CONSUMER_KEY}\r\n");
        let mut stream = TcpStream::connect(self.gateway.address()).await?;
        let head =
            format!("GET /unguarded/echo HTTP/1.1\r\nHost: a\r\n{key}Connection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        self.scene.unguarded.add(12, "an answer", answer);
        Ok(())
    }

    /// Uses each verb, and has a configuration that is wrong refused.
    async fn operate(&mut self) -> Result<()> {
        let socket = self.socket();
        let held = run(&["lease", "list", "--json"], &socket).await?;
        let list: serde_json::Value = serde_json::from_str(&held.stdout)?;
        let leases = list.get("leases").and_then(serde_json::Value::as_array);
        let leases = leases.context("leases")?.clone();
        self.said(&held);
        let mut ids = leases.iter().filter_map(|it| it["lease_id"].as_str());
        let lease = ids.next().context("a lease")?.to_owned();
        for words in [
            vec!["lease", "list"],
            vec!["lease", "show", &lease],
            vec!["lease", "show", &lease, "--json"],
            vec!["lease", "show", "database/creds/none"],
            vec!["lease", "rotate", "key"],
            vec!["lease", "rotate", "none"],
            vec!["reload"],
        ] {
            let said = run(&words, &socket).await?;
            self.said(&said);
        }
        let good = self.document.clone();
        let wrong = good
            .replace("kind: vault", "kind: fault")
            .replace("password: password", "pass: word");
        self.gateway.configure(&wrong)?;
        let refused = run(&["reload"], &socket).await?;
        ensure!(refused.code != 0, "{refused:?}");
        self.said(&refused);
        self.check_and_doctor().await?;
        self.gateway.signal(Signal::HUP)?;
        self.gateway.configure(&good)?;
        let reloaded = run(&["reload"], &socket).await?;
        ensure!(reloaded.code == 0, "{reloaded:?}");
        self.check_and_doctor().await?;
        self.admin().await
    }

    async fn check_and_doctor(&mut self) -> Result<()> {
        let file = self.gateway.process().config_file();
        let file = file.to_str().context("a path")?.to_owned();
        for words in [
            vec!["check", "--config", &file],
            vec!["doctor", "--config", &file],
            vec!["doctor", "--config", &file, "--json"],
        ] {
            let said = command(&words).await?;
            self.scene.places.add(10, "check or doctor", text_of(&said));
        }
        let (data, key) = (self.path("data")?, self.path("key")?);
        let list = command(&["native", "list", "--file", &data, "--key-file", &key]).await?;
        self.scene.places.add(10, "native list", text_of(&list));
        Ok(())
    }

    async fn admin(&mut self) -> Result<()> {
        for path in [
            "/metrics",
            "/readyz",
            "/livez",
            "/readyz/kv",
            "/config",
            "/leases",
            "/debug",
        ] {
            let answer = self.gateway.admin(path).await?;
            let place = if path == "/metrics" { 8 } else { 9 };
            self.scene.places.add(place, path, answer.text.clone());
        }
        Ok(())
    }

    /// Lets providers, upstreams and logins fail.
    async fn break_things(&mut self) -> Result<()> {
        self.issuer.refuse(&self.client);
        self.issuer.forget_tokens();
        self.token_endpoint.handler().fail_with(Some(503));
        native::delete(self.scratch.path(), "leak/key")?;
        let revoked = run(
            &["lease", "revoke", "--credential", "login"],
            &self.socket(),
        )
        .await?;
        self.said(&revoked);
        self.lab.openbao.seal().await?;
        self.ask_everything().await?;
        self.check_and_doctor().await?;
        let said = run(&["lease", "rotate", "key"], &self.socket()).await?;
        self.said(&said);
        self.plain.stop().await;
        self.secure.stop().await;
        self.ask_everything().await?;
        self.admin().await
    }

    fn look_at_process(&mut self) -> Result<()> {
        let id = self.process()?;
        let proc = PathBuf::from(format!("/proc/{id}"));
        let places = &mut self.scene.places;
        for file in ["environ", "cmdline", "maps", "stat", "status", "mounts"] {
            places.add(4, file, std::fs::read(proc.join(file))?);
        }
        for entry in std::fs::read_dir(proc.join("fd"))? {
            let target = std::fs::read_link(entry?.path()).unwrap_or_default();
            places.add(4, "fd", target.as_os_str().as_encoded_bytes());
        }
        let status = std::fs::read_to_string(proc.join("status"))?;
        let swapped = status
            .lines()
            .filter(|it| it.starts_with("VmSwap"))
            .collect::<String>();
        places.add(5, "swapped pages", swapped);
        for task in std::fs::read_dir(proc.join("task"))? {
            let children = std::fs::read_to_string(task?.path().join("children"))?;
            ensure!(children.trim().is_empty(), "it has children: {children}");
            places.add(17, "children", children);
        }
        Ok(())
    }

    /// Ends the gateway by a signal that would leave a core.
    async fn crash(&mut self) -> Result<()> {
        self.gateway.signal(Signal::ABORT)?;
        let ended = self.gateway.aborted(PATIENCE).await?;
        let dumped = std::os::unix::process::ExitStatusExt::core_dumped(&ended);
        ensure!(!dumped, "{ended:?}");
        let ledger = self.path("ledger")?;
        for words in [
            vec!["ledger", "show", "--file", &ledger],
            vec!["ledger", "show", "--json", "--file", &ledger],
        ] {
            let said = command(&words).await?;
            self.scene.places.add(10, "ledger show", text_of(&said));
        }
        Ok(())
    }

    fn collect_files(&mut self) -> Result<()> {
        let dirs = [
            self.gateway.process().logs_dir().to_owned(),
            self.scratch.path().to_owned(),
        ];
        let process = self.gateway.process();
        let (stdout, stderr) = (process.stdout()?, process.stderr()?);
        ensure!(
            stdout.contains("\"trace_id\"") && stderr.contains("\"DEBUG\""),
            "there is a log to search"
        );
        ensure!(self.astray.connections() == 0, "something went astray");
        let libraries = |it: &&str| !it.contains("\"target\":\"leasehold");
        let quiet = |it: &str| it.contains("\"WARN\"") || it.contains("\"ERROR\"");
        let loud = stderr.lines().filter(libraries).find(|it| !quiet(it));
        ensure!(loud.is_none(), "a library is heard: {loud:?}");
        let heard = self.collector.handler().heard();
        ensure!(!heard.is_empty(), "the collector has heard something");
        let places = &mut self.scene.places;
        for (place, name, bytes) in [
            (6, "stdout", stdout.into_bytes()),
            (6, "stderr", stderr.clone().into_bytes()),
            (
                6,
                "ledger",
                std::fs::read(self.scratch.path().join("ledger"))?,
            ),
            (7, "stderr", stderr.into_bytes()),
            (8, "what the collector got", heard),
            (10, "configuration", self.document.clone().into_bytes()),
            (
                10,
                "encrypted file",
                std::fs::read(self.scratch.path().join("data"))?,
            ),
            (
                10,
                "ledger",
                std::fs::read(self.scratch.path().join("ledger"))?,
            ),
            (14, "what went astray", self.astray.handler().heard()),
        ] {
            places.add(place, name, bytes);
        }
        let keys = self.scratch.path().join("tls-keys");
        places.add(15, "the file", std::fs::read(&keys).unwrap_or_default());
        ensure!(!keys.exists(), "keys of TLS sessions were written");
        for dir in &dirs {
            let cores = |name: &str| name == "core" || name.starts_with("core.");
            for entry in std::fs::read_dir(dir)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                places.add(3, "the names of files", name.as_bytes());
                ensure!(!cores(&name), "a core was written");
            }
            places.add_files(11, dir, &[])?;
        }
        self.look_at_build()
    }

    /// The report is searched when it is written, by itself; this is what it will name.
    fn look_at_build(&mut self) -> Result<()> {
        let names = self.scene.canaries.names().join("\n");
        let places = &mut self.scene.places;
        places.add(19, "what the report names", names);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let tracked = std::process::Command::new("git")
            .args(["ls-files", "-z"])
            .current_dir(&root)
            .output()?;
        // An archive of the sources has no list of them.
        for file in tracked
            .stdout
            .split(|it| *it == 0)
            .filter(|it| !it.is_empty())
        {
            let file = root.join(String::from_utf8_lossy(file).as_ref());
            let content = std::fs::read(file).unwrap_or_default();
            places.add(20, "a tracked file", without_the_known(&content));
        }
        if option_env!("LEAK_CHECK_PROGRAM").is_some() {
            places.add(20, "the program", std::fs::read(binary())?);
        }
        Ok(())
    }

    fn said(&mut self, said: &Said) {
        self.scene.places.add(9, "a verb", text_of(said));
    }

    fn process(&self) -> Result<u32> {
        self.gateway.process().process_id().context("it runs")
    }

    fn socket(&self) -> PathBuf {
        self.scratch.path().join("s")
    }

    fn path(&self, name: &str) -> Result<String> {
        let path = self.scratch.path().join(name);
        Ok(path.to_str().context("a path")?.to_owned())
    }
}

struct Upstreams<'a> {
    plain: &'a Origin<Treacherous>,
    secure: &'a Origin<Treacherous>,
    token_endpoint: &'a Origin<TokenServer>,
    collector: &'a Origin<Listening>,
}

async fn document(lab: &Lab, scratch: &Scratch, upstreams: &Upstreams<'_>) -> Result<String> {
    let dir = scratch.path();
    let (data, key, ledger) = (dir.join("data"), dir.join("key"), dir.join("ledger"));
    let ca = upstreams.secure.ca_pem().context("it speaks TLS")?;
    let collector_ca = upstreams.collector.ca_pem().context("it speaks TLS")?;
    let mut routes = String::new();
    for route in ROUTES {
        routes.push_str(&format!(
            "  - {{ name: {route}, match: {{ path: /{route}/ }}, upstream: {route}, consumers: [tester], reflection: block }}\n"
        ));
    }
    let parts = format!(
        "ledger: {{ file: {ledger:?} }}\n\
         telemetry: {{ endpoint: {collector:?}, ca: {collector_ca:?} }}\n\
         {vault}  \
           local: {{ kind: native, file: {data:?}, key_file: {key:?} }}\n  \
           idp:\n    \
             kind: oauth\n    \
             token_endpoint: {token_endpoint}/token\n    \
             client: {{ credential: client, id: gateway, secret: key, method: client_secret_post }}\n\
         credentials:\n  \
           key: {{ from: {{ provider: vault, kv: kv/leak, field: key, poll: 1s }} }}\n  \
           login: {{ from: {{ provider: vault, lease: database/creds/leak }} }}\n  \
           native: {{ from: {{ provider: local, path: leak/key, poll: 100ms }} }}\n  \
           client: {{ from: {{ provider: local, path: idp/client, poll: 100ms }} }}\n  \
           token: {{ from: {{ provider: idp, oauth: {{}} }} }}\n\
         upstreams:\n  \
           kv: {{ endpoints: [{plain:?}], credential: key, inject: {{ header: X-Api-Key, field: key }} }}\n  \
           tls: {{ endpoints: [{secure:?}], ca: {ca:?}, credential: key, inject: {{ header: Authorization, prefix: 'Bearer ', field: key }} }}\n  \
           login:\n    \
             endpoints: [{plain:?}]\n    \
             credential: login\n    \
             inject: {{ basic: {{ username: username, password: password }} }}\n  \
           native: {{ endpoints: [{plain:?}], credential: native, inject: {{ query: api_key, field: key }} }}\n  \
           token: {{ endpoints: [{plain:?}], credential: token, inject: {{ header: Authorization, prefix: 'Bearer ', field: access_token }} }}\n\
         routes:\n\
         {routes}  \
           - {{ name: unguarded, match: {{ path: /unguarded/ }}, upstream: kv, consumers: [tester] }}\n",
        vault = vault_provider(lab).await?,
        token_endpoint = upstreams.token_endpoint.url(),
        collector = upstreams.collector.url(),
        plain = upstreams.plain.url(),
        secure = upstreams.secure.url(),
    );
    Ok(operated_document("leak-check", &dir.join("s"), &parts))
}

/// Starts the gateway at its most verbose, with all in its environment that might loosen its tongue.
async fn start(scratch: &Scratch, document: &str, astray: &str) -> Result<Gateway> {
    let keys = scratch.path().join("tls-keys");
    let astray = OsStr::new(astray);
    let variables = [
        ("RUST_LOG", OsStr::new("trace")),
        ("RUST_BACKTRACE", OsStr::new("full")),
        ("SSLKEYLOGFILE", keys.as_os_str()),
        ("HTTP_PROXY", astray),
        ("HTTPS_PROXY", astray),
        ("ALL_PROXY", astray),
        ("http_proxy", astray),
        ("https_proxy", astray),
        ("all_proxy", astray),
    ];
    let verbose = ["--log", "debug"].map(OsStr::new);
    let process = GatewayProcess::launch_observable(binary(), document, &verbose, &variables)?;
    Gateway::of(process).await
}

/// Makes a secret in which each way to write it looks different.
fn made() -> Result<String> {
    let (begin, end) = (secret()?, secret()?);
    Ok(format!(
        "{}\"/&\\%+{}",
        begin.split_at(12).0,
        end.split_at(12).0
    ))
}

fn text_of(said: &Said) -> String {
    format!("{}{}", said.stdout, said.stderr)
}

/// Takes out of a source what the tests themselves know: the key of their consumer.
fn without_the_known(content: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(content)
        .replace(CONSUMER_KEY, "")
        .into_bytes()
}

const NAMES: [&str; 3] = ["kv key", "native key", "client secret"];
const ROUTES: [&str; 5] = ["kv", "tls", "login", "native", "token"];
const ANSWERS: [&str; 6] = [
    "echo",
    "redirect",
    "challenge",
    "forbidden",
    "cookie",
    "error",
];
/// How long after its retirement a credential may be found.
const WITHIN: Duration = Duration::from_secs(5);
