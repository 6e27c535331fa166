//! Upstreams that speak HTTP/2.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use leasehold_proxy::{Protocol, TrustedRoots};
use rustls::ALL_VERSIONS;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::consumer::Message;
use crate::origin::{OK, Origin};
use crate::rig::{LIMIT, Rig, Setup, until};
use crate::tls::{Authority, authority, server_config, tls_origin};

#[test]
fn requests_share_one_connection_and_more_are_opened_when_it_is_full() {
    let (told, seen) = channel();
    let (release, gate) = tokio::sync::watch::channel(false);
    let origin = Http2Origin::start(2, move |request, respond| {
        let (told, mut gate) = (told.clone(), gate.clone());
        async move {
            told.send(request.uri().to_string())
                .expect("the test goes on");
            gate.wait_for(|open| *open).await.expect("it lives");
            answer(respond, "ok");
        }
    });
    let rig = rig(&origin);
    release.send_replace(true);
    assert_eq!(rig.connect().get("/first?a=%2F", "").text(), "ok");
    let target = format!("http://{}/first?a=%2F", origin.address);
    assert_eq!(seen.recv_timeout(LIMIT).as_deref(), Ok(&*target));
    assert_eq!(rig.connect().get("/second", "").text(), "ok");
    assert_eq!(origin.connections(), 1);

    release.send_replace(false);
    let mut consumers: Vec<_> = (0..5).map(|_| rig.connect()).collect();
    for consumer in &mut consumers {
        consumer.send("GET /held HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for _ in 0..6 {
        seen.recv_timeout(LIMIT).expect("all at once");
    }
    assert_eq!(origin.connections(), 3, "two streams each");
    release.send_replace(true);
    for consumer in &mut consumers {
        assert_eq!(consumer.receive().text(), "ok");
    }
    until("the gauge", || {
        let open = "leasehold_upstream_connections{upstream=\"origin\"} 3\n";
        rig.metrics().contains(open).then_some(())
    });
}

#[test]
fn those_who_come_at_once_wait_for_one_connection() {
    let origin = Http2Origin::start(
        100,
        |_request, respond| async move { answer(respond, "ok") },
    );
    let rig = rig(&origin);
    let mut consumers: Vec<_> = (0..50).map(|_| rig.connect()).collect();
    for consumer in &mut consumers {
        consumer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for consumer in &mut consumers {
        assert_eq!(consumer.receive().text(), "ok");
    }
    assert_eq!(origin.connections(), 1);
}

#[test]
fn over_tls_the_handshake_decides() {
    let authority = authority();
    let (told, seen) = channel();
    let served = move |_request, respond| {
        told.send(()).expect("the test goes on");
        async move { answer(respond, "two") }
    };
    let origin = Http2Origin::start_over_tls(&authority, served);
    let (one, _seen) = tls_origin(&authority, "localhost");
    let url = |port: u16| format!("https://127.0.0.1:{port}");
    let mut setup = Setup::to(&[url(origin.address.port()), url(one)]);
    setup.roots = TrustedRoots::Pem(authority.pem().into_bytes());
    setup.policy.tls.sni = Some("localhost".to_owned());
    let rig = setup.start();
    let answers: Vec<_> = (0..4).map(|_| rig.connect().get("/", "")).collect();
    let texts: Vec<_> = answers.iter().map(Message::text).collect();
    assert_eq!(texts, ["two", "ok", "two", "ok"]);
    assert_eq!((seen.try_iter().count(), origin.connections()), (2, 1));
}

#[test]
fn trailers_go_both_ways_and_only_those_that_were_announced() {
    let (told, seen) = channel();
    let origin = Http2Origin::start(100, move |request, mut respond| {
        let told = told.clone();
        async move {
            let (head, mut body) = request.into_parts();
            let data = read(&mut body).await;
            let trailers = body.trailers().await.expect("whole");
            told.send((head.headers, data, trailers))
                .expect("the test goes on");
            let head = Response::builder().header("trailer", "x-sum").body(());
            let mut send = respond
                .send_response(head.expect("a head"), false)
                .expect("sent");
            send.send_data(Bytes::from_static(b"down"), false)
                .expect("sent");
            let sum = (
                HeaderName::from_static("x-sum"),
                HeaderValue::from_static("8"),
            );
            send.send_trailers(HeaderMap::from_iter([sum]))
                .expect("sent");
        }
    });
    let rig = rig(&origin);
    let mut consumer = rig.connect();
    consumer.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTrailer: x-sum\r\n\
         Transfer-Encoding: chunked\r\n\r\n2\r\nup\r\n0\r\nx-sum: 7\r\nx-consumer-key: k\r\n\
         authorization: Bearer x\r\n\r\n",
    );
    let answer = consumer.receive();
    assert_eq!((answer.text(), &*answer.trailers), ("down", "x-sum: 8"));
    let (head, data, trailers) = seen.recv_timeout(LIMIT).expect("a request");
    assert_eq!(
        (head["te"].as_bytes(), data),
        (&b"trailers"[..], b"up".to_vec())
    );
    assert!(
        !head.contains_key("host") && !head.contains_key("transfer-encoding"),
        "{head:?}"
    );
    let trailers = trailers.expect("trailers");
    assert_eq!(
        (trailers.len(), trailers["x-sum"].as_bytes()),
        (1, &b"7"[..])
    );
}

#[test]
fn the_answer_may_begin_before_the_request_has_ended() {
    let origin = Http2Origin::start(100, |request, mut respond| async move {
        let head = respond.send_response(Response::new(()), false);
        let mut send = head.expect("sent");
        let mut body = request.into_body();
        while let Some(data) = body.data().await {
            let data = data.expect("whole");
            drop(body.flow_control().release_capacity(data.len()));
            send.send_data(data, false).expect("sent");
        }
        send.send_data(Bytes::new(), true).expect("sent");
    });
    let rig = rig(&origin);
    let mut consumer = rig.connect();
    consumer.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert!(consumer.head().expect("a head").starts_with("HTTP/1.1 200"));
    for part in ["one", "three", "seventeen"] {
        consumer.send(format!("{:x}\r\n{part}\r\n", part.len()));
        let echoed = consumer.chunk().expect("a chunk");
        assert_eq!(echoed.as_deref(), Some(part.as_bytes()));
    }
    consumer.send("0\r\n\r\n");
    assert_eq!(consumer.chunk().expect("the end"), None);
}

#[test]
fn a_consumer_who_leaves_resets_the_stream_at_once() {
    for answers_first in [false, true] {
        let (told, seen) = channel();
        let origin = Http2Origin::start(100, move |_request, mut respond| {
            let told = told.clone();
            async move {
                told.send(None).expect("the test goes on");
                let reset = if answers_first {
                    let send = respond.send_response(Response::new(()), false);
                    let mut send = send.expect("sent");
                    std::future::poll_fn(|cx| send.poll_reset(cx)).await
                } else {
                    std::future::poll_fn(|cx| respond.poll_reset(cx)).await
                };
                told.send(reset.ok()).expect("the test goes on");
            }
        });
        let rig = rig(&origin);
        let mut consumer = rig.connect();
        consumer.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(seen.recv_timeout(LIMIT), Ok(None));
        if answers_first {
            consumer.head().expect("a head");
        }
        drop(consumer);
        assert_eq!(seen.recv_timeout(LIMIT), Ok(Some(Reason::CANCEL)));
        assert_eq!(rig.record()["reason"], "client_aborted");
    }
}

#[test]
fn a_stream_that_the_consumer_resets_is_reset_while_the_request_is_under_way() {
    let (told, seen) = channel();
    let origin = Http2Origin::start(100, move |_request, mut respond| {
        let told = told.clone();
        async move {
            let send = respond.send_response(Response::new(()), false);
            let mut send = send.expect("sent");
            let reset = std::future::poll_fn(|cx| send.poll_reset(cx)).await;
            told.send(reset.is_ok()).expect("the test goes on");
        }
    });
    let mut setup = Setup::to(&[format!("http://{}", origin.address)]);
    setup.policy.protocol = Protocol::Http2;
    setup.http2 = true;
    let rig = setup.start();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let stream = TcpStream::connect(rig.address).await.expect("it listens");
        let (client, driver) = h2::client::handshake(stream).await.expect("HTTP/2");
        let tasks = TaskTracker::new();
        tasks.spawn(driver);
        let mut client = client.ready().await.expect("ready");
        let request = Request::post("http://a/").body(()).expect("a request");
        let (answer, mut send) = client.send_request(request, false).expect("sent");
        send.send_data(Bytes::from_static(b"part"), false)
            .expect("sent");
        let answer = answer.await.expect("a head while the request is under way");
        send.send_reset(Reason::CANCEL);
        drop(answer);
        let reset = tasks.spawn_blocking(move || seen.recv_timeout(LIMIT));
        assert_eq!(reset.await.expect("told"), Ok(true));
    });
    assert_eq!(rig.record()["reason"], "client_aborted");
}

#[test]
fn what_was_not_looked_at_is_sent_again_whatever_the_method() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let origin = Http2Origin::start(100, move |request, mut respond| {
        let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            let data = read(&mut request.into_body()).await;
            if first {
                respond.send_reset(Reason::REFUSED_STREAM);
            } else {
                answer(respond, std::str::from_utf8(&data).expect("text"));
            }
        }
    });
    let rig = rig(&origin);
    let mut consumer = rig.connect();
    consumer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(consumer.receive().text(), "abc");
    assert_eq!((count.load(Ordering::SeqCst), origin.connections()), (2, 2));
    assert!(rig.record()["reason"].is_null());
}

#[test]
fn a_stream_that_is_reset_is_not_sent_again() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let origin = Http2Origin::start(100, move |_request, mut respond| {
        counted.fetch_add(1, Ordering::SeqCst);
        async move { respond.send_reset(Reason::INTERNAL_ERROR) }
    });
    let rig = rig(&origin);
    let answer = rig.connect().get("/", "");
    assert_eq!(answer.status(), "502");
    assert!(
        answer.text().contains("upstream_failed"),
        "{}",
        answer.text()
    );
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[test]
fn a_connection_that_goes_away_takes_no_more_requests() {
    let origin = Http2Origin::going_away(|respond| answer(respond, "ok"));
    let rig = rig(&origin);
    for number in 1..=10 {
        let mut consumer = rig.connect();
        consumer.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        assert_eq!(consumer.receive().text(), "ok");
        assert_eq!(origin.connections(), number, "one request each");
    }
}

#[test]
fn an_origin_that_speaks_http1_only_is_not_taken_for_another() {
    let (origin, seen) = Origin::answering(OK);
    let mut setup = Setup::to(&[origin.url()]);
    setup.policy.protocol = Protocol::Http2;
    let rig = setup.start();
    let answer = rig.connect().get("/", "");
    assert_eq!(answer.status(), "502");
    drop(seen);
}

#[test]
fn a_grpc_answer_of_trailers_alone_goes_through() {
    let origin = Http2Origin::start(100, |_request, mut respond| async move {
        let head = Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", "5")
            .body(());
        respond
            .send_response(head.expect("a head"), true)
            .expect("sent");
    });
    let rig = rig(&origin);
    let mut consumer = rig.connect();
    consumer.send(
        "POST /a.B/C HTTP/1.1\r\nHost: a\r\nContent-Type: application/grpc\r\n\
         grpc-timeout: 1S\r\nContent-Length: 0\r\n\r\n",
    );
    let answer = consumer.receive();
    assert_eq!(
        (answer.status(), answer.all("grpc-status")),
        ("200", vec!["5"])
    );
}

/// An origin that speaks HTTP/2 on plain connections.
struct Http2Origin {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Http2Origin {
    /// Starts an origin that takes so many streams a connection and does `serve` with each.
    fn start<F: Future<Output = ()> + Send + 'static>(
        streams: u32,
        serve: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Send + Sync + 'static,
    ) -> Self {
        let serve = Arc::new(serve);
        Self::with(streams, move |mut connection, tasks| {
            let serve = Arc::clone(&serve);
            async move {
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tasks.spawn(serve(request, respond));
                }
            }
        })
    }

    /// Starts an origin that speaks HTTP/2 over TLS.
    fn start_over_tls<F: Future<Output = ()> + Send + 'static>(
        authority: &Authority,
        serve: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Send + Sync + 'static,
    ) -> Self {
        let mut config = server_config(authority, "localhost", ALL_VERSIONS);
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let serve = Arc::new(serve);
        Self::accepting(move |stream, tasks| {
            let (acceptor, serve) = (acceptor.clone(), Arc::clone(&serve));
            async move {
                let stream = acceptor.accept(stream).await.expect("a handshake");
                let mut connection = h2::server::handshake(stream).await.expect("HTTP/2");
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tasks.spawn(serve(request, respond));
                }
            }
        })
    }

    /// Starts an origin that says after each connection's first request that it takes no more.
    fn going_away(serve: fn(SendResponse<Bytes>)) -> Self {
        Self::with(100, move |mut connection, _tasks| async move {
            if let Some(Ok((_request, respond))) = connection.accept().await {
                serve(respond);
                connection.graceful_shutdown();
            }
            while connection.accept().await.is_some() {}
        })
    }

    fn with<F: Future<Output = ()> + Send + 'static>(
        streams: u32,
        serve: impl Fn(Connection<TcpStream, Bytes>, TaskTracker) -> F + Send + Sync + 'static,
    ) -> Self {
        let serve = Arc::new(serve);
        Self::accepting(move |stream, tasks| {
            let serve = Arc::clone(&serve);
            async move {
                let mut builder = Builder::new();
                builder.max_concurrent_streams(streams);
                if let Ok(connection) = builder.handshake(stream).await {
                    serve(connection, tasks).await;
                }
            }
        })
    }

    /// Starts an origin that does `serve` with each connection.
    fn accepting<F: Future<Output = ()> + Send + 'static>(
        serve: impl Fn(TcpStream, TaskTracker) -> F + Send + 'static,
    ) -> Self {
        let (ready, started): (Sender<SocketAddr>, Receiver<SocketAddr>) = channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        // Ends with the process.
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await;
                let listener = listener.expect("a free port");
                let address = listener.local_addr().expect("an address");
                ready.send(address).expect("the test goes on");
                let tasks = TaskTracker::new();
                loop {
                    let (stream, _) = listener.accept().await.expect("a connection");
                    counted.fetch_add(1, Ordering::SeqCst);
                    tasks.spawn(serve(stream, tasks.clone()));
                }
            });
        });
        Self {
            address: started.recv_timeout(LIMIT).expect("it listens"),
            connections,
        }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

fn rig(origin: &Http2Origin) -> Rig {
    let mut setup = Setup::to(&[format!("http://{}", origin.address)]);
    setup.policy.protocol = Protocol::Http2;
    setup.start()
}

fn answer(mut respond: SendResponse<Bytes>, text: &str) {
    let send = respond.send_response(Response::new(()), false);
    let text = Bytes::copy_from_slice(text.as_bytes());
    send.expect("sent").send_data(text, true).expect("sent");
}

async fn read(body: &mut RecvStream) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.expect("whole");
        drop(body.flow_control().release_capacity(data.len()));
        whole.extend_from_slice(&data);
    }
    whole
}
