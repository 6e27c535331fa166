use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use leasehold_admin::{Admin, Readiness, RouteReadiness, serve};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[tokio::test]
async fn the_process_is_alive_whatever_its_routes_do() {
    let gateway = Gateway::start(&[("r", false)]).await;
    let answer = gateway.get("/livez").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
}

#[tokio::test]
async fn readiness_tells_each_route_and_its_cause() {
    let gateway = Gateway::start(&[("a.example/x/", true), ("b", false)]).await;
    let answer = gateway.get("/readyz").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({
            "ready": true,
            "draining": false,
            "routes": [
                {"route": "a.example/x/", "ready": true},
                {"route": "b", "ready": false, "cause": "misconfigured"},
            ],
        })
    );
}

#[tokio::test]
async fn an_instance_without_a_ready_route_or_in_drain_is_not_ready() {
    let broken = Gateway::start(&[("b", false)]).await;
    assert_eq!(broken.get("/readyz").await.status, 503);

    let gateway = Gateway::start(&[("a", true)]).await;
    assert_eq!(gateway.get("/readyz/a").await.status, 200);
    gateway.draining.store(true, Ordering::Relaxed);
    let answer = gateway.get("/readyz").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["draining"], true);
    let answer = gateway.get("/readyz/a").await;
    assert_eq!(answer.status, 503);
    assert_eq!(
        answer.json(),
        json!({"route": "a", "ready": false, "draining": true})
    );
}

#[tokio::test]
async fn a_route_is_asked_for_by_a_name_with_slashes_and_encoded_characters() {
    let gateway =
        Gateway::start(&[("a.example/x/", true), ("/y", true), ("b c/\u{e9}", false)]).await;
    for path in [
        "/readyz/a.example/x/",
        "/readyz/a.example%2Fx%2F",
        "/readyz//y",
        "/readyz/%2Fy",
    ] {
        assert_eq!(gateway.get(path).await.status, 200, "{path}");
    }
    let answer = gateway.get("/readyz/b%20c/%C3%A9").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["cause"], "misconfigured");
    for path in [
        "/readyz/a.example/x",
        "/readyz/none",
        "/readyz/",
        "/readyz/y",
    ] {
        assert_eq!(gateway.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn metrics_are_openmetrics() {
    let gateway = Gateway::start(&[]).await;
    let answer = gateway.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("application/openmetrics-text; version=1.0.0; charset=utf-8")
    );
    assert!(
        answer.body.contains("\nrequests_total 3\n"),
        "{}",
        answer.body
    );
    assert!(answer.body.ends_with("# EOF\n"), "{}", answer.body);
}

#[tokio::test]
async fn every_answer_forbids_caching_and_sniffing() {
    let gateway = Gateway::start(&[]).await;
    for path in ["/livez", "/readyz", "/metrics", "/none", "/readyz/none"] {
        let answer = gateway.get(path).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(
            answer.header("x-content-type-options"),
            Some("nosniff"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn nothing_can_be_written() {
    let gateway = Gateway::start(&[("a", true)]).await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
        for path in ["/livez", "/readyz", "/readyz/a", "/metrics"] {
            let answer = gateway.ask(method, path).await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some("GET,HEAD"), "{method} {path}");
        }
    }
    let answer = gateway.ask("HEAD", "/livez").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
}

/// Of `docs/failures.md`.
#[tokio::test]
async fn t13_no_path_below_the_metrics_leads_anywhere() {
    let gateway = Gateway::start(&[("a", true)]).await;
    for path in [
        "/metrics/..%2freadyz",
        "/metrics/../readyz",
        "/metrics/..;/readyz",
        "/metrics%2f..%2freadyz",
        "/metrics/%2e%2e/v1/leases",
        "/metrics//readyz",
        "/metrics/",
    ] {
        assert_eq!(gateway.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_listener_ends_at_shutdown_although_a_caller_is_idle() {
    let gateway = Gateway::start(&[]).await;
    let mut idle = TcpStream::connect(gateway.address)
        .await
        .expect("connected");
    idle.write_all(b"GET /livez HTTP/1.1\r\nhost: admin\r\n\r\n")
        .await
        .expect("sent");
    let mut first = [0; 1];
    idle.read_exact(&mut first).await.expect("an answer");

    gateway.shutdown.cancel();
    gateway.tasks.close();
    let ended = tokio::time::timeout(DEADLINE, gateway.tasks.wait()).await;
    assert!(ended.is_ok(), "the listener still serves");
    assert!(TcpStream::connect(gateway.address).await.is_err());
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_up_shutdown() {
    let gateway = Gateway::start(&[]).await;
    let mut slow = TcpStream::connect(gateway.address)
        .await
        .expect("connected");
    slow.write_all(b"GET /livez HTTP/1.1\r\nhost:")
        .await
        .expect("sent");
    // Connections are accepted in their order, so this answer shows that the slow one has been.
    assert_eq!(gateway.get("/livez").await.status, 200);

    // From here on the clock runs ahead to the next timer whenever nothing else is to be done.
    tokio::time::pause();
    gateway.shutdown.cancel();
    gateway.tasks.close();
    gateway.tasks.wait().await;
}

struct Gateway {
    address: SocketAddr,
    draining: Arc<AtomicBool>,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl Gateway {
    async fn start(routes: &[(&str, bool)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let draining = Arc::new(AtomicBool::new(false));
        let admin = Admin {
            registry: Arc::new(registry()),
            readiness: readiness(routes, Arc::clone(&draining)),
        };
        let shutdown = CancellationToken::new();
        let tasks = TaskTracker::new();
        tasks.spawn(serve(listener, admin, shutdown.clone()));
        Self {
            address,
            draining,
            shutdown,
            tasks,
        }
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path).await
    }

    async fn ask(&self, method: &str, path: &str) -> Answer {
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n");
        let exchange = async {
            let mut stream = TcpStream::connect(self.address).await?;
            stream.write_all(request.as_bytes()).await?;
            let mut text = String::new();
            stream.read_to_string(&mut text).await.map(|_| text)
        };
        let text = tokio::time::timeout(DEADLINE, exchange).await;
        Answer::parse(&text.expect("in time").expect("an answer"))
    }
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1));
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.to_lowercase(), value.to_owned())
        };
        Self {
            status: status
                .and_then(|status| status.parse().ok())
                .expect("a status"),
            headers: lines.map(header).collect(),
            body: body.to_owned(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find_map(|(it, value)| (it == name).then_some(value.as_str()))
    }

    fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"));
        serde_json::from_str(&self.body).expect("JSON")
    }
}

fn registry() -> Registry {
    let mut registry = Registry::default();
    let requests: Counter = Counter::default();
    requests.inc_by(3);
    registry.register("requests", "Requests", requests);
    registry
}

fn readiness(
    routes: &[(&str, bool)],
    draining: Arc<AtomicBool>,
) -> Arc<dyn Fn() -> Readiness + Send + Sync> {
    let routes: Vec<_> = routes
        .iter()
        .map(|(route, ready)| RouteReadiness {
            route: (*route).into(),
            ready: *ready,
            cause: (!ready).then_some("misconfigured"),
        })
        .collect();
    Arc::new(move || Readiness {
        draining: draining.load(Ordering::Relaxed),
        routes: routes.clone(),
    })
}

const DEADLINE: Duration = Duration::from_secs(20);
