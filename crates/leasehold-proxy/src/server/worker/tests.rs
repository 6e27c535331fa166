use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;

use http::header::AUTHORIZATION;
use leasehold_audit::Recorder;
use leasehold_consumer::Consumers;
use leasehold_model::{Clock, SystemClock};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;

use super::*;
use crate::gateway::{Admission, Gateway, GatewaySpec, RouteSpec, UpstreamPolicy, UpstreamSpec};
use crate::metrics::ProxyMetrics;
use crate::pool::{Pool, TrustedRoots};
use crate::server::bound::Socket;
use crate::server::door::Door;
use crate::server::{Limits, ListenerSpec, socket};

#[test]
fn a_worker_ends_though_a_name_is_still_looked_up() {
    let (listener, address) = listener();
    let (drain, drained) = oneshot::channel();
    let (ready, _started) = sync_channel(1);
    let (ended, end) = channel();
    thread::spawn(move || {
        let (_orders, ordered) = mpsc::unbounded_channel();
        let assignment = Assignment {
            listeners: vec![listener],
            connection_limit: 10,
            orders: ordered,
        };
        let cut = run(worker(), assignment, drained, &ready);
        ended.send(cut).expect("the test goes on");
    });
    let mut consumer = TcpStream::connect(address).expect("it listens");
    consumer
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .expect("sent");
    BEGUN.1.lock().recv_timeout(LIMIT).expect("a lookup");
    drain.send(Drain::default()).expect("it runs");
    assert_eq!(end.recv_timeout(LIMIT), Ok(1));
}

fn hang(_host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
    BEGUN.0.send(()).expect("the test goes on");
    loop {
        thread::park();
    }
}

fn listener() -> (Listener, SocketAddr) {
    let socket = socket::listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
    let address = socket.local_addr().expect("an address");
    let spec = ListenerSpec {
        name: "public".into(),
        address: address.into(),
        tls: None,
        http2: false,
        proxy_protocol: None,
        limits: Limits::default(),
    };
    let listener = Listener {
        number: 0,
        door: Arc::new(Door::new(&spec)),
        socket: Socket::Tcp(socket),
    };
    (listener, address)
}

fn worker() -> Arc<Worker> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let gateway = Arc::new(gateway());
    let mut registry = Registry::default();
    let metrics = ProxyMetrics::register(&mut registry);
    let (recorder, _writer) = Recorder::start(io::sink(), 16, &mut registry).expect("a writer");
    let mut worker = Worker::new(gateway, recorder, metrics, Arc::clone(&clock));
    worker.pool = Arc::new(Pool::new(clock).looking_up(hang));
    Arc::new(worker)
}

fn gateway() -> Gateway {
    let upstream = UpstreamSpec {
        name: "u".into(),
        endpoints: vec!["http://hangs.example".parse().expect("a URL")],
        roots: TrustedRoots::System,
        credentials: Vec::new(),
        connect_timeout: LIMIT,
        response_timeout: LIMIT,
        policy: UpstreamPolicy::default(),
    };
    let route = RouteSpec::to("r", "/", "u", Admission::Anyone);
    Gateway::new(GatewaySpec {
        limits: crate::LimitSpecs::default(),
        path_policy: crate::PathPolicy::default(),
        routes: vec![route],
        upstreams: vec![upstream],
        consumers: Consumers::new(AUTHORIZATION, []),
        identity: crate::identity::IdentityHeaders::default(),
    })
    .expect("a gateway")
}

type Told = (Sender<()>, Mutex<Receiver<()>>);

static BEGUN: std::sync::LazyLock<Told> = std::sync::LazyLock::new(|| {
    let (begin, begun) = channel();
    (begin, Mutex::new(begun))
});
const LIMIT: Duration = Duration::from_secs(20);
