use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use leasehold_model::ReasonCode;
use tokio::time::{Sleep, sleep};

use super::{BodyError, Seal};
use crate::gateway::Flight;
use crate::patience::Patience;
use crate::pool::Connection;
use crate::steps::close::Exchange;

/// An answer's body on its way to the consumer. It closes the exchange when it has ended, however it
/// ends: read to its end, broken off by the upstream, or dropped with the consumer's connection.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    content: Content,
    /// Taken when the exchange is closed.
    exchange: Option<Exchange>,
}

impl ResponseBody {
    /// Wraps what an upstream answers; the connection goes back to its pool at the end of it.
    ///
    /// Where that is silent for longer than `limit`, in mid-answer, it is given up, and so it is where
    /// the exchange takes longer than its route lets it.
    pub(crate) fn upstream(
        incoming: Incoming,
        from: (Connection, Flight),
        limit: Duration,
        seal: Option<Box<Seal>>,
        exchange: Exchange,
    ) -> Self {
        let left = exchange.time_left();
        Self {
            content: Content::Upstream {
                incoming,
                from: Some(from),
                patience: Patience::new(limit),
                deadline: left.map(|left| Box::pin(sleep(left))),
                seal,
            },
            exchange: Some(exchange),
        }
    }

    /// Wraps what the gateway itself answers.
    pub(crate) fn own(text: Bytes, exchange: Exchange) -> Self {
        Self {
            content: Content::Own(Some(text).filter(|it| !it.is_empty())),
            exchange: Some(exchange),
        }
    }

    /// Returns the body of an answer whose account goes on elsewhere.
    pub(crate) const fn none() -> Self {
        Self {
            content: Content::Own(None),
            exchange: None,
        }
    }

    fn note(&mut self, frame: Option<&Result<Frame<Bytes>, BodyError>>) {
        match frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                if let Some(exchange) = &mut self.exchange {
                    exchange.answer_with(length);
                }
                if self.content.is_end_stream() {
                    self.complete();
                }
            }
            Some(Err(BodyError::Reflected)) => self.refuse_reflected(),
            Some(Err(error)) => self.fail(error, ReasonCode::UpstreamFailed),
            None => self.complete(),
        }
    }

    /// Tells of the credential where the body shows it.
    fn tell_findings(&mut self) {
        if let (
            Content::Upstream {
                seal: Some(seal), ..
            },
            Some(exchange),
        ) = (&mut self.content, &mut self.exchange)
        {
            seal.findings()
                .into_iter()
                .for_each(|it| exchange.reflected(it));
        }
    }

    /// Breaks off an answer that shows a credential. That has been told of.
    fn refuse_reflected(&mut self) {
        if let Some(mut exchange) = self.exchange.take() {
            exchange.fail(ReasonCode::CredentialReflected);
            exchange.close();
        }
    }

    fn complete(&mut self) {
        if let Some(exchange) = self.exchange.take() {
            exchange.close();
        }
        if let Content::Upstream { from, .. } = &mut self.content
            && let Some((connection, _flight)) = from.take()
        {
            connection.give_back();
        }
    }

    fn fail(&mut self, error: &BodyError, reason: ReasonCode) {
        if let Some(mut exchange) = self.exchange.take() {
            exchange.warn(error, "upstream broke off its answer");
            exchange.fail(reason);
            exchange.close();
        }
    }

    /// Waits until an upstream that sends nothing has had its time, or the consumer who keeps it
    /// waiting for the rest of the request.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<BodyError> {
        let (Content::Upstream { patience, .. }, Some(exchange)) =
            (&mut self.content, &self.exchange)
        else {
            return Poll::Pending;
        };
        let limit = patience.limit();
        loop {
            ready!(patience.poll_over(cx));
            let (stall, left) = exchange.stall(limit);
            if left.is_zero() {
                let late = BodyError::Late(limit);
                self.fail(&late, stall.into());
                return Poll::Ready(late);
            }
            patience.begin(left);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.content.poll_overdue(cx).is_ready() {
            let stall = this.exchange.as_ref().map(Exchange::late);
            let reason = stall.map_or(ReasonCode::UpstreamTimeout, |refusal| refusal.reason);
            this.fail(&BodyError::Overdue, reason);
            return Poll::Ready(Some(Err(BodyError::Overdue)));
        }
        let polled = this.content.poll(cx);
        if let (Some(exchange), Content::Upstream { .. }) = (&mut this.exchange, &this.content) {
            exchange.await_upstream(polled.is_pending());
        }
        let Poll::Ready(frame) = polled else {
            return this.poll_late(cx).map(|late| Some(Err(late)));
        };
        this.tell_findings();
        this.note(frame.as_ref());
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.content.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Upstream { incoming, .. } => incoming.size_hint(),
            Content::Own(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // An answer without a body is never polled. Anything else that is dropped before its end was
        // broken off, which the exchange notes when it is dropped with this.
        if self.content.is_end_stream() {
            self.complete();
        }
    }
}

#[derive(Debug)]
enum Content {
    Upstream {
        incoming: Incoming,
        from: Option<(Connection, Flight)>,
        patience: Patience,
        /// When the whole exchange must have ended.
        deadline: Option<Pin<Box<Sleep>>>,
        /// What the body passes, where it is looked through.
        seal: Option<Box<Seal>>,
    },
    Own(Option<Bytes>),
}

impl Content {
    /// Waits until the exchange has taken as long as it may.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Upstream {
                deadline: Some(deadline),
                ..
            } => deadline.as_mut().poll(cx),
            Self::Upstream { .. } | Self::Own(_) => Poll::Pending,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Upstream {
                incoming,
                patience,
                seal,
                ..
            } => loop {
                if let Some(waiting) = seal.as_mut().and_then(|seal| seal.waiting()) {
                    return Poll::Ready(Some(Ok(waiting)));
                }
                let polled = Pin::new(&mut *incoming).poll_frame(cx);
                if polled.is_ready() {
                    patience.end();
                }
                let polled = polled.map_err(BodyError::Broken);
                let Some(seal) = seal else {
                    return polled;
                };
                if let Some(passed) = seal.pass(ready!(polled), incoming) {
                    return Poll::Ready(passed);
                }
            },
            Self::Own(text) => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Upstream { incoming, seal, .. } => {
                incoming.is_end_stream() && seal.as_ref().is_none_or(|seal| seal.is_idle())
            }
            Self::Own(text) => text.is_none(),
        }
    }
}
