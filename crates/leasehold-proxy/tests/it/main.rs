//! The data plane over real sockets: a consumer and an origin of our own on either side of it, which
//! see and say exactly the bytes of the wire.

#[cfg(test)]
mod bodies;
#[cfg(test)]
mod consumer;
#[cfg(test)]
mod cors;
#[cfg(test)]
mod credentials;
#[cfg(test)]
mod destination;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod fail_open;
#[cfg(test)]
mod failures;
#[cfg(test)]
mod floods;
#[cfg(test)]
mod forms;
#[cfg(test)]
mod frames;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod heads;
#[cfg(test)]
mod http1;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod http2_client;
#[cfg(test)]
mod http2_upstream;
#[cfg(test)]
mod http2_wire;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod issuer;
#[cfg(test)]
mod lease;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod listener_changes;
#[cfg(test)]
mod listener_tls;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod observe;
#[cfg(test)]
mod origin;
#[cfg(test)]
mod pairs;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod patience;
#[cfg(test)]
mod per_consumer;
#[cfg(test)]
mod pki;
#[cfg(test)]
mod proxy_header;
#[cfg(test)]
mod rates;
#[cfg(test)]
mod readings;
#[cfg(test)]
mod reflection;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod resting;
#[cfg(test)]
mod rig;
#[cfg(test)]
mod routing;
#[cfg(test)]
mod serving;
#[cfg(test)]
mod several;
#[cfg(test)]
mod signing;
#[cfg(test)]
mod spread;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod tokens;
#[cfg(test)]
mod tries;
#[cfg(test)]
mod websocket;
