//! WebSocket: which request asks for it, which answer agrees to it, and what goes back and forth then.
//!
//! A route must let it be asked for: anywhere else `Upgrade` is removed, like whatever is meant for one
//! hop. Frames are passed on and not looked at.

mod begin;
mod handshake;
mod meter;
mod tunnel;

use std::time::Duration;

use http::HeaderName;

pub(crate) use begin::begin;
pub(crate) use handshake::{FOLLOWED, Handshake, asked_for};
pub(crate) use tunnel::{Begun, Tunnel};

/// How WebSockets of a route are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocket {
    /// How long nothing may be said on either side.
    pub idle: Duration,
}

/// The one value of `Upgrade` that is forwarded.
pub(crate) const WEBSOCKET: &str = "websocket";
/// The one version that there is, RFC 6455.
pub(crate) const VERSION: &str = "13";
pub(crate) const SEC_VERSION: HeaderName = HeaderName::from_static("sec-websocket-version");
pub(crate) const SEC_KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const SEC_ACCEPT: HeaderName = HeaderName::from_static("sec-websocket-accept");
