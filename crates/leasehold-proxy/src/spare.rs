use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use http::request::Parts;
use http::{Method, Request};
use http_body::Body as _;

use crate::body::{Kept, RequestBody, Room};
use crate::gateway::{Credentials, Loan};
use crate::steps::inject::place;
use crate::steps::refuse::Refusal;

/// What it takes to send a request once more.
pub(crate) struct Spare {
    head: Parts,
    /// `None` where the request has no body.
    kept: Option<Arc<Kept>>,
}

/// The head holds the credential, which in a query nothing marks.
impl fmt::Debug for Spare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spare")
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

impl Spare {
    /// Keeps what it takes to send the request again: where it may be sent twice anyhow, and, with
    /// `refusable`, also where it may be after a refusal. `None` where it will not be sent again.
    pub(crate) fn of(
        request: &mut Request<RequestBody>,
        refusable: bool,
        room: &Arc<Room>,
    ) -> Option<Self> {
        let bare = request.body().is_end_stream();
        let safe = bare && is_safe(request.method());
        if !(refusable || safe) {
            return None;
        }
        let kept = if bare {
            None
        } else {
            let kept = request.body_mut().keep(room)?;
            kept.want_back();
            Some(kept)
        };
        let mut head = Request::new(()).into_parts().0;
        head.method = request.method().clone();
        head.uri = request.uri().clone();
        head.headers = request.headers().clone();
        Some(Self { head, kept })
    }

    /// Places these generations instead of those that are there.
    ///
    /// # Errors
    ///
    /// As [`place`].
    pub(crate) fn place(&mut self, credentials: &Credentials, loan: &Loan) -> Result<(), Refusal> {
        let head = &mut self.head;
        place(credentials, loan, &mut head.headers, &mut head.uri)
    }

    /// Returns the request where it may be sent twice, as RFC 9110 §9.2.2 has it, whatever became of
    /// the first.
    pub(crate) fn safe_copy(&self) -> Option<Request<RequestBody>> {
        let safe = self.kept.is_none() && is_safe(&self.head.method);
        safe.then(|| self.request(RequestBody::none()))
    }

    /// Returns the request where all of it is there by now.
    pub(crate) fn whole_copy(&self) -> Option<Request<RequestBody>> {
        let mut body = pin!(self.body());
        match body.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Some(body)) => Some(self.request(body)),
            Poll::Ready(None) | Poll::Pending => None,
        }
    }

    /// Tells whether it may still come to a whole request.
    pub(crate) fn is_of_use(&self) -> bool {
        self.kept.as_ref().is_none_or(|it| it.is_of_use())
    }

    /// Waits for the rest of the body; `None` where that can't be sent again.
    pub(crate) async fn body(&self) -> Option<RequestBody> {
        match &self.kept {
            None => Some(RequestBody::none()),
            Some(kept) => match kept.untouched() {
                Some(body) => Some(body),
                None => kept.whole().await.map(RequestBody::again),
            },
        }
    }

    /// Returns the request with such a body.
    pub(crate) fn request(&self, body: RequestBody) -> Request<RequestBody> {
        Request::from_parts(self.head.clone(), body)
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        if let Some(kept) = &self.kept {
            kept.give_up();
        }
    }
}

fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}
