mod route;

use std::time::Duration;

use http::StatusCode;
use leasehold_broker::{Family, Handle, Standing};
use leasehold_consumer::Consumers;
use leasehold_inject::{InjectionIndex, Prepared};
use leasehold_model::{BootTime, ConsumerName, CredentialName, RouteName, UpstreamName};
use url::Url;

pub use route::{
    Admission, HeaderTest, HostMatch, HostRewrite, MatchSpec, MirrorSpec, PathMatch, RouteSpec,
    TargetSpec,
};

use super::limits::LimitSpecs;
use super::policy::UpstreamPolicy;
use crate::identity::IdentityHeaders;
use crate::pool::TrustedRoots;
use crate::reflection::Watch;
use crate::steps::path::PathPolicy;

/// What a [`crate::Gateway`] is made from.
#[derive(Debug)]
pub struct GatewaySpec {
    /// What is done about paths that two servers may read differently.
    pub path_policy: PathPolicy,
    /// The routes. Of two that take the same request by equal right, the first one does.
    pub routes: Vec<RouteSpec>,
    /// The upstreams that routes lead to.
    pub upstreams: Vec<UpstreamSpec>,
    /// Who may call.
    pub consumers: Consumers,
    /// What upstreams are told about who calls.
    pub identity: IdentityHeaders,
    /// How much they may ask for.
    pub limits: LimitSpecs,
}

/// A service that requests are forwarded to.
#[derive(Clone, Debug)]
pub struct UpstreamSpec {
    /// Its name.
    pub name: UpstreamName,
    /// Where it listens: at least one address, `http` or `https`, without a path.
    pub endpoints: Vec<Url>,
    /// Who may vouch for its certificate, where the endpoint is `https`.
    pub roots: TrustedRoots,
    /// What it is shown: at each place the first of its alternatives that is for whoever asks. No two
    /// places may be read as the same, and none may be left without one.
    pub credentials: Vec<Vec<CredentialUse>>,
    /// How long a connection may take to make, from the name's resolution to the end of the
    /// handshake.
    pub connect_timeout: Duration,
    /// How long the head of an answer may take once the request was sent, and how long each further
    /// part of the answer.
    pub response_timeout: Duration,
    /// How it is spoken to, and how requests are spread over its endpoints.
    pub policy: UpstreamPolicy,
}

/// Which credential an upstream is shown, and where in the head.
#[derive(Clone, Debug)]
pub struct CredentialUse {
    /// The hold on it.
    pub held: Held,
    /// The place.
    pub injection: InjectionIndex,
    /// Which requests it is for.
    pub selector: Selector,
    /// Which answers mean that it may be dead.
    pub suspect: Suspect,
    /// What finds it in answers, where some route has them looked through.
    pub watch: Option<Watch>,
}

/// Which requests a credential is for; by default, all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// The consumers that it is for; all, and those that nobody knows, where there are none.
    pub consumers: Vec<ConsumerName>,
    /// The routes that it is for; all where there are none.
    pub routes: Vec<RouteName>,
}

/// A hold on a credential.
#[derive(Clone, Debug)]
pub enum Held {
    /// Requests of all consumers are sent with the same.
    Shared(Handle<Prepared>),
    /// Each consumer has one of its own.
    PerConsumer(Family<Prepared>),
}

impl Held {
    /// Returns the credential's declared name.
    pub(crate) fn credential(&self) -> &CredentialName {
        match self {
            Self::Shared(handle) => handle.credential(),
            Self::PerConsumer(family) => family.credential(),
        }
    }

    /// Returns how the credential stands. A consumer who has none yet, or may have none, does not count.
    pub(crate) fn standing(&self, now: BootTime) -> Standing {
        match self {
            Self::Shared(handle) => handle.standing(now),
            Self::PerConsumer(family) => family.standing(now),
        }
    }

    /// Returns the hold of the consumer; `None` where it has none.
    pub(crate) fn handle(&self, consumer: Option<&ConsumerName>) -> Option<Handle<Prepared>> {
        match self {
            Self::Shared(handle) => Some(handle.clone()),
            Self::PerConsumer(family) => family.handle(consumer?).ok(),
        }
    }
}

/// Which answers mean that a credential may be dead, and what to do then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Suspect {
    /// Their statuses, few; where there are none, no answer does.
    pub statuses: Vec<StatusCode>,
    /// Whether a request that can be sent again is sent once more with a newer generation.
    pub retry: bool,
}
