//! gRPC through the gateway, by a client and a server that others have written.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use leasehold_proxy::Protocol;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{BoxFuture, Service};
use tonic::server::NamedService;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::rig::{LIMIT, Rig, Setup};

#[test]
fn a_call_with_one_answer() {
    let scene = Scene::new();
    let answer = scene.run(async |mut client| {
        let request = Request::new(Bytes::from_static(b"hello"));
        client.unary(request, path("Echo"), Raw).await
    });
    assert_eq!(answer.expect("an answer").into_inner(), "hello");
    let record = scene.rig.record();
    assert_eq!(
        (&record["status"], &record["reason"]),
        (&200.into(), &().into())
    );
}

#[test]
fn an_error_of_trailers_alone() {
    let scene = Scene::new();
    let answer = scene.run(async |mut client| {
        client
            .unary(Request::new(Bytes::new()), path("Fail"), Raw)
            .await
    });
    let status = answer.expect_err("an error");
    assert_eq!(
        (status.code(), status.message()),
        (Code::NotFound, "no such thing")
    );
}

#[test]
fn a_stream_in_both_directions_goes_message_by_message() {
    let scene = Scene::new();
    scene.run(async |mut client| {
        let (send, messages) = mpsc::channel(1);
        let request = Request::new(ReceiverStream::new(messages));
        let answer = client.streaming(request, path("Chat"), Raw).await;
        let mut answers: Streaming<Bytes> = answer.expect("a stream").into_inner();
        for number in 0..5 {
            let message = Bytes::from(format!("message {number}"));
            send.send(message.clone()).await.expect("it goes on");
            let echoed = answers.message().await.expect("no error");
            assert_eq!(echoed, Some(message));
        }
        drop(send);
        assert_eq!(answers.message().await.expect("no error"), None);
    });
}

#[test]
fn a_deadline_reaches_the_server_and_ends_the_call_there() {
    let scene = Scene::new();
    let answer = scene.run(async |mut client| {
        let mut request = Request::new(Bytes::new());
        request.set_timeout(Duration::from_millis(200));
        client.unary(request, path("Hang"), Raw).await
    });
    let code = answer.expect_err("too late").code();
    assert!(
        matches!(code, Code::Cancelled | Code::DeadlineExceeded),
        "{code:?}"
    );
    assert_eq!(scene.told(), "deadline 200000u");
    assert_eq!(scene.told(), "ended");
}

#[test]
fn a_call_that_is_cancelled_ends_at_the_server() {
    let scene = Scene::new();
    scene.run(async |mut client| {
        let call = client.unary(Request::new(Bytes::new()), path("Hang"), Raw);
        let short = Duration::from_millis(200);
        assert!(tokio::time::timeout(short, call).await.is_err(), "it hangs");
    });
    assert_eq!(scene.told(), "deadline none");
    assert_eq!(scene.told(), "ended");
    assert_eq!(scene.rig.record()["reason"], "client_aborted");
}

#[test]
fn a_stream_that_is_cancelled_ends_at_the_server() {
    let scene = Scene::new();
    scene.run(async |mut client| {
        let request = Request::new(tokio_stream::once(Bytes::from_static(b"stay")));
        let answer = client.streaming(request, path("Chat"), Raw).await;
        let mut answers: Streaming<Bytes> = answer.expect("a stream").into_inner();
        assert!(answers.message().await.expect("no error").is_some());
    });
    assert_eq!(scene.told(), "chat ended");
    assert_eq!(scene.rig.record()["reason"], "client_aborted");
}

#[test]
fn what_the_gateway_refuses_has_a_status_of_its_own() {
    let scene = Scene::new();
    let answer = scene.run(async |mut client| {
        let path = PathAndQuery::from_static("/closed/Echo");
        client.unary(Request::new(Bytes::new()), path, Raw).await
    });
    let status = answer.expect_err("refused");
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unauthenticated, "a consumer key is needed")
    );
}

/// A server, the gateway before it, and a client.
struct Scene {
    rig: Rig,
    told: Receiver<String>,
    runtime: Runtime,
}

impl Scene {
    fn new() -> Self {
        let (tell, told) = channel();
        let origin = serve(tell);
        let mut setup = Setup::to(&[format!("http://{origin}")]);
        setup.policy.protocol = Protocol::Http2;
        setup.http2 = true;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build();
        Self {
            rig: setup.start(),
            told,
            runtime: runtime.expect("a runtime"),
        }
    }

    fn run<T>(&self, call: impl AsyncFnOnce(Grpc<Channel>) -> T) -> T {
        let address = format!("http://{}", self.rig.address);
        self.runtime.block_on(async {
            let channel = Channel::from_shared(address)
                .expect("a URL")
                .connect()
                .await;
            let mut client = Grpc::new(channel.expect("a connection"));
            client.ready().await.expect("ready");
            call(client).await
        })
    }

    fn told(&self) -> String {
        self.told.recv_timeout(LIMIT).expect("the server tells")
    }
}

fn path(method: &str) -> PathAndQuery {
    format!("/test.Service/{method}").parse().expect("a path")
}

/// Starts a server, which ends with the process.
fn serve(tell: Sender<String>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    listener.set_nonblocking(true).expect("set");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
            let incoming = tonic::transport::server::TcpIncoming::from(listener);
            let server = Server::builder().add_service(Methods(tell));
            server
                .serve_with_incoming(incoming)
                .await
                .expect("it serves");
        });
    });
    address
}

#[derive(Clone)]
struct Methods(Sender<String>);

impl NamedService for Methods {
    const NAME: &'static str = "test.Service";
}

impl Service<http::Request<Body>> for Methods {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let mut grpc = tonic::server::Grpc::new(Raw);
        let method = request
            .uri()
            .path()
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .to_owned();
        let tell = self.0.clone();
        Box::pin(async move {
            Ok(match &*method {
                "Chat" => grpc.streaming(Chat(tell), request).await,
                _ => grpc.unary(Unary(method, tell), request).await,
            })
        })
    }
}

/// Tells when it is dropped.
struct Told(&'static str, Sender<String>);

impl Drop for Told {
    fn drop(&mut self) {
        drop(self.1.send(self.0.to_owned()));
    }
}

struct Unary(String, Sender<String>);

impl Service<Request<Bytes>> for Unary {
    type Response = Response<Bytes>;
    type Error = Status;
    type Future = BoxFuture<Response<Bytes>, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (method, tell) = (self.0.clone(), self.1.clone());
        Box::pin(async move {
            match &*method {
                "Echo" => Ok(Response::new(request.into_inner())),
                "Hang" => {
                    let deadline = request.metadata().get("grpc-timeout");
                    let deadline = deadline.and_then(|it| it.to_str().ok()).unwrap_or("none");
                    tell.send(format!("deadline {deadline}"))
                        .expect("the test goes on");
                    let _told = Told("ended", tell);
                    std::future::pending().await
                }
                _ => Err(Status::not_found("no such thing")),
            }
        })
    }
}

struct Chat(Sender<String>);

impl Service<Request<Streaming<Bytes>>> for Chat {
    type Response = Response<ReceiverStream<Result<Bytes, Status>>>;
    type Error = Status;
    type Future = BoxFuture<Self::Response, Status>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let tell = self.0.clone();
        Box::pin(async move {
            let mut messages = request.into_inner();
            let (send, answers) = mpsc::channel(1);
            tokio_util::task::TaskTracker::new().spawn(async move {
                let _told = Told("chat ended", tell);
                while let Some(Ok(message)) = messages.next().await {
                    let stay = message == "stay";
                    if send.send(Ok(message)).await.is_err() {
                        return;
                    }
                    if stay {
                        send.closed().await;
                    }
                }
            });
            Ok(Response::new(ReceiverStream::new(answers)))
        })
    }
}

/// Messages as they are.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
