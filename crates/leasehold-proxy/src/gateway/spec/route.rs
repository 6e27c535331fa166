use std::collections::BTreeSet;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use leasehold_model::{ConsumerName, LimitName, RouteName, UpstreamName};

use crate::cors::Cors;
use crate::edit::HeaderEdits;
use crate::redirect::Redirect;
use crate::reflection::Reflection;
use crate::steps::retry::Retry;
use crate::websocket::WebSocket;

/// A rule that says what becomes of requests.
#[derive(Clone, Debug)]
pub struct RouteSpec {
    /// Its name.
    pub name: RouteName,
    /// Which requests it takes.
    pub matches: MatchSpec,
    /// What is done with them.
    pub target: TargetSpec,
    /// Who may send them.
    pub admission: Admission,
    /// What those who send them must be allowed to do, all of it.
    pub scopes: Vec<String>,
    /// What stands in the path instead of what was matched, where anything does.
    pub rewrite_prefix: Option<String>,
    /// What the upstream reads as `Host`.
    pub host: HostRewrite,
    /// What is changed in the request's head before the credential is placed.
    pub request_headers: HeaderEdits,
    /// What is changed in the head of the upstream's answer.
    pub response_headers: HeaderEdits,
    /// Who gets copies, where anybody does.
    pub mirror: Option<MirrorSpec>,
    /// How long an exchange may take, where there is a limit.
    pub timeout: Option<Duration>,
    /// How WebSockets are treated, where they may be asked for.
    pub websocket: Option<WebSocket>,
    /// When a request is sent again, beyond what is safe for every request.
    pub retry: Option<Retry>,
    /// Which pages of other origins may read the answers, where any may.
    pub cors: Option<Cors>,
    /// How large a body may be, in bytes, where there is a limit.
    pub body_limit: Option<u64>,
    /// How large a head may be, in bytes, where there is a limit.
    pub head_limit: Option<u64>,
    /// The rate limits that requests count at.
    pub rate: Vec<LimitName>,
    /// The limits of how many are under way that requests count at.
    pub concurrency: Vec<LimitName>,
    /// What is done where an answer shows the upstream's credential.
    pub reflection: Reflection,
}

impl RouteSpec {
    /// Describes a route that takes every request whose path begins with `prefix`, and changes
    /// nothing in it.
    #[must_use]
    pub fn to(name: &str, prefix: &str, upstream: &str, admission: Admission) -> Self {
        Self {
            name: name.into(),
            matches: MatchSpec::prefix(prefix),
            target: TargetSpec::Upstreams(vec![(upstream.into(), 1)]),
            admission,
            scopes: Vec::new(),
            rewrite_prefix: None,
            host: HostRewrite::Upstream,
            request_headers: HeaderEdits::default(),
            response_headers: HeaderEdits::default(),
            mirror: None,
            timeout: None,
            websocket: None,
            retry: None,
            cors: None,
            body_limit: None,
            head_limit: None,
            rate: Vec::new(),
            concurrency: Vec::new(),
            reflection: Reflection::Off,
        }
    }
}

/// Which requests a route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MatchSpec {
    /// The host.
    pub host: HostMatch,
    /// The path.
    pub path: PathMatch,
    /// The methods; every method where there is none.
    pub methods: Vec<Method>,
    /// What headers must be.
    pub headers: Vec<(HeaderName, HeaderTest)>,
    /// Parameters of the query with their values, as they are sent.
    pub query: Vec<(String, String)>,
}

impl MatchSpec {
    /// Describes every request whose path begins with `prefix`.
    #[must_use]
    pub fn prefix(prefix: &str) -> Self {
        Self {
            host: HostMatch::Any,
            path: PathMatch::Prefix(prefix.to_owned()),
            methods: Vec::new(),
            headers: Vec::new(),
            query: Vec::new(),
        }
    }
}

/// Which hosts a route is for. None of them has a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostMatch {
    /// All.
    Any,
    /// This one.
    Exact(String),
    /// Those that have this one behind one or more labels of their own.
    Below(String),
}

/// Which paths a route is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// This one.
    Exact(String),
    /// Those with the same segments, where `{name}` stands for any one that is not empty and
    /// `{*name}`, at the end, for the rest of the path, which is not empty.
    Template(String),
    /// Those that begin with it. A prefix that does not end in a slash matches up to one: `/pay` is
    /// for `/pay` and `/pay/x`, and not for `/payments`.
    Prefix(String),
}

impl PathMatch {
    pub(crate) fn text(&self) -> &str {
        let (Self::Exact(text) | Self::Template(text) | Self::Prefix(text)) = self;
        text
    }

    /// Changes its text.
    pub(crate) fn map(&self, change: impl FnOnce(&str) -> String) -> Self {
        match self {
            Self::Exact(text) => Self::Exact(change(text)),
            Self::Template(text) => Self::Template(text.clone()),
            Self::Prefix(text) => Self::Prefix(change(text)),
        }
    }
}

/// What a header must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderTest {
    /// There once, with this value.
    Exact(HeaderValue),
    /// There or not.
    Present(bool),
}

/// What is done with the requests of a route.
#[derive(Clone, Debug)]
pub enum TargetSpec {
    /// They go to one of these upstreams, chosen by weight.
    Upstreams(Vec<(UpstreamName, u32)>),
    /// The gateway sends the caller elsewhere.
    Redirect(Redirect),
}

/// What an upstream reads as `Host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostRewrite {
    /// Its own authority.
    Upstream,
    /// What the consumer sent.
    Preserve,
    /// This.
    Fixed(HeaderValue),
}

/// Who gets copies of requests.
#[derive(Clone, Debug)]
pub struct MirrorSpec {
    /// The upstream.
    pub upstream: UpstreamName,
    /// Of how many requests in a hundred.
    pub percent: u8,
}

/// Whom a route is open to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Whoever sends a request, known or not.
    Anyone,
    /// These consumers and nobody else.
    These(BTreeSet<ConsumerName>),
}
