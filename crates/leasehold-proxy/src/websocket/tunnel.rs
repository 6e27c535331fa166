use std::sync::Arc;
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use leasehold_model::{Clock, ReasonCode};
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, copy_bidirectional_with_sizes};
use tokio::time::timeout;

use super::meter::{Count, Metered, Pulse};
use crate::gateway::Flight;
use crate::steps::close::Exchange;

/// A WebSocket that was agreed to, in the hands of the answer that says so. Whoever serves the
/// connection takes it from there.
#[derive(Clone, Debug)]
pub(crate) struct Begun(Arc<Mutex<Option<Box<Tunnel>>>>);

impl Begun {
    pub(super) fn new(tunnel: Tunnel) -> Self {
        Self(Arc::new(Mutex::new(Some(Box::new(tunnel)))))
    }

    pub(crate) fn take(self) -> Option<Box<Tunnel>> {
        self.0.lock().take()
    }
}

/// The two sides of a WebSocket, which go on as one request: its account is closed at the end, and what
/// the request holds is held until then.
#[derive(Debug)]
pub(crate) struct Tunnel {
    account: Account,
    consumer: Option<OnUpgrade>,
    upstream: OnUpgrade,
    /// Kept to the end, since it is a request in flight for its endpoint.
    flight: Flight,
    idle: Duration,
    clock: Arc<dyn Clock>,
}

impl Tunnel {
    pub(super) fn new(
        exchange: Exchange,
        (consumer, upstream): (OnUpgrade, OnUpgrade),
        flight: Flight,
        idle: Duration,
    ) -> Self {
        let (clock, open) = exchange.means_of_tunnel();
        Self {
            account: Account::new(exchange, open),
            consumer: Some(consumer),
            upstream,
            flight,
            idle,
            clock,
        }
    }

    /// Waits until the consumer's connection is free for it; `None` where that is gone before.
    pub(crate) async fn consumer(&mut self) -> Option<Upgraded> {
        self.consumer.take()?.await.ok()
    }

    /// Gives it up, for what the consumer has done.
    pub(crate) fn refuse(self, reason: ReasonCode) {
        self.account.close(Some(reason));
    }

    /// Passes on what each side says, until both have said all, one breaks off, or it is time to end.
    pub(crate) async fn run<C>(self, consumer: C, draining: impl Future<Output = ()>)
    where
        C: AsyncRead + AsyncWrite + Unpin,
    {
        let Self {
            account,
            upstream,
            flight,
            idle,
            clock,
            ..
        } = self;
        let Ok(upstream) = upstream.await else {
            return account.close(Some(ReasonCode::UpstreamFailed));
        };
        let pulse = Pulse::new(&clock);
        let mut consumer = Metered::new(consumer, &pulse, &account.count);
        let mut upstream = Metered::new(TokioIo::new(upstream), &pulse, &Arc::default());
        let copied = copy_bidirectional_with_sizes(&mut consumer, &mut upstream, BUFFER, BUFFER);
        let drained = async {
            draining.await;
            // Not in the middle of a message, where it can be helped.
            pulse.still(QUIET).await;
        };
        let ended = tokio::select! {
            biased;
            copied = copied => copied.map(|_| None).map_err(|_noted| ()),
            () = pulse.still(idle) => Ok(Some(ReasonCode::Idle)),
            () = flight.unbound(&*clock) => Ok(Some(ReasonCode::CredentialUnavailable)),
            () = drained => Ok(Some(ReasonCode::Draining)),
        };
        let reason = match ended {
            Ok(None) => None,
            Ok(reason) => {
                let both = async { tokio::join!(consumer.shutdown(), upstream.shutdown()) };
                // Where that can't be said, closing says it.
                drop(timeout(GOODBYE, both).await);
                reason
            }
            Err(()) if consumer.has_failed() => Some(ReasonCode::ClientAborted),
            Err(()) => Some(ReasonCode::UpstreamFailed),
        };
        account.close(reason);
    }
}

/// The account of the request, with what went over the tunnel. Dropping it closes it as broken off.
#[derive(Debug)]
struct Account {
    /// Taken when it is closed.
    exchange: Option<Exchange>,
    /// Of the consumer's side.
    count: Arc<Count>,
    open: Gauge,
}

impl Account {
    fn new(exchange: Exchange, open: Gauge) -> Self {
        open.inc();
        Self {
            exchange: Some(exchange),
            count: Arc::default(),
            open,
        }
    }

    fn close(mut self, reason: Option<ReasonCode>) {
        if let Some(mut exchange) = self.settled() {
            exchange.note(|record| record.reason = reason);
            exchange.close();
        }
    }

    fn settled(&mut self) -> Option<Exchange> {
        let mut exchange = self.exchange.take()?;
        let count = &self.count;
        exchange.note(|record| {
            record.request_bytes = count.read();
            record.response_bytes = count.written();
        });
        Some(exchange)
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.open.dec();
        drop(self.settled());
    }
}

/// What may be on its way in one direction.
const BUFFER: usize = 8 * 1024;
/// How long nothing must have been said before a tunnel is closed in a drain.
const QUIET: Duration = Duration::from_secs(1);
/// How long it may take to tell both sides that it ends.
const GOODBYE: Duration = Duration::from_secs(1);
