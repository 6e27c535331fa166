pub(crate) mod cors;
pub(crate) mod edit;
pub(crate) mod matching;
pub(crate) mod retry;
pub(crate) mod target;

use std::time::Duration;

use leasehold_model::{ConsumerName, RouteName, UpstreamName};

use cors::Cors;
use edit::{HeaderEdits, Rewrite};
use matching::Match;
use retry::{Retry, RouteLimits, RouteTimeouts};
use target::{Mirror, Target};

/// Which requests go where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its name; no two routes have the same.
    pub name: RouteName,
    /// Which requests it takes; no two routes take exactly the same.
    pub matches: Match,
    /// What is done with them.
    pub target: Target,
    /// Whom it is open to.
    pub consumers: Admission,
    /// What those consumers must be allowed to do; nothing where it is open to everybody.
    pub scopes: Vec<String>,
    /// What of the target the upstream sees in another form.
    pub rewrite: Rewrite,
    /// What is changed in the request's head.
    pub request_headers: HeaderEdits,
    /// What is changed in the answer's head.
    pub response_headers: HeaderEdits,
    /// Who gets copies, where anybody does.
    pub mirror: Option<Mirror>,
    /// How WebSockets are treated, where they may be asked for.
    pub websocket: Option<WebSocket>,
    /// How long the exchange may take.
    pub timeouts: RouteTimeouts,
    /// When a request is sent again, beyond what is safe for every request.
    pub retry: Option<Retry>,
    /// Which pages of other origins may read the answers, where any may.
    pub cors: Option<Cors>,
    /// How large a request may be.
    pub limits: RouteLimits,
    /// What is done where an answer holds the upstream's credential.
    pub reflection: Reflection,
}

impl Route {
    /// Tells whether the upstream may get requests of it, or copies of them.
    pub(crate) fn leads_to(&self, upstream: &UpstreamName) -> bool {
        let mirrored = self.mirror.iter().map(|mirror| &mirror.upstream);
        let mut names = self.target.upstreams().chain(mirrored);
        names.any(|name| name == upstream)
    }
}

/// How the WebSockets of a route are treated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WebSocket {
    /// How long nothing may be said on either side.
    pub idle: Duration,
}

/// What is done where an answer holds the credential that its upstream is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reflection {
    /// Answers are not looked through.
    #[default]
    Off,
    /// It is told of.
    Report,
    /// It is told of and overwritten.
    Mask,
    /// It is told of and does not go on.
    Block,
}

/// Whom a route is open to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Everybody who reaches the listener.
    Anyone,
    /// These consumers; at least one.
    These(Vec<ConsumerName>),
}
