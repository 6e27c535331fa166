use std::fmt;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::request::{Flow, RequestBody};

/// A copy of a small body, made while that goes to the upstream, so that it can be sent again.
///
/// Bytes are copied out of the frames: a frame of one byte may hold on to all of the buffer that it
/// was read into. The lock is never contended, since a request stays on its thread.
pub(crate) struct Kept {
    state: Mutex<State>,
    changed: Notify,
    room: Arc<Room>,
    /// Whether the body itself is wanted back where nothing of it was read.
    is_wanted_back: AtomicBool,
}

/// What all copies of one worker may take up together, so that bodies that never end can't take up
/// 64 KiB for each connection.
#[derive(Debug)]
pub(crate) struct Room(AtomicUsize);

impl Room {
    /// Returns room for so many bytes.
    pub(crate) const fn of(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    fn take(&self, bytes: usize) -> bool {
        let taken = |left: usize| left.checked_sub(bytes);
        let outcome = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken);
        outcome.is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// All of a body, to be read frame by frame.
#[derive(Clone)]
pub(crate) struct Whole {
    /// There is none where the request has no body; a body may be empty.
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Kept {
    /// Waits for the rest of the body, and returns all of it; `None` where it broke off, or is larger
    /// than what is kept.
    pub(crate) async fn whole(&self) -> Option<Whole> {
        loop {
            // Made before the state is looked at, so that no change in between is missed.
            let changed = self.changed.notified();
            match &*self.state.lock() {
                State::Partly(_) | State::Untouched(_) => {}
                State::Whole(whole) => return Some(whole.clone()),
                State::Lost => return None,
            }
            changed.await;
        }
    }

    /// Says that the body itself is wanted back where nothing of it was read.
    pub(crate) fn want_back(&self) {
        self.is_wanted_back.store(true, Ordering::Relaxed);
    }

    /// Says that the body is not wanted back any more.
    pub(crate) fn give_up(&self) {
        self.is_wanted_back.store(false, Ordering::Relaxed);
        if let Some(body) = self.untouched() {
            self.lose();
            drop(body);
        }
    }

    /// Keeps a body that nothing was read of; returns it where nobody wants it back.
    pub(super) fn put_back(&self, body: Box<Flow>) -> Option<Box<Flow>> {
        if !self.is_wanted_back.load(Ordering::Relaxed) {
            return Some(body);
        }
        *self.state.lock() = State::Untouched(body);
        None
    }

    /// Returns the body itself, where its request was given up before anything of it was read.
    pub(crate) fn untouched(&self) -> Option<RequestBody> {
        let mut state = self.state.lock();
        match mem::replace(&mut *state, State::Partly(BytesMut::new())) {
            State::Untouched(body) => Some(RequestBody::of(body)),
            other => {
                *state = other;
                None
            }
        }
    }

    /// Tells whether the body may still be sent again.
    pub(crate) fn is_of_use(&self) -> bool {
        !matches!(&*self.state.lock(), State::Lost)
    }

    fn add(&self, frame: &Frame<Bytes>) {
        let mut state = self.state.lock();
        let (State::Partly(data), Some(part)) = (&mut *state, frame.data_ref()) else {
            return;
        };
        if data.len() + part.len() <= LARGEST && self.room.take(part.len()) {
            data.extend_from_slice(part);
        } else {
            self.room.give_back(data.len());
            *state = State::Lost;
            self.changed.notify_waiters();
        }
    }

    fn end(&self, trailers: Option<HeaderMap>) {
        let mut state = self.state.lock();
        if let State::Partly(data) = &mut *state {
            let data = Some(mem::take(data).freeze());
            *state = State::Whole(Whole { data, trailers });
            self.changed.notify_waiters();
        }
    }

    fn lose(&self) {
        let mut state = self.state.lock();
        if let State::Partly(data) = &*state {
            self.room.give_back(data.len());
            *state = State::Lost;
            self.changed.notify_waiters();
        }
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let bytes = match self.state.get_mut() {
            State::Partly(data) => data.len(),
            State::Whole(whole) => whole.len(),
            State::Untouched(_) | State::Lost => 0,
        };
        self.room.give_back(bytes);
    }
}

impl Whole {
    /// What a request without a body has.
    pub(super) const NOTHING: Self = Self {
        data: None,
        trailers: None,
    };

    pub(super) fn next(&mut self) -> Option<Frame<Bytes>> {
        let data = self.data.take().map(Frame::data);
        data.or_else(|| self.trailers.take().map(Frame::trailers))
    }

    pub(super) fn data(&self) -> &[u8] {
        self.data.as_deref().unwrap_or_default()
    }

    pub(super) const fn is_used_up(&self) -> bool {
        self.data.is_none() && self.trailers.is_none()
    }

    pub(super) fn len(&self) -> usize {
        self.data.as_ref().map_or(0, Bytes::len)
    }
}

// A body may be anything, and is shown to nobody.
impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Whole").finish_non_exhaustive()
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

/// Writes the copy, for as long as anybody wants it.
#[derive(Debug)]
pub(super) struct Copyist(Weak<Kept>);

impl Copyist {
    pub(super) fn new(room: &Arc<Room>) -> (Self, Arc<Kept>) {
        let kept = Arc::new(Kept {
            state: Mutex::new(State::Partly(BytesMut::new())),
            changed: Notify::new(),
            is_wanted_back: AtomicBool::new(false),
            room: Arc::clone(room),
        });
        (Self(Arc::downgrade(&kept)), kept)
    }

    /// Returns the copy, where anybody wants it still.
    pub(super) fn kept(&self) -> Option<Arc<Kept>> {
        self.0.upgrade()
    }

    /// Copies a frame; `last` where no other follows.
    pub(super) fn add(&self, frame: &Frame<Bytes>, last: bool) {
        if let Some(kept) = self.0.upgrade() {
            kept.add(frame);
            if last {
                kept.end(frame.trailers_ref().cloned());
            }
        }
    }

    pub(super) fn end(&self) {
        if let Some(kept) = self.0.upgrade() {
            kept.end(None);
        }
    }
}

impl Drop for Copyist {
    fn drop(&mut self) {
        if let Some(kept) = self.0.upgrade() {
            kept.lose();
        }
    }
}

enum State {
    /// So much of it has gone to the upstream.
    Partly(BytesMut),
    Whole(Whole),
    /// Its request was given up before anything of it was read.
    Untouched(Box<Flow>),
    /// It is too large, or broke off, or there was no room for it.
    Lost,
}

/// The largest body that is kept.
pub(super) const LARGEST: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_of_64_kib_is_kept_and_not_a_byte_more() {
        for (more, is_kept) in [(0, true), (1, false)] {
            let (copyist, kept) = Copyist::new(&room());
            copyist.add(&data(LARGEST - 1), false);
            copyist.add(&data(1 + more), false);
            copyist.end();
            assert_eq!(kept.is_of_use(), is_kept);
            let length = kept.whole().await.map(|it| it.len());
            assert_eq!(length, is_kept.then_some(LARGEST));
        }
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_not_sent_again() {
        let (copyist, kept) = Copyist::new(&room());
        copyist.add(&data(3), false);
        assert!(kept.is_of_use());
        drop(copyist);
        assert!(kept.whole().await.is_none());
    }

    #[tokio::test]
    async fn trailers_are_kept_with_the_body_that_they_end() {
        let (copyist, kept) = Copyist::new(&room());
        copyist.add(&data(3), false);
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", http::HeaderValue::from_static("1"));
        copyist.add(&Frame::trailers(trailers.clone()), true);
        drop(copyist);
        let whole = kept.whole().await.expect("all of it");
        assert_eq!((whole.len(), whole.trailers), (3, Some(trailers)));
    }

    #[test]
    fn nothing_is_copied_once_nobody_wants_it() {
        let (copyist, kept) = Copyist::new(&room());
        drop(kept);
        copyist.add(&data(3), true);
        assert!(copyist.0.upgrade().is_none());
    }

    #[test]
    fn copies_share_one_room_and_each_gives_back_what_it_took() {
        let room = Arc::new(Room::of(10));
        let (first, held) = Copyist::new(&room);
        first.add(&data(6), false);
        let (second, lost) = Copyist::new(&room);
        second.add(&data(3), false);
        second.add(&data(2), false);
        assert!(held.is_of_use() && !lost.is_of_use());
        let (third, broken_off) = Copyist::new(&room);
        third.add(&data(4), false);
        assert!(
            broken_off.is_of_use(),
            "the second gave back what it had taken"
        );
        drop(third);
        first.add(&data(4), true);
        assert!(held.is_of_use(), "the third gave back what it had taken");
        drop((held, lost, broken_off));
        assert_eq!(room.0.load(Ordering::Relaxed), 10);
    }

    fn room() -> Arc<Room> {
        Arc::new(Room::of(LARGEST))
    }

    fn data(length: usize) -> Frame<Bytes> {
        Frame::data(Bytes::from(vec![b'x'; length]))
    }
}
