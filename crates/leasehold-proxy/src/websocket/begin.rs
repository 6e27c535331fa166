use http::{Response, Version};

use super::WebSocket;
use super::handshake::Handshake;
use super::tunnel::{Begun, Tunnel};
use crate::body::ResponseBody;
use crate::hop;
use crate::steps::close::Exchange;
use crate::steps::forward::Forwarded;

/// Makes the consumer's answer of an upstream's 101, which `forward` has found to agree to the request.
/// What follows it is with the answer, as a [`Begun`].
pub(crate) fn begin(
    mut forwarded: Forwarded,
    (handshake, WebSocket { idle }): (Handshake, WebSocket),
    mut exchange: Exchange,
) -> Response<ResponseBody> {
    let upstream = hyper::upgrade::on(&mut forwarded.response);
    let (mut head, _empty) = forwarded.response.into_parts();
    hop::strip_response(&mut head.headers);
    if let Some(route) = exchange.route() {
        route.response_headers.apply(&mut head.headers);
    }
    handshake.agree(&mut head);
    head.version = Version::HTTP_11;
    exchange.note(|record| record.status = Some(head.status.as_u16()));
    let both = (handshake.into_consumer(), upstream);
    let tunnel = Tunnel::new(exchange, both, forwarded.flight, idle);
    head.extensions.clear();
    head.extensions.insert(Begun::new(tunnel));
    Response::from_parts(head, ResponseBody::none())
}
