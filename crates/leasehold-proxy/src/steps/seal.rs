//! Looks for the upstream's credential in what the upstream answers.

use std::sync::Arc;

use http::header::CONTENT_ENCODING;
use http::{HeaderMap, HeaderName, HeaderValue};
use hyper::ext::ReasonPhrase;
use leasehold_inject::Scanner;
use leasehold_model::ReasonCode;

use super::close::Exchange;
use super::forward::Forwarded;
use super::refuse::Refusal;
use crate::body::Seal;
use crate::reflection::{Finding, Part, Reflection, seal_headers};

/// Looks through the head of an answer; returns what its body has to pass, where it has to pass anything.
///
/// # Errors
///
/// Where the head shows the credential, or the body could not be looked through, and the route says that
/// such an answer is not to go on.
pub(crate) fn seal(
    forwarded: &mut Forwarded,
    exchange: &mut Exchange,
) -> Result<Option<Box<Seal>>, Refusal> {
    let reflection = exchange.route().map_or(Reflection::Off, |it| it.reflection);
    if reflection == Reflection::Off {
        return Ok(None);
    }
    let scanners = exchange.scanners();
    if scanners.is_empty() {
        return Ok(None);
    }
    let response = &mut forwarded.response;
    // Words of the upstream's own, which nobody needs.
    response.extensions_mut().remove::<ReasonPhrase>();
    look_through(&scanners, reflection, response.headers_mut(), exchange)?;
    if is_encoded(response.headers()) {
        // It was asked for a plain one.
        exchange.unreadable();
        if reflection != Reflection::Report {
            return Err(ReasonCode::AnswerUnreadable.into());
        }
    }
    Ok(Some(Box::new(Seal::new(scanners, reflection))))
}

fn look_through(
    scanners: &[Arc<Scanner>],
    reflection: Reflection,
    headers: &mut HeaderMap,
    exchange: &mut Exchange,
) -> Result<(), Refusal> {
    let Some(form) = seal_headers(scanners, reflection, headers) else {
        return Ok(());
    };
    let part = Part::Head;
    exchange.reflected(Finding { part, form });
    match reflection {
        Reflection::Block => Err(ReasonCode::CredentialReflected.into()),
        Reflection::Off | Reflection::Report | Reflection::Mask => Ok(()),
    }
}

/// Tells whether a body is in a form that shows nothing of what is in it.
fn is_encoded(headers: &HeaderMap) -> bool {
    let is_plain = |value: &HeaderValue| {
        let value = value.as_bytes().trim_ascii();
        value.is_empty() || value.eq_ignore_ascii_case(b"identity")
    };
    let of = |name: &HeaderName| headers.get_all(name).iter().any(|it| !is_plain(it));
    of(&CONTENT_ENCODING) || of(&GRPC_ENCODING)
}

static GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_shows_its_bytes_is_plain() {
        for (name, value, encoded) in [
            ("content-encoding", "gzip", true),
            ("content-encoding", "identity", false),
            ("content-encoding", "Identity", false),
            ("content-encoding", "identity, br", true),
            ("content-encoding", "unheard-of", true),
            ("grpc-encoding", "gzip", true),
            ("grpc-encoding", "identity", false),
            ("content-type", "gzip", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(name, HeaderValue::from_static(value));
            assert_eq!(is_encoded(&headers), encoded, "{name}: {value}");
        }
    }
}
