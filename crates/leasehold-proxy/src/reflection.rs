//! What is done where an upstream sends back the credential that it was shown.

use std::sync::Arc;

use http::header::{ACCEPT_ENCODING, IF_RANGE, RANGE};
use http::{HeaderMap, HeaderName, HeaderValue};
use leasehold_inject::{Form, InjectionIndex, Scanner, Watchlist};

/// What is done where an answer holds the credential that its upstream is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reflection {
    /// Answers are not looked through.
    #[default]
    Off,
    /// It is told of, and the answer goes on as it is.
    Report,
    /// It is told of, and made unreadable.
    Mask,
    /// It is told of, and the answer is refused, or broken off where it has begun.
    Block,
}

impl Reflection {
    /// Returns the word that logs and metrics use.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Report => "report",
            Self::Mask => "mask",
            Self::Block => "block",
        }
    }
}

/// What finds a credential in answers.
#[derive(Clone, Debug)]
pub struct Watch {
    /// Where each generation has its scanner.
    pub injection: InjectionIndex,
    /// Those of all generations, where all consumers share them.
    pub list: Option<Watchlist>,
}

/// A part of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Head,
    Body,
    Trailers,
}

impl Part {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Body => "body",
            Self::Trailers => "trailers",
        }
    }
}

/// A credential that was found in an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Finding {
    pub(crate) part: Part,
    pub(crate) form: Form,
}

/// Asks the upstream for an answer that can be looked through: not compressed, and in one piece, since two
/// ranges may hold a half each.
pub(crate) fn ask_for_plain(headers: &mut HeaderMap) {
    headers.insert(ACCEPT_ENCODING, IDENTITY);
    headers.remove(RANGE);
    headers.remove(IF_RANGE);
    if headers.contains_key(GRPC_ACCEPT_ENCODING) {
        headers.insert(GRPC_ACCEPT_ENCODING, IDENTITY);
    }
}

/// Looks through the values of headers; masks what is found, where that is asked for. Returns the form of
/// the first.
pub(crate) fn seal_headers(
    scanners: &[Arc<Scanner>],
    reflection: Reflection,
    headers: &mut HeaderMap,
) -> Option<Form> {
    let mut first = None;
    for value in headers.values_mut() {
        for scanner in scanners {
            let Some(form) = scanner.find(value.as_bytes()) else {
                continue;
            };
            first = first.or(Some(form));
            if reflection == Reflection::Mask {
                let masked = scanner.mask(value.as_bytes());
                // Stars can stand in every header.
                *value = HeaderValue::from_bytes(&masked).unwrap_or(MASKED);
            }
        }
    }
    first
}

const IDENTITY: HeaderValue = HeaderValue::from_static("identity");
const MASKED: HeaderValue = HeaderValue::from_static("***");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
