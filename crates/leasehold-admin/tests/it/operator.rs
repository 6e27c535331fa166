use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use leasehold_admin::{
    Admin, BoxFuture, Lease, OperationError, Operations, Operator, OperatorSocket, Readiness,
    Reload, Revocation, RevokeTarget, Rotation, SocketError,
};
use leasehold_model::{ConsumerName, CredentialName};
use leasehold_testkit::Scratch;
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[tokio::test]
async fn the_socket_is_its_owners_alone_and_gone_at_the_end() {
    let scratch = Scratch::new().expect("a directory");
    let path = scratch.path().join("admin.sock");
    let gateway = Gateway::start(&path).await;
    let made = fs::symlink_metadata(&path).expect("the socket");
    assert!(made.file_type().is_socket());
    assert_eq!(made.permissions().mode() & 0o777, 0o600);
    gateway.stop().await;
    assert!(!path.exists(), "the socket stays behind");
}

#[tokio::test]
async fn a_socket_that_a_dead_process_left_is_replaced() {
    let scratch = Scratch::new().expect("a directory");
    let path = scratch.path().join("admin.sock");
    // A listener of the standard library leaves its file behind, as a killed process does.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bind"));
    assert!(path.exists());
    let gateway = Gateway::start(&path).await;
    assert_eq!(gateway.ask("GET", "/v1/leases", "").await.0, 200);
    gateway.stop().await;
}

#[tokio::test]
async fn a_socket_that_a_living_process_serves_is_refused_and_left_alone() {
    let scratch = Scratch::new().expect("a directory");
    let path = scratch.path().join("admin.sock");
    let gateway = Gateway::start(&path).await;
    let refused = OperatorSocket::bind(&path).await;
    assert!(
        matches!(refused, Err(SocketError::Served { .. })),
        "{refused:?}"
    );
    assert_eq!(gateway.ask("GET", "/v1/leases", "").await.0, 200);
    gateway.stop().await;
}

#[tokio::test]
async fn two_that_start_at_once_do_not_take_the_socket_from_each_other() {
    let scratch = Scratch::new().expect("a directory");
    let path = scratch.path().join("admin.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bind"));
    let (first, second) = tokio::join!(OperatorSocket::bind(&path), OperatorSocket::bind(&path));
    assert!(first.is_ok() != second.is_ok(), "{first:?} {second:?}");
    assert!(UnixStream::connect(&path).await.is_ok());
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_not_touched() {
    let scratch = Scratch::new().expect("a directory");
    let path = scratch.path().join("notes.txt");
    fs::write(&path, "precious").expect("write");
    let refused = OperatorSocket::bind(&path).await;
    assert!(
        matches!(refused, Err(SocketError::NoSocket { .. })),
        "{refused:?}"
    );
    assert_eq!(fs::read_to_string(&path).expect("read"), "precious");
    let nowhere = OperatorSocket::bind(&scratch.path().join("none/admin.sock")).await;
    assert!(
        matches!(nowhere, Err(SocketError::System { .. })),
        "{nowhere:?}"
    );
}

#[tokio::test]
async fn each_verb_reaches_the_gateway_with_what_it_is_about() {
    let scratch = Scratch::new().expect("a directory");
    let gateway = Gateway::start(&scratch.path().join("s")).await;
    let (status, body) = gateway.ask("GET", "/v1/leases", "").await;
    assert_eq!(status, 200);
    assert_eq!(body["instance"], "edge-1");
    assert_eq!(body["leases"][0]["lease_id"], LEASE);
    for path in [
        format!("/v1/leases/{LEASE}"),
        format!("/v1/leases/{}", LEASE.replace('/', "%2F")),
    ] {
        let (status, body) = gateway.ask("GET", &path, "").await;
        assert_eq!((status, &body["credential"]), (200, &json!("db")), "{path}");
    }
    for (path, body) in [
        ("/v1/credentials/db/rotate", ""),
        ("/v1/credentials/db/rotate", r#"{"consumer":"orders"}"#),
        ("/v1/leases/revoke", r#"{"lease_id":"a/b/c"}"#),
        ("/v1/credentials/db/revoke", ""),
        ("/v1/credentials/db/revoke", r#"{"consumer":"orders"}"#),
        ("/v1/instance/revoke", ""),
        ("/v1/reload", ""),
        ("/v1/handover", r#"{"to":"/run/next"}"#),
    ] {
        assert_eq!(gateway.ask("POST", path, body).await.0, 200, "{path}");
    }
    assert_eq!(
        gateway.asked(),
        [
            "list",
            "list",
            "list",
            "rotate db for None",
            "rotate db for Some(\"orders\")",
            "revoke Lease(\"a/b/c\")",
            "revoke Credential { credential: \"db\", consumer: None }",
            "revoke Credential { credential: \"db\", consumer: Some(\"orders\") }",
            "revoke Instance",
            "reload",
            "hand over to /run/next",
        ]
    );
    gateway.stop().await;
}

#[tokio::test]
async fn what_can_not_be_done_is_a_problem_with_a_reason_and_does_nothing() {
    let scratch = Scratch::new().expect("a directory");
    let gateway = Gateway::start(&scratch.path().join("s")).await;
    let large = format!(r#"{{"lease_id":"{}"}}"#, "x".repeat(20_000));
    for (method, path, body, expected, reason) in [
        ("POST", "/v1/leases/revoke", "", 400, "bad_request"),
        ("POST", "/v1/leases/revoke", "{", 400, "bad_request"),
        (
            "POST",
            "/v1/leases/revoke",
            r#"{"lease_id":7}"#,
            400,
            "bad_request",
        ),
        ("POST", "/v1/leases/revoke", &large, 400, "bad_request"),
        (
            "POST",
            "/v1/instance/revoke",
            r#"{"lease_id":"x"}"#,
            400,
            "bad_request",
        ),
        (
            "POST",
            "/v1/credentials/db/revoke",
            r#"{"consmer":"x"}"#,
            400,
            "bad_request",
        ),
        ("POST", "/v1/credentials/%ff/revoke", "", 400, "bad_request"),
        ("POST", "/v1/handover", "", 400, "bad_request"),
        ("GET", "/v1/leases/none", "", 404, "not_held"),
        ("GET", "/v2/leases", "", 404, "no_such_path"),
        ("GET", "/metrics", "", 404, "no_such_path"),
        ("GET", "/v1/instance/revoke", "", 405, "wrong_method"),
        ("DELETE", "/v1/leases", "", 405, "wrong_method"),
    ] {
        let (status, problem) = gateway.ask(method, path, body).await;
        assert_eq!(
            (status, &problem["reason"], &problem["status"]),
            (expected, &json!(reason), &json!(expected)),
            "{method} {path} {body:.40}"
        );
    }
    assert!(
        gateway.asked().iter().all(|it| it == "list"),
        "{:?}",
        gateway.asked()
    );
    let (status, problem) = gateway.ask("POST", "/v1/credentials/none/rotate", "").await;
    assert_eq!((status, &problem["reason"]), (404, &json!("not_held")));
    gateway.stop().await;
}

#[tokio::test]
async fn no_verb_is_on_the_tcp_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("an address");
    let admin = Admin {
        registry: Arc::new(Registry::default()),
        readiness: Arc::new(|| Readiness {
            draining: false,
            routes: Vec::new(),
        }),
    };
    let stop = CancellationToken::new();
    let serving = TaskTracker::new().spawn(leasehold_admin::serve(listener, admin, stop.clone()));
    for (method, path) in [
        ("GET", "/v1/leases"),
        ("GET", "/v1/leases/x"),
        ("POST", "/v1/leases/revoke"),
        ("POST", "/v1/credentials/db/rotate"),
        ("POST", "/v1/credentials/db/revoke"),
        ("POST", "/v1/instance/revoke"),
        ("POST", "/v1/reload"),
        ("POST", "/v1/handover"),
    ] {
        let stream = TcpStream::connect(address).await.expect("connect");
        let (status, _) = exchange(stream, method, path, "").await;
        assert_eq!(status, 404, "{method} {path}");
    }
    stop.cancel();
    serving.await.expect("no panic").expect("served");
}

/// The operator's socket of a gateway that only remembers what it was asked.
struct Gateway {
    path: PathBuf,
    memory: Arc<Memory>,
    stop: CancellationToken,
    serving: JoinHandle<std::io::Result<()>>,
}

impl Gateway {
    async fn start(path: &Path) -> Self {
        let socket = OperatorSocket::bind(path).await.expect("a socket");
        let memory = Arc::new(Memory::default());
        let operator = Operator {
            instance: "edge-1".into(),
            operations: Arc::clone(&memory) as Arc<dyn Operations>,
        };
        let stop = CancellationToken::new();
        let serving = leasehold_admin::serve_operator(socket, operator, stop.clone());
        Self {
            path: path.to_path_buf(),
            memory,
            stop,
            serving: TaskTracker::new().spawn(serving),
        }
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, Value) {
        let stream = UnixStream::connect(&self.path).await.expect("connect");
        exchange(stream, method, path, body).await
    }

    fn asked(&self) -> Vec<String> {
        self.memory.asked.lock().clone()
    }

    async fn stop(self) {
        self.stop.cancel();
        self.serving.await.expect("no panic").expect("served");
    }
}

#[derive(Default)]
struct Memory {
    asked: Mutex<Vec<String>>,
}

impl Memory {
    fn note(&self, what: String) {
        self.asked.lock().push(what);
    }
}

impl Operations for Memory {
    fn leases(&self) -> BoxFuture<'_, Result<Vec<Lease>, OperationError>> {
        self.note("list".to_owned());
        Box::pin(async { Ok(vec![lease()]) })
    }

    fn rotate<'a>(
        &'a self,
        credential: &'a CredentialName,
        consumer: Option<&'a ConsumerName>,
    ) -> BoxFuture<'a, Result<Vec<Rotation>, OperationError>> {
        let consumer = consumer.map(ConsumerName::as_str);
        self.note(format!("rotate {credential} for {consumer:?}"));
        let known = credential.as_str() == "db";
        Box::pin(async move {
            known.then(Vec::new).ok_or_else(|| OperationError::NotHeld {
                what: "no such credential".to_owned(),
            })
        })
    }

    fn revoke(
        &self,
        target: RevokeTarget,
    ) -> BoxFuture<'_, Result<Vec<Revocation>, OperationError>> {
        self.note(format!("revoke {target:?}"));
        Box::pin(async { Ok(Vec::new()) })
    }

    fn reload(&self) -> BoxFuture<'_, Result<Reload, OperationError>> {
        self.note("reload".to_owned());
        Box::pin(async { Ok(Reload::default()) })
    }

    fn hand_over(&self, to: PathBuf) -> BoxFuture<'_, Result<(), OperationError>> {
        self.note(format!("hand over to {}", to.display()));
        Box::pin(async { Ok(()) })
    }
}

fn lease() -> Lease {
    Lease {
        provider: "vault".to_owned(),
        credential: "db".to_owned(),
        consumer: None,
        generation: 1,
        state: "active".to_owned(),
        lease_id: Some(LEASE.to_owned()),
        version: None,
        fingerprint: None,
        hangs_on: None,
        granted_ms: None,
        usable_for_ms: None,
        next_ms: None,
        suspect: false,
    }
}

async fn exchange<S>(mut stream: S, method: &str, path: &str, body: &str) -> (u16, Value)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let length = body.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: leasehold\r\nconnection: close\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).await.expect("write");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    let status = answer.split(' ').nth(1).expect("a status");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    let body = serde_json::from_str(body).unwrap_or(Value::Null);
    (status.parse().expect("a number"), body)
}

const LEASE: &str = "database/creds/app/x1";

#[tokio::test]
async fn a_socket_that_was_left_to_another_process_serves_on_under_its_name() {
    let scratch = Scratch::new().expect("a directory");
    let path = scratch.path().join("admin.sock");
    let first = OperatorSocket::bind(&path).await.expect("a socket");
    let shared = first.share().expect("a descriptor");
    let listener = shared.listener().try_clone().expect("a descriptor");
    let second = OperatorSocket::adopt(&path, listener).expect("adopted");
    shared.leave();
    drop((first, shared));
    let (connected, accepted) = tokio::join!(UnixStream::connect(&path), second.accept());
    assert!(connected.is_ok() && accepted.is_ok());
    second.share().expect("a descriptor").own();
    drop(second);
    assert!(!path.exists(), "the last one removes it");
}
