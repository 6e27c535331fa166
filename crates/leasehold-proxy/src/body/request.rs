use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderName};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use leasehold_inject::{ChunkSigner, SignError, encoded_length};
use leasehold_model::Clock;

use super::BodyError;
use super::kept::{Copyist, Kept, LARGEST, Room, Whole};
use super::upload::{Demands, Stage, Upload};
use crate::credit::Credit;
use crate::patience::Patience;
use crate::via::Link;

/// A request's body on its way to the upstream. Most requests have none, so that what one takes is
/// elsewhere: a request is moved several times, and a connection keeps room for many.
#[derive(Debug)]
pub(crate) struct RequestBody(Option<Box<Flow>>);

/// A body that there is, which takes note of how it fares.
#[derive(Debug)]
pub(super) struct Flow {
    source: Source,
    upload: Option<Arc<Upload>>,
    /// The connection that it comes over.
    link: Option<Arc<Link>>,
    patience: Patience,
    credit: Credit,
    /// Where the body may be sent again.
    copyist: Option<Copyist>,
    /// The trailers that may go on, where nobody else sees to that.
    announced: Option<Vec<HeaderName>>,
    /// What signs its parts, where they are signed as they go by.
    parts: Option<Box<PartSigner>>,
    /// The copy that it was made from, where all of it was read ahead.
    whole: Option<Arc<Kept>>,
}

impl RequestBody {
    /// Wraps a body, and returns what tells how it fares; `None` where there is no body.
    pub(crate) fn new(
        incoming: Incoming,
        clock: &Arc<dyn Clock>,
        demands: Demands,
        link: &Arc<Link>,
    ) -> (Self, Option<Arc<Upload>>) {
        if incoming.is_end_stream() {
            return (Self::none(), None);
        }
        let upload = Arc::new(Upload::new(Arc::clone(clock), demands));
        let mut flow = Flow::with(Source::Consumer(incoming), demands);
        flow.upload = Some(Arc::clone(&upload));
        flow.link = Some(Arc::clone(link));
        (Self(Some(Box::new(flow))), Some(upload))
    }

    /// Returns the body of a request without one.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// Returns a body that was kept.
    pub(crate) fn again(whole: Whole) -> Self {
        let flow = Flow::with(Source::Again(whole), Demands::NOTHING);
        Self(Some(Box::new(flow)))
    }

    pub(super) const fn of(flow: Box<Flow>) -> Self {
        Self(Some(flow))
    }

    /// Breaks the body off where it turns out to be larger than that; returns whether it is known to
    /// be.
    pub(crate) fn limit(&mut self, limit: u64) -> bool {
        let upload = self.0.as_ref().and_then(|flow| flow.upload.as_ref());
        if let Some(upload) = upload {
            upload.limit.fetch_min(limit, Ordering::Relaxed);
        }
        self.size_hint().lower() > limit
    }

    /// Keeps a copy of the body as it is read, unless it is known to be too large for that.
    pub(crate) fn keep(&mut self, room: &Arc<Room>) -> Option<Arc<Kept>> {
        if self.size_hint().lower() > LARGEST as u64 {
            return None;
        }
        let flow = self.0.as_mut()?;
        if flow.whole.is_some() {
            return flow.whole.clone();
        }
        // A second copy would be the same.
        if let Some(kept) = flow.copyist.as_ref().and_then(Copyist::kept) {
            return Some(kept);
        }
        let (copyist, kept) = Copyist::new(room);
        flow.copyist = Some(copyist);
        Some(kept)
    }

    /// Returns all of the body, where all of it is there.
    pub(crate) fn whole(&self) -> Option<&[u8]> {
        let Some(flow) = &self.0 else {
            return Some(&[]);
        };
        match &flow.source {
            Source::Again(whole) => Some(whole.data()),
            Source::Consumer(incoming) => incoming.is_end_stream().then_some(&[]),
        }
    }

    /// Returns how long the body is, where that is known; signatures of its parts do not count.
    pub(crate) fn length(&self) -> Option<u64> {
        let nothing = || SizeHint::with_exact(0);
        let hint = self.0.as_ref().map_or_else(nothing, |it| it.source_size());
        hint.exact()
    }

    /// Signs the parts of the body as they go by, or, with `None`, does not.
    pub(crate) fn send_in_parts(&mut self, signer: Option<ChunkSigner>) {
        let length = self.length().unwrap_or_default();
        if let Some(flow) = &mut self.0 {
            let left = encoded_length(length);
            // Boxed, since few bodies are, and the key takes up more than all else.
            flow.parts = signer.map(|signer| Box::new(PartSigner { signer, left }));
        }
    }

    /// Reads all of the body ahead, as far as copies are made.
    ///
    /// # Errors
    ///
    /// When that is not all of it.
    pub(crate) async fn read_whole(mut self, room: &Arc<Room>) -> Result<Self, Unread> {
        let kept = self.keep(room).ok_or(Unread::TooLarge)?;
        let mut length = 0;
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await {
            let frame = frame.map_err(|_told| Unread::Broken)?;
            length += frame.data_ref().map_or(0, Bytes::len);
            if !kept.is_of_use() {
                let too_large = length > LARGEST;
                return Err(if too_large {
                    Unread::TooLarge
                } else {
                    Unread::NoRoom
                });
            }
        }
        let whole = kept.whole().await.ok_or(Unread::Broken)?;
        let mut flow = Flow::with(Source::Again(whole), Demands::NOTHING);
        flow.whole = Some(kept);
        Ok(Self(Some(Box::new(flow))))
    }

    /// Lets only trailers of these names go on.
    pub(crate) fn restrict(&mut self, announced: Vec<HeaderName>) {
        if let Some(flow) = &mut self.0 {
            flow.announced = Some(announced);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Some(flow) => flow.poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|flow| flow.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let nothing = || SizeHint::with_exact(0);
        self.0
            .as_ref()
            .map_or_else(nothing, |flow| flow.size_hint())
    }
}

impl Flow {
    const fn with(source: Source, demands: Demands) -> Self {
        Self {
            source,
            upload: None,
            link: None,
            patience: Patience::new(demands.patience),
            credit: Credit::new(demands.pace),
            copyist: None,
            announced: None,
            parts: None,
            whole: None,
        }
    }

    /// Takes note of what was read; `last` where nothing follows it.
    fn note(&self, read: Option<&Result<Frame<Bytes>, hyper::Error>>, last: bool) {
        match (&self.copyist, read) {
            (Some(copyist), Some(Ok(frame))) => copyist.add(frame, last),
            (Some(copyist), None) => copyist.end(),
            _ => {}
        }
        let Some(upload) = &self.upload else {
            return;
        };
        match read {
            Some(Ok(frame)) => upload.advance(frame, last),
            Some(Err(error)) => upload.fail(error),
            None => upload.enter(Stage::Ended),
        }
    }

    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.parts.is_none() {
            return self.poll_source(cx);
        }
        loop {
            let frame = match ready!(self.poll_source(cx)) {
                Some(Ok(frame)) => Some(frame),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => None,
            };
            let is_last = frame.is_none();
            let Some(parts) = &mut self.parts else {
                return Poll::Ready(None);
            };
            match parts.next(frame) {
                Ok(None) if is_last => return Poll::Ready(None),
                Ok(None) => {}
                Ok(Some(signed)) => return Poll::Ready(Some(Ok(Frame::data(signed)))),
                Err(_told) => return Poll::Ready(Some(Err(BodyError::NotAsSigned))),
            }
        }
    }

    fn poll_source(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self;
        let incoming = match &mut this.source {
            Source::Consumer(incoming) => incoming,
            Source::Again(whole) => {
                let frame = whole
                    .next()
                    .map(|it| restricted(it, this.announced.as_deref()));
                return Poll::Ready(frame.map(Ok));
            }
        };
        let polled = Pin::new(&mut *incoming).poll_frame(cx);
        let Some(upload) = &this.upload else {
            return polled.map_err(BodyError::Broken);
        };
        if polled.is_pending() {
            let left = this.credit.wait(|| upload.clock.boot());
            upload.wait(left);
            // Also where the answer is there: nothing else would end the wait for the rest.
            ready!(this.patience.poll_over_within(cx, left));
            upload.enter(Stage::Left);
            return Poll::Ready(Some(Err(BodyError::Late(this.patience.limit()))));
        }
        let ended = incoming.is_end_stream();
        this.patience.end();
        let frame = ready!(polled);
        let length = length(frame.as_ref());
        if let Some(link) = &this.link {
            link.carry(length);
        }
        this.credit.earn(length, || upload.clock.boot());
        let limit = upload.limit.load(Ordering::Relaxed);
        if upload.bytes().saturating_add(length) > limit {
            upload.enter(Stage::TooLarge);
            return Poll::Ready(Some(Err(BodyError::TooLarge(limit))));
        }
        // Nothing follows trailers, and hyper does not ask.
        let trailers = matches!(&frame, Some(Ok(frame)) if frame.is_trailers());
        this.note(frame.as_ref(), ended || trailers);
        let frame = frame.map(|it| it.map(|it| restricted(it, this.announced.as_deref())));
        Poll::Ready(frame.map(|it| it.map_err(BodyError::Broken)))
    }

    fn is_end_stream(&self) -> bool {
        if let Some(parts) = &self.parts {
            return parts.signer.is_ended();
        }
        match &self.source {
            Source::Consumer(incoming) => incoming.is_end_stream(),
            Source::Again(whole) => whole.is_used_up(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let parts = self.parts.as_ref();
        parts.map_or_else(|| self.source_size(), |it| SizeHint::with_exact(it.left))
    }

    fn source_size(&self) -> SizeHint {
        match &self.source {
            Source::Consumer(incoming) => incoming.size_hint(),
            Source::Again(whole) => SizeHint::with_exact(whole.len() as u64),
        }
    }
}

impl Drop for Flow {
    /// Gives the body back where it may be sent again and nothing of it was read.
    fn drop(&mut self) {
        let is_fresh = self.upload.as_ref().is_some_and(|it| it.is_untouched());
        let kept = self.copyist.as_ref().and_then(Copyist::kept);
        let (true, Some(kept)) = (is_fresh, kept) else {
            return;
        };
        let body = Box::new(Self {
            source: mem::replace(&mut self.source, Source::Again(Whole::NOTHING)),
            upload: self.upload.take(),
            link: self.link.take(),
            patience: Patience::new(self.patience.limit()),
            credit: self.credit.clone(),
            copyist: self.copyist.take(),
            announced: self.announced.take(),
            // Another try is signed anew.
            parts: None,
            whole: self.whole.take(),
        });
        if let Some(mut unwanted) = kept.put_back(body) {
            // Or it would be given back once more.
            unwanted.upload = None;
        }
    }
}

/// A body that is signed part by part.
#[derive(Debug)]
struct PartSigner {
    signer: ChunkSigner,
    /// How many bytes are still to be sent, those that signing adds included.
    left: u64,
}

impl PartSigner {
    /// Takes a frame, or the end; returns what is to be sent for it. Trailers are not signed, and do not go
    /// on.
    fn next(&mut self, frame: Option<Frame<Bytes>>) -> Result<Option<Bytes>, SignError> {
        let signed = match frame.map(Frame::into_data) {
            Some(Ok(data)) => self.signer.push(&data)?,
            Some(Err(_trailers)) => None,
            None => self.signer.finish()?,
        };
        let length = signed.as_ref().map_or(0, Bytes::len) as u64;
        self.left = self.left.saturating_sub(length);
        Ok(signed)
    }
}

/// Why not all of a body was read ahead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// It is larger than what is read ahead.
    TooLarge,
    /// Too many others are read ahead.
    NoRoom,
    /// It broke off.
    Broken,
}

/// Takes from trailers what was not announced.
fn restricted(mut frame: Frame<Bytes>, announced: Option<&[HeaderName]>) -> Frame<Bytes> {
    if let (Some(announced), Some(trailers)) = (announced, frame.trailers_mut()) {
        let mut kept = HeaderMap::new();
        for name in announced {
            for value in trailers.get_all(name) {
                kept.append(name.clone(), value.clone());
            }
        }
        *trailers = kept;
    }
    frame
}

fn length(read: Option<&Result<Frame<Bytes>, hyper::Error>>) -> u64 {
    let frame = read.and_then(|read| read.as_ref().ok());
    frame
        .and_then(Frame::data_ref)
        .map_or(0, |data| data.len() as u64)
}

/// Where a body is read from.
#[derive(Debug)]
enum Source {
    Consumer(Incoming),
    /// What is sent again.
    Again(Whole),
}
