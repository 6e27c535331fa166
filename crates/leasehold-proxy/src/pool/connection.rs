use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use super::idle::Exclusive;
use super::shared::Stream;
use crate::body::RequestBody;
use crate::gateway::Loan;

/// A connection to an endpoint, in the hands of one request.
#[derive(Debug)]
pub(crate) enum Connection {
    /// HTTP/1.1: there is no other request on it. Dropping it closes it.
    Exclusive(Exclusive),
    /// HTTP/2: one stream of several. Dropping it resets the stream, where that has not ended.
    Shared(Stream),
}

impl Connection {
    /// Notes that a request shows these generations, none of which the connection is to outlive.
    pub(crate) fn show(&self, loan: &Loan) {
        for lent in loan.iter() {
            match self {
                Self::Exclusive(connection) => connection.show(&lent.generation),
                Self::Shared(stream) => stream.show(&lent.generation),
            }
        }
    }

    /// Sends a request. Where nothing of it was sent, the error holds it.
    pub(crate) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match self {
            Self::Exclusive(connection) => connection.send(request).await,
            Self::Shared(stream) => stream.send(request).await,
        }
    }

    pub(crate) const fn is_shared(&self) -> bool {
        matches!(self, Self::Shared(_))
    }

    /// Tells whether a byte of an answer has come.
    ///
    /// What has come over a shared connection says nothing: it may have been for another request.
    pub(crate) fn has_heard(&self) -> bool {
        match self {
            Self::Exclusive(connection) => connection.has_heard(),
            Self::Shared(_) => false,
        }
    }

    /// Lets no other request have the connection for now, since it took not even this one.
    pub(crate) fn retire(&self) {
        if let Self::Shared(stream) = self {
            stream.retire();
        }
    }

    /// Gives the connection back for the next request, unless it is closed or has yet to finish this
    /// one.
    pub(crate) fn give_back(self) {
        if let Self::Exclusive(connection) = self {
            connection.give_back();
        }
    }
}
