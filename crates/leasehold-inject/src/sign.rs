//! Signs requests with a key that no upstream is shown.
//!
//! A signer is made once a generation and holds its key; it signs each request, and each further try of
//! one, when all that is signed of it is settled: the endpoint's host above all. What a consumer sent at
//! its places is taken out when the generation is placed, long before.

mod chunks;
mod digest;
mod error;
mod hmac;
mod key;
mod message;
mod sigv4;
mod time;

use std::fmt;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use leasehold_model::Signing;
use leasehold_provider::Material;

pub use self::time::http_date;
pub use chunks::{ChunkSigner, encoded_length};
pub use error::SignError;

use crate::{PrepareError, TargetError, strip};
use hmac::HmacSigner;
use message::MessageSigner;
use sigv4::SigV4Signer;

/// Signs requests with one generation's key.
pub struct Signer {
    kind: Kind,
    places: Vec<HeaderName>,
}

enum Kind {
    SigV4(SigV4Signer),
    Hmac(HmacSigner),
    Message(MessageSigner),
}

/// What has to be known of a request's body before the request is signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wants {
    /// Nothing.
    Nothing,
    /// All of it.
    Whole,
    /// Its length; what is signed of it is signed as it goes by.
    Length,
}

/// A request that is ready but for its signature.
pub struct Unsigned<'a> {
    /// Its method.
    pub method: &'a Method,
    /// `http` or `https`.
    pub scheme: &'a str,
    /// Its path and query, as they are sent.
    pub target: &'a Uri,
    /// Its headers, `Host` among them.
    pub headers: &'a mut HeaderMap,
    /// Its body, as far as that is known.
    pub body: Known<'a>,
}

impl fmt::Debug for Unsigned<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Target and headers may have a credential beside it.
        f.debug_struct("Unsigned")
            .field("method", self.method)
            .finish_non_exhaustive()
    }
}

/// What is known of a request's body.
#[derive(Clone, Copy)]
pub enum Known<'a> {
    /// All of it; nothing where there is none.
    Whole(&'a [u8]),
    /// Its length, where that is known.
    Length(Option<u64>),
}

// A body may be anything, and is shown to nobody.
impl fmt::Debug for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(body) => write!(f, "Whole({} bytes)", body.len()),
            Self::Length(length) => f.debug_tuple("Length").field(length).finish(),
        }
    }
}

/// When a request is signed, and what tells it from all others.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time, as the upstream has it.
    pub now: SystemTime,
    /// Random bytes.
    pub nonce: [u8; 16],
}

impl Signer {
    pub(crate) fn prepare(signing: &Signing, material: &Material) -> Result<Self, PrepareError> {
        let kind = match signing {
            Signing::SigV4(rule) => Kind::SigV4(SigV4Signer::prepare(rule, material)?),
            Signing::Hmac(rule) => Kind::Hmac(HmacSigner::prepare(rule, material)?),
            Signing::Message(rule) => Kind::Message(MessageSigner::prepare(rule, material)?),
        };
        let places = match &kind {
            Kind::SigV4(_) => sigv4::PLACES.to_vec(),
            Kind::Hmac(signer) => signer.places(),
            Kind::Message(signer) => signer.places(),
        };
        Ok(Self { kind, places })
    }

    /// Returns the headers that it writes.
    #[must_use]
    pub fn places(&self) -> &[HeaderName] {
        &self.places
    }

    /// Returns what it has to know of a body.
    #[must_use]
    pub fn wants(&self) -> Wants {
        match &self.kind {
            Kind::SigV4(signer) => signer.wants(),
            Kind::Hmac(signer) => signer.wants(),
            Kind::Message(signer) => signer.wants(),
        }
    }

    /// Removes what a consumer, or an earlier signature, left at its places among the headers.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        for place in &self.places {
            strip(place, headers);
        }
    }

    /// Returns the target without what an upstream would take for a signature in the query.
    pub(crate) fn target(&self, sent: &Uri) -> Result<Option<Uri>, TargetError> {
        match &self.kind {
            Kind::SigV4(_) => sigv4::without_presigned(sent),
            Kind::Hmac(_) | Kind::Message(_) => Ok(None),
        }
    }

    /// Signs a request anew, whatever signature it had; returns what signs the parts of its body, where
    /// that is signed as it goes by.
    ///
    /// # Errors
    ///
    /// When it can't be signed as it is. It must not be sent then.
    pub fn sign(
        &self,
        request: &mut Unsigned<'_>,
        moment: &Moment,
    ) -> Result<Option<ChunkSigner>, SignError> {
        if matches!(self.kind, Kind::SigV4(_)) {
            sigv4::unframe(request.headers);
        }
        self.strip(request.headers);
        match &self.kind {
            Kind::SigV4(signer) => signer.sign(request, moment.now),
            Kind::Hmac(signer) => signer.sign(request, moment).map(|()| None),
            Kind::Message(signer) => signer.sign(request, moment).map(|()| None),
        }
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("places", &self.places)
            .finish_non_exhaustive()
    }
}

impl Unsigned<'_> {
    /// Returns all of the body.
    fn whole(&self) -> Result<&[u8], SignError> {
        match self.body {
            Known::Whole(body) => Ok(body),
            Known::Length(_) => Err(SignError::NotWhole),
        }
    }

    fn path(&self) -> &str {
        self.target.path()
    }

    /// Returns path and query, as they are sent.
    fn path_and_query(&self) -> &str {
        self.target.path_and_query().map_or("/", |it| it.as_str())
    }

    fn host(&self) -> Result<&HeaderValue, SignError> {
        let host = self.headers.get(http::header::HOST);
        host.ok_or(SignError::NoHost)
    }

    fn set(&mut self, name: HeaderName, value: &[u8]) -> Result<(), SignError> {
        let value = HeaderValue::from_bytes(value).map_err(|_hidden| SignError::Unfit)?;
        self.headers.insert(name, value);
        Ok(())
    }

    /// As [`Self::set`], for what nobody may print.
    fn set_hidden(&mut self, name: HeaderName, value: &[u8]) -> Result<(), SignError> {
        let mut value = HeaderValue::from_bytes(value).map_err(|_hidden| SignError::Unfit)?;
        value.set_sensitive(true);
        self.headers.insert(name, value);
        Ok(())
    }
}

#[cfg(test)]
mod testing {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// Signs a POST with these headers at one time, and returns the head.
    pub(super) fn signed(
        signer: &Signer,
        sent: &[(&'static str, &'static str)],
        (scheme, target): (&str, &'static str),
        body: &[u8],
    ) -> Result<HeaderMap, SignError> {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_static(value));
        }
        let mut request = Unsigned {
            method: &Method::POST,
            scheme,
            target: &Uri::from_static(target),
            headers: &mut headers,
            body: Known::Whole(body),
        };
        let moment = Moment {
            now: UNIX_EPOCH + Duration::from_secs(1_618_884_473),
            nonce: [7; 16],
        };
        signer.sign(&mut request, &moment)?;
        Ok(headers)
    }
}
