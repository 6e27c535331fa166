//! An issuer of tokens: keys, a server of TLS that shows them as it is told, and who fetches them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leasehold_consumer::{Algorithm, Issuer, IssuerKeys, KeyFetcher, KeySource};
use leasehold_model::{Clock, SystemClock};
use parking_lot::Mutex;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::pki::Authority;
use crate::rig::{LIMIT, until};

/// What the server does with whoever asks for keys.
#[derive(Clone)]
pub(crate) enum Manner {
    Keys(Value),
    Says(&'static str),
    /// Takes the question and never answers.
    Silent,
    /// Ends each connection at once.
    Down,
}

/// A key that tokens are signed with.
pub(crate) struct Signer {
    id: String,
    key: EcdsaKeyPair,
}

impl Signer {
    pub(crate) fn new(id: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        let id = id.to_owned();
        Self { id, key }
    }

    pub(crate) fn keys(&self) -> Value {
        let point = &self.key.public_key().as_ref()[1..];
        let (x, y) = point.split_at(32);
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let key = json!({ "kty": "EC", "crv": "P-256", "kid": self.id, "x": x, "y": y });
        json!({ "keys": [key] })
    }

    /// Returns a header with a token that has these claims beside those that every token has.
    pub(crate) fn bearer(&self, more: &Value) -> String {
        let now = SystemClock.wall().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.expect("a time").as_secs();
        let mut claims = json!({ "iss": ISSUER, "aud": "api", "exp": now + 300 });
        for (name, value) in more.as_object().expect("claims") {
            claims[name] = value.clone();
        }
        let head = json!({ "alg": "ES256", "kid": self.id });
        let encoded = |it: &Value| URL_SAFE_NO_PAD.encode(it.to_string());
        let message = format!("{}.{}", encoded(&head), encoded(&claims));
        let signed = self.key.sign(&SystemRandom::new(), message.as_bytes());
        let signature = URL_SAFE_NO_PAD.encode(signed.expect("a signature"));
        format!("Authorization: Bearer {message}.{signature}\r\n")
    }
}

/// An issuer's server, and who fetches from it.
pub(crate) struct IssuerLab {
    pub(crate) keys: Arc<IssuerKeys>,
    manner: Arc<Mutex<Manner>>,
    asked: Arc<AtomicUsize>,
    stop: CancellationToken,
    ended: Arc<AtomicBool>,
    address: SocketAddr,
    threads: Vec<JoinHandle<()>>,
    _files: TempDir,
}

impl IssuerLab {
    pub(crate) fn start(manner: Manner, refresh: Duration, max_stale: Duration) -> Self {
        let authority = Authority::new();
        let config = authority.leaf(&["localhost"], 1).server();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let files = TempDir::new().expect("a directory");
        let ca = files.path().join("ca.pem");
        std::fs::write(&ca, authority.pem()).expect("a file");
        let manner = Arc::new(Mutex::new(manner));
        let (asked, ended) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let keys = Arc::new(IssuerKeys::new(max_stale));
        let stop = CancellationToken::new();
        let server = {
            let (manner, asked) = (Arc::clone(&manner), Arc::clone(&asked));
            let ended = Arc::clone(&ended);
            thread::spawn(move || serve(&listener, &config, &manner, &asked, &ended))
        };
        let fetcher = {
            let (keys, stop) = (Arc::clone(&keys), stop.clone());
            thread::spawn(move || follow(address.port(), ca, refresh, keys, &stop))
        };
        Self {
            keys,
            manner,
            asked,
            stop,
            ended,
            address,
            threads: vec![server, fetcher],
            _files: files,
        }
    }

    pub(crate) fn issuer(&self) -> Issuer {
        Issuer {
            name: "corp".into(),
            identifier: ISSUER.to_owned(),
            audiences: vec!["api".to_owned()],
            algorithms: vec![Algorithm::Es256],
            clock_skew: Duration::from_secs(30),
            header: http::header::AUTHORIZATION,
            longest: 8192,
            keys: Arc::clone(&self.keys),
        }
    }

    pub(crate) fn behave(&self, manner: Manner) {
        *self.manner.lock() = manner;
    }

    /// Returns how often somebody asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits until somebody has asked as often again from now on.
    pub(crate) fn await_asked(&self, more: usize) {
        let enough = self.asked() + more;
        until("questions for keys", || {
            (self.asked() >= enough).then_some(())
        });
    }
}

impl Drop for IssuerLab {
    fn drop(&mut self) {
        self.stop.cancel();
        self.ended.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
        for thread in self.threads.drain(..) {
            thread.join().expect("a thread that ends");
        }
    }
}

fn serve(
    listener: &TcpListener,
    config: &Arc<ServerConfig>,
    manner: &Mutex<Manner>,
    asked: &AtomicUsize,
    ended: &AtomicBool,
) {
    let mut silent = Vec::new();
    for stream in listener.incoming() {
        if ended.load(Ordering::SeqCst) {
            return;
        }
        let stream = stream.expect("a connection");
        asked.fetch_add(1, Ordering::SeqCst);
        let manner = manner.lock().clone();
        let text = match manner {
            Manner::Down => continue,
            Manner::Silent => {
                silent.push(stream);
                continue;
            }
            Manner::Says(text) => text.to_owned(),
            Manner::Keys(keys) => {
                let keys = keys.to_string();
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{keys}",
                    keys.len()
                )
            }
        };
        // One that does not like what it is told may go away in the middle of it.
        drop(answer(stream, config, &text));
    }
}

fn answer(stream: TcpStream, config: &Arc<ServerConfig>, text: &str) -> std::io::Result<()> {
    stream.set_read_timeout(Some(LIMIT))?;
    let session = ServerConnection::new(Arc::clone(config)).expect("a session");
    let mut stream = StreamOwned::new(session, stream);
    let mut question = Vec::new();
    let mut part = [0; 1024];
    while !question.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut part)?;
        if count == 0 {
            return Ok(());
        }
        question.extend_from_slice(&part[..count]);
    }
    stream.write_all(text.as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()
}

fn follow(
    port: u16,
    ca: PathBuf,
    refresh: Duration,
    keys: Arc<IssuerKeys>,
    stop: &CancellationToken,
) {
    let url = format!("https://localhost:{port}/jwks")
        .parse()
        .expect("a URL");
    let source = KeySource::Url { url, ca: Some(ca) };
    let fetcher = KeyFetcher::new("corp".into(), &source, refresh, keys, Arc::new(SystemClock));
    let fetcher = fetcher.expect("a fetcher");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(stop.run_until_cancelled(fetcher.run()));
}

const ISSUER: &str = "https://issuer.example";
