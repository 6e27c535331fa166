use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use leasehold_inject::{Form, Scanner, Sieve};

use super::BodyError;
use crate::reflection::{Finding, Part, Reflection, seal_headers};

/// What an answer's body passes through on its way, so that no credential is in it.
pub(crate) struct Seal {
    scanners: Vec<Arc<Scanner>>,
    /// One after the other, one for each generation.
    sieves: Vec<Sieve>,
    reflection: Reflection,
    /// What has to wait until the end of the body has gone on.
    trailers: Option<HeaderMap>,
    findings: Vec<Finding>,
}

/// Trailers may show the credential.
impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal")
            .field("reflection", &self.reflection)
            .finish_non_exhaustive()
    }
}

type Polled = Option<Result<Frame<Bytes>, BodyError>>;

impl Seal {
    pub(crate) fn new(scanners: Vec<Arc<Scanner>>, reflection: Reflection) -> Self {
        let sieve = |scanner: &Arc<Scanner>| match reflection {
            Reflection::Off | Reflection::Report => Sieve::telling(Arc::clone(scanner)),
            Reflection::Mask | Reflection::Block => Sieve::masking(Arc::clone(scanner)),
        };
        Self {
            sieves: scanners.iter().map(sieve).collect(),
            scanners,
            reflection,
            trailers: None,
            findings: Vec::new(),
        }
    }

    /// Returns trailers that had to wait.
    pub(super) fn waiting(&mut self) -> Option<Frame<Bytes>> {
        self.trailers.take().map(Frame::trailers)
    }

    /// Returns what goes on of what came; `None` where that is nothing yet.
    pub(super) fn pass(&mut self, came: Polled, incoming: &Incoming) -> Option<Polled> {
        let frame = match came {
            Some(Ok(frame)) => frame,
            Some(Err(error)) => return Some(Some(Err(error))),
            None => {
                let rest = self.rest().map(Frame::data);
                return Some(self.unless_blocked(rest));
            }
        };
        let passed = match frame.into_data() {
            Ok(data) => self.data(data, incoming.is_end_stream()),
            Err(frame) => match frame.into_trailers() {
                Ok(trailers) => Some(self.trailers(trailers)),
                Err(other) => Some(other),
            },
        };
        let passed = self.unless_blocked(passed);
        passed.is_some().then_some(passed)
    }

    fn unless_blocked(&self, passed: Option<Frame<Bytes>>) -> Polled {
        if self.reflection == Reflection::Block && !self.findings.is_empty() {
            return Some(Err(BodyError::Reflected));
        }
        passed.map(Ok)
    }

    /// Tells whether all that came has gone on.
    pub(super) fn is_idle(&self) -> bool {
        self.trailers.is_none() && self.sieves.iter().all(Sieve::is_idle)
    }

    /// Returns what was found since this was asked last.
    pub(super) fn findings(&mut self) -> Vec<Finding> {
        std::mem::take(&mut self.findings)
    }

    fn data(&mut self, data: Bytes, last: bool) -> Option<Frame<Bytes>> {
        let data = self.sift(data, last);
        // At its end, a reader that was told a length waits for nothing more.
        (last || !data.is_empty()).then(|| Frame::data(data))
    }

    fn trailers(&mut self, mut trailers: HeaderMap) -> Frame<Bytes> {
        let found = seal_headers(&self.scanners, self.reflection, &mut trailers);
        self.found(found, Part::Trailers);
        match self.rest() {
            Some(rest) => {
                self.trailers = Some(trailers);
                Frame::data(rest)
            }
            None => Frame::trailers(trailers),
        }
    }

    /// Returns what was kept back for what might follow.
    fn rest(&mut self) -> Option<Bytes> {
        let rest = self.sift(Bytes::new(), true);
        (!rest.is_empty()).then_some(rest)
    }

    /// Lets each sieve have what the one before it lets go.
    fn sift(&mut self, mut data: Bytes, last: bool) -> Bytes {
        let mut found: Option<Form> = None;
        for sieve in &mut self.sieves {
            let sifted = sieve.push(data, last);
            found = found.or(sifted.found);
            data = sifted.goes_on;
        }
        self.found(found, Part::Body);
        data
    }

    fn found(&mut self, form: Option<Form>, part: Part) {
        if let Some(form) = form {
            self.findings.push(Finding { part, form });
        }
    }
}
