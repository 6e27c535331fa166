//! Sends copies of requests to another upstream, and forgets about them.
//!
//! A copy has nothing of the first upstream's: it is taken before that one's credential is placed, and
//! has the credential of its own upstream or none. It waits for nothing that the request waits for, and
//! there are only so many of them at a time.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::HOST;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use leasehold_model::{ConsumerName, RouteName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::body::{Kept, RequestBody};
use crate::gateway::{Asking, Choice, Draw, Endpoint, Loan, Route, Sender, Upstream};
use crate::plan::Plan;
use crate::pool::{Bound, Connection, connect};
use crate::service::{Draft, Worker, equip, outgoing};
use crate::steps::forward::{Forwarded, bound, speak};
use crate::steps::observe::discard;
use crate::steps::sign::sign;

/// The copies of one worker that are under way. A drain does not wait for them: they end with the
/// worker's runtime.
#[derive(Debug)]
pub(crate) struct Mirrors {
    /// For how many more.
    permits: Arc<Semaphore>,
    copies: TaskTracker,
}

impl Mirrors {
    pub(crate) fn new() -> Self {
        Self {
            permits: Arc::new(Semaphore::new(MOST)),
            copies: TaskTracker::new(),
        }
    }
}

/// A request's head, for the upstream that gets copies of it.
pub(crate) struct Copy {
    upstream: Arc<Upstream>,
    route: RouteName,
    head: Parts,
}

impl Copy {
    /// Copies the head of a request that has no credential yet, where it is one that is copied.
    pub(crate) fn of(route: &Route, head: &Parts) -> Option<Self> {
        let mirror = route.mirror.as_ref()?;
        let sampled = mirror.percent >= 100 || fastrand::u8(..100) < mirror.percent;
        sampled.then(|| Self {
            upstream: Arc::clone(&mirror.upstream),
            route: route.name.clone(),
            head: head.clone(),
        })
    }

    /// Sends the copy while the request takes its way, as soon as all of its body was read.
    pub(crate) fn launch(
        self,
        worker: &Arc<Worker>,
        plan: &Arc<Plan>,
        request: &mut Request<RequestBody>,
        sender: Sender<'_>,
    ) {
        let bare = request.body().is_end_stream();
        let kept = (!bare).then(|| request.body_mut().keep(&worker.copies));
        let permit = Arc::clone(&worker.mirrors.permits).try_acquire_owned().ok();
        let (Some(permit), true) = (permit, !matches!(kept, Some(None))) else {
            worker.metrics.mirrored(&self.upstream.name, "dropped");
            return;
        };
        let sending = Sending {
            worker: Arc::clone(worker),
            plan: Arc::clone(plan),
            copy: self,
            kept: kept.flatten(),
            consumer: sender.consumer.cloned(),
            address: sender.address,
        };
        worker.mirrors.copies.spawn(sending.run(permit));
    }
}

struct Sending {
    worker: Arc<Worker>,
    plan: Arc<Plan>,
    copy: Copy,
    /// `None` where the request has no body.
    kept: Option<Arc<Kept>>,
    consumer: Option<ConsumerName>,
    address: Option<IpAddr>,
}

impl Sending {
    async fn run(mut self, _permit: OwnedSemaphorePermit) {
        let sent = timeout(LONGEST, self.send()).await;
        let outcome = match sent {
            Ok(Some(())) => "sent",
            Ok(None) | Err(_) => "failed",
        };
        let upstream = &self.copy.upstream.name;
        self.worker.metrics.mirrored(upstream, outcome);
    }

    /// Sends the copy and reads the answer; `None` where it could not be sent or was not answered.
    async fn send(&mut self) -> Option<()> {
        let body = match self.kept.take() {
            None => RequestBody::none(),
            Some(kept) => RequestBody::again(kept.whole().await?),
        };
        let upstream = Arc::clone(&self.copy.upstream);
        let mut head = self.copy.head.clone();
        let sender = Sender {
            consumer: self.consumer.as_ref(),
            address: self.address,
        };
        let asking = Asking {
            consumer: sender.consumer,
            route: &self.copy.route,
        };
        let draft = Draft {
            headers: &mut head.headers,
            target: &mut head.uri,
            named: &[],
        };
        let limit = upstream.longest_acquisition();
        let equipped = equip(&self.worker, &self.plan, &upstream, draft, asking, limit);
        // Held until the answer has ended, like that of any other request.
        let loan = equipped.await.ok()?;
        let bound = bound(&upstream, &loan);
        let draw = Draw {
            turn: self.plan.turn(&upstream),
            roll: fastrand::u64(..),
            key: upstream.key(&head.headers, sender),
        };
        let Choice::To(flight) = upstream.choose(&[], &draw, self.worker.clock.boot()) else {
            return None;
        };
        let endpoint = Arc::clone(flight.endpoint());
        if let Some(host) = upstream.host(&endpoint) {
            head.headers.insert(HOST, host.clone());
        }
        let mut request = Request::from_parts(outgoing(head), body);
        let scheme = &endpoint.origin.scheme;
        sign(&self.worker, &upstream, scheme, &loan, &mut request).ok()?;
        let answer = self.exchange(&upstream, &endpoint, (&loan, bound.as_ref()), request);
        let (response, connection) = timeout(upstream.response_timeout, answer).await.ok()??;
        discard(Forwarded {
            response,
            connection,
            flight: flight.bound_to(bound),
            limit: upstream.response_timeout,
        })
        .await;
        Some(())
    }

    async fn exchange(
        &self,
        upstream: &Upstream,
        endpoint: &Endpoint,
        (loan, bound): (&Loan, Option<&Bound>),
        mut request: Request<RequestBody>,
    ) -> Option<(Response<Incoming>, Connection)> {
        let pool = &self.worker.pool;
        let key = bound.map_or(endpoint.key, |it| it.key(endpoint.key));
        while let Some(mut connection) = pool.take(endpoint, key) {
            speak(&connection, upstream, endpoint, &mut request);
            connection.show(loan);
            match connection.send(request).await {
                Ok(response) => return Some((response, connection)),
                // The upstream had closed it.
                Err(mut error) => request = error.take_message()?,
            }
        }
        let opened = connect(pool, endpoint, bound, upstream.connect_timeout).await;
        let mut connection = opened.ok()?;
        speak(&connection, upstream, endpoint, &mut request);
        connection.show(loan);
        let response = connection.send(request).await.ok()?;
        Some((response, connection))
    }
}

const MOST: usize = 256;
/// How long a copy may take, the rest of its body included.
const LONGEST: Duration = Duration::from_secs(30);
