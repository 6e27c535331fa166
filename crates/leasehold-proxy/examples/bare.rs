//! hyper with nothing around it: forwards each request to one origin with another `Authorization`.
//!
//! `bare PORT ORIGIN_PORT VALUE`. It is what `cargo xtask bench peers` shows our own share by: no route, no consumer,
//! no record, no limit. It is no gateway.

use std::cell::RefCell;
use std::convert::Infallible;
use std::error::Error;
use std::net::Ipv4Addr;
use std::rc::Rc;

use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [port, origin, value] = arguments.as_slice() else {
        return Err("usage: bare PORT ORIGIN_PORT VALUE".into());
    };
    let bare = Rc::new(Bare {
        origin: origin.parse()?,
        value: HeaderValue::try_from(value)?,
        idle: RefCell::default(),
    });
    let port = port.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    LocalSet::new().block_on(&runtime, serve(port, bare))
}

struct Bare {
    origin: u16,
    value: HeaderValue,
    idle: RefCell<Vec<SendRequest<Incoming>>>,
}

async fn serve(port: u16, bare: Rc<Bare>) -> Result<(), Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let bare = Rc::clone(&bare);
        spawn_local(async move {
            let service = service_fn(|request| {
                let bare = Rc::clone(&bare);
                async move { Ok::<_, Infallible>(bare.forward(request).await) }
            });
            // A connection that fails is the consumer's business.
            drop(
                http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
}

impl Bare {
    async fn forward(&self, mut request: Request<Incoming>) -> Response<Incoming> {
        request
            .headers_mut()
            .insert(AUTHORIZATION, self.value.clone());
        let answered = self.send(request).await;
        #[expect(clippy::panic, reason = "a measurement with a failure in it is void")]
        answered.unwrap_or_else(|error| panic!("the origin failed: {error}"))
    }

    async fn send(&self, request: Request<Incoming>) -> Result<Response<Incoming>, Box<dyn Error>> {
        let mut sender = match self.ready() {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        let response = sender.send_request(request).await?;
        self.idle.borrow_mut().push(sender);
        Ok(response)
    }

    /// Takes a connection whose last answer has been read to its end.
    fn ready(&self) -> Option<SendRequest<Incoming>> {
        let mut idle = self.idle.borrow_mut();
        let place = idle.iter().rposition(SendRequest::is_ready)?;
        Some(idle.swap_remove(place))
    }

    async fn connect(&self) -> Result<SendRequest<Incoming>, Box<dyn Error>> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.origin)).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        spawn_local(connection);
        Ok(sender)
    }
}
