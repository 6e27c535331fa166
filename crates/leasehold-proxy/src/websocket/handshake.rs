use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONNECTION, CONTENT_LENGTH, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, response};
use hyper::ext::Protocol;
use hyper::upgrade::OnUpgrade;
use leasehold_model::ReasonCode;

use super::{SEC_ACCEPT, SEC_KEY, SEC_VERSION, VERSION, WEBSOCKET};
use crate::gateway::Route;
use crate::hop::tokens;
use crate::steps::refuse::Refusal;
use crate::via::Link;

/// A request for a WebSocket, as RFC 6455 §4.2.1 has it, or as RFC 8441 §5 does.
#[derive(Debug)]
pub(crate) struct Handshake {
    /// Where the consumer's connection or stream is to be had once the answer has gone out.
    consumer: OnUpgrade,
    /// Whether it is a stream of HTTP/2.
    of_stream: bool,
    /// What only whoever has read this request can answer.
    accept: String,
}

/// Takes a request for a WebSocket out of a head, where it is one and the route lets it be asked for.
///
/// # Errors
///
/// When it does not ask as it must, or not at this time.
pub(crate) fn asked_for(
    route: &Route,
    link: &Link,
    head: &mut Parts,
    is_bare: bool,
) -> Result<Option<Box<Handshake>>, Refusal> {
    let of_stream = head.extensions.remove::<Protocol>().is_some();
    if route.websocket.is_none() {
        // As an ordinary request it could be answered with a 200, which would open a WebSocket.
        return if of_stream { Err(NOT_HERE) } else { Ok(None) };
    }
    let mut offered = tokens(&head.headers, &UPGRADE);
    if !offered.any(|it| it.eq_ignore_ascii_case(WEBSOCKET.as_bytes())) {
        return Ok(None);
    }
    check(head, is_bare, of_stream)?;
    // What comes behind such a request is of another protocol, or of none: it must wait for the answer.
    // On a stream it can be taken for nothing else.
    if !of_stream && link.is_followed() {
        return Err(FOLLOWED);
    }
    if link.is_leaving() {
        return Err(ReasonCode::Draining.into());
    }
    let accept = accept(key(&head.headers)?);
    let consumer = head.extensions.remove().ok_or(ReasonCode::Internal)?;
    Ok(Some(Box::new(Handshake {
        consumer,
        of_stream,
        accept,
    })))
}

impl Handshake {
    /// Asks for it in a head that what is meant for one hop was removed from.
    pub(crate) fn ask(headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
    }

    /// Tells whether the head of a 101 agrees to this request and to nothing else.
    pub(crate) fn is_agreed_to(&self, answer: &HeaderMap) -> bool {
        let accepts = |it: &HeaderValue| it == self.accept.as_str();
        is_websocket(answer)
            && connection_upgrades(answer)
            && only(answer, &SEC_ACCEPT).is_some_and(accepts)
    }

    /// Tells whether an answer without a switch may go to the consumer: to who asked on a stream, any
    /// success says that there is a WebSocket.
    pub(crate) fn may_be_denied_with(&self, status: StatusCode) -> bool {
        !self.of_stream || !status.is_success()
    }

    /// Makes a head that agrees to it into the one that the consumer reads.
    pub(super) fn agree(&self, head: &mut response::Parts) {
        if self.of_stream {
            head.status = StatusCode::OK;
            head.headers.remove(SEC_ACCEPT);
            head.headers.remove(CONTENT_LENGTH);
        } else {
            head.status = StatusCode::SWITCHING_PROTOCOLS;
            Self::ask(&mut head.headers);
        }
    }

    /// Returns where the consumer's connection or stream is to be had.
    pub(super) fn into_consumer(self) -> OnUpgrade {
        self.consumer
    }
}

fn check(head: &Parts, is_bare: bool, of_stream: bool) -> Result<(), Refusal> {
    let is_upgrade = of_stream || head.version == Version::HTTP_11;
    if head.method != Method::GET || !is_upgrade {
        return Err(Refusal::bad_request(
            "a WebSocket is asked for with GET and HTTP/1.1",
        ));
    }
    if !is_bare {
        return Err(Refusal::bad_request(
            "a request for a WebSocket has no body",
        ));
    }
    if !is_websocket(&head.headers) || !connection_upgrades(&head.headers) {
        return Err(Refusal::bad_request(
            "a WebSocket is asked for alone, and by `Connection` too",
        ));
    }
    if tokens(&head.headers, &CONNECTION).any(is_of_handshake) {
        return Err(Refusal::bad_request(
            "a header of the handshake is named in `Connection`",
        ));
    }
    match only(&head.headers, &SEC_VERSION) {
        Some(version) if version == VERSION => Ok(()),
        Some(_) => Err(Refusal::another_version(
            "the gateway speaks version 13 of WebSocket",
        )),
        None => Err(Refusal::bad_request(
            "one version of WebSocket must be named",
        )),
    }
}

/// Returns the key that the request shows, which must be 16 bytes in base64.
fn key(headers: &HeaderMap) -> Result<&HeaderValue, Refusal> {
    let is_key = |key: &&HeaderValue| {
        let decoded = STANDARD.decode(key.as_bytes());
        decoded.is_ok_and(|it| it.len() == KEY_LENGTH)
    };
    only(headers, &SEC_KEY)
        .filter(is_key)
        .ok_or(Refusal::bad_request(
            "a WebSocket is asked for with one key of 16 bytes",
        ))
}

/// Returns what is answered to a key, by RFC 6455 §4.2.2.
fn accept(key: &HeaderValue) -> String {
    let text = [key.as_bytes(), GUID].concat();
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text))
}

fn is_websocket(headers: &HeaderMap) -> bool {
    let named = only(headers, &UPGRADE).map(HeaderValue::as_bytes);
    named.is_some_and(|it| it.eq_ignore_ascii_case(WEBSOCKET.as_bytes()))
}

fn connection_upgrades(headers: &HeaderMap) -> bool {
    tokens(headers, &CONNECTION).any(|it| it.eq_ignore_ascii_case(b"upgrade"))
}

fn is_of_handshake(option: &[u8]) -> bool {
    let start = option.get(..OF_HANDSHAKE.len());
    start.is_some_and(|it| it.eq_ignore_ascii_case(OF_HANDSHAKE))
}

/// Returns the value of a header that stands there once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none())
}

pub(crate) const FOLLOWED: Refusal =
    Refusal::bad_request("nothing may be sent behind a request for a WebSocket before its answer");
const NOT_HERE: Refusal = Refusal::bad_request("no WebSocket may be asked for here");
const KEY_LENGTH: usize = 16;
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const OF_HANDSHAKE: &[u8] = b"sec-websocket-";

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn the_answer_to_a_key_is_the_one_of_the_rfc() {
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        assert_eq!(accept(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn only_what_agrees_to_the_request_is_taken_for_it() {
        let agreed = [
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ];
        let handshake = Handshake {
            consumer: hyper::upgrade::on(Request::new(())),
            of_stream: false,
            accept: accept(&HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==")),
        };
        assert!(handshake.is_agreed_to(&headers(&agreed)));
        for (place, other) in [
            (0, ("upgrade", "h2c")),
            (0, ("upgrade", "websocket, h2c")),
            (1, ("connection", "close")),
            (2, ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xO0=")),
            (2, ("x-other", "1")),
        ] {
            let mut answer = agreed;
            answer[place] = other;
            assert!(!handshake.is_agreed_to(&headers(&answer)), "{other:?}");
        }
        let twice = [agreed.to_vec(), vec![agreed[0]]].concat();
        assert!(!handshake.is_agreed_to(&headers(&twice)));
    }

    fn headers(of: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in of {
            headers.append(*name, value.parse().expect("a header value"));
        }
        headers
    }
}
