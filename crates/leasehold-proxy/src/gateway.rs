mod badge;
mod balance;
mod correction;
mod credentials;
mod endpoint;
mod error;
mod limits;
mod load;
mod policy;
mod ring;
mod route;
mod spec;
mod standing;
mod upstream;

use std::collections::HashMap;
use std::sync::Arc;

use http::HeaderName;
use leasehold_broker::Standing;
use leasehold_consumer::Consumers;
use leasehold_model::{BootTime, RouteName};

pub(crate) use badge::Badge;
pub use badge::ClientFiles;
pub(crate) use credentials::{Asking, Credentials, Lent, Loan, NotForCaller};
pub(crate) use endpoint::{Endpoint, Flight, Origin};
pub use error::GatewayError;
pub use limits::LimitSpecs;
pub(crate) use limits::{Limits, RouteLimits};
pub(crate) use load::Held as LoadHeld;
pub use policy::{
    Balance, HashKey, HealthCheck, HostPolicy, KeepAlive, Outlier, Protocol, Refresh, TlsPolicy,
    TlsVersion, UpstreamLimits, UpstreamPolicy,
};
pub(crate) use route::{Route, Target};
pub use spec::{
    Admission, CredentialUse, GatewaySpec, HeaderTest, Held, HostMatch, HostRewrite, MatchSpec,
    MirrorSpec, PathMatch, RouteSpec, Selector, Suspect, TargetSpec, UpstreamSpec,
};
pub(crate) use upstream::{Choice, Draw, Sender, Upstream};

use crate::identity::IdentityHeaders;
use crate::pool::TlsConfigs;
use crate::steps::path::PathPolicy;
use crate::steps::route::RouteTable;

/// Where requests may go, and on whose behalf: one immutable snapshot.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) routes: RouteTable,
    pub(crate) path_policy: PathPolicy,
    pub(crate) consumers: Consumers,
    pub(crate) limits: Limits,
    pub(crate) identity: IdentityHeaders,
    /// The headers in which callers say who they are, and those in which upstreams are told.
    pub(crate) ours: Vec<HeaderName>,
    numbered: Vec<Route>,
    upstreams: Vec<Arc<Upstream>>,
}

impl Gateway {
    /// Checks a specification as a whole and makes it ready for use.
    ///
    /// # Errors
    ///
    /// When a route leads nowhere or hides another one, or when an endpoint or the roots of an
    /// upstream can't be used.
    pub fn new(spec: GatewaySpec) -> Result<Self, GatewayError> {
        Self::build(spec, None)
    }

    /// As [`Gateway::new`], for one that is to take the place of this one. Upstreams that are reached
    /// the same way keep their connections, and what is known of their endpoints; limits that are declared the
    /// same way keep what they have counted.
    ///
    /// # Errors
    ///
    /// As [`Gateway::new`].
    pub fn succeeded_by(&self, spec: GatewaySpec) -> Result<Self, GatewayError> {
        Self::build(spec, Some(self))
    }

    fn build(spec: GatewaySpec, former: Option<&Self>) -> Result<Self, GatewayError> {
        let ours = ours(&spec);
        let upstreams = build_upstreams(
            spec.upstreams,
            former.map_or(&[], |it| it.upstreams.as_slice()),
        )?;
        let limits = Limits::build(spec.limits, former.map(|it| &it.limits));
        let by_name: HashMap<_, _> = upstreams.iter().map(|it| (it.name.clone(), it)).collect();
        let mut routes = RouteTable::default();
        let mut numbered: Vec<Route> = Vec::new();
        for spec in spec.routes {
            let matches = route::with_normal_host(&spec)?;
            let cors = spec.cors.is_some();
            let route = Route::build(spec, &by_name, &limits)?;
            if let Err(other) = routes.add(&matches, cors) {
                let first = numbered.get(other).unwrap_or(&route).name.clone();
                let second = route.name;
                return Err(GatewayError::SameMatch { first, second });
            }
            numbered.push(route);
        }
        Ok(Self {
            ours,
            consumers: spec.consumers,
            identity: spec.identity,
            path_policy: spec.path_policy,
            routes,
            limits,
            numbered,
            upstreams,
        })
    }

    /// Tells, for each route, whether a request to it could be sent with its credential at `now`.
    #[must_use]
    pub fn readiness(&self, now: BootTime) -> Vec<RouteStanding> {
        let standing = |route: &Route| RouteStanding {
            route: route.name.clone(),
            standing: route.standing(now),
        };
        self.numbered.iter().map(standing).collect()
    }

    /// Returns the route of that number.
    pub(crate) fn route(&self, number: usize) -> Option<&Route> {
        self.numbered.get(number)
    }

    /// Returns the routes in the order of their numbers.
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.numbered.iter()
    }

    /// Returns the upstreams in the order of their numbers.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.upstreams.iter()
    }
}

/// How a route stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteStanding {
    /// The route.
    pub route: RouteName,
    /// How the credential of its upstream stands; ready where it needs none.
    pub standing: Standing,
}

fn build_upstreams(
    specs: Vec<UpstreamSpec>,
    former: &[Arc<Upstream>],
) -> Result<Vec<Arc<Upstream>>, GatewayError> {
    let mut tls = TlsConfigs::new();
    let mut upstreams: Vec<Arc<Upstream>> = Vec::new();
    for spec in specs {
        if upstreams.iter().any(|other| other.name == spec.name) {
            return Err(GatewayError::DuplicateUpstream(spec.name));
        }
        let former = former.iter().find(|it| it.name == spec.name);
        let number = upstreams.len();
        let upstream = Upstream::build(number, spec, former.map(AsRef::as_ref), &mut tls)?;
        upstreams.push(Arc::new(upstream));
    }
    Ok(upstreams)
}

fn ours(spec: &GatewaySpec) -> Vec<HeaderName> {
    let shown = spec.consumers.headers().iter();
    shown.chain(spec.identity.names()).cloned().collect()
}

#[cfg(test)]
mod tests;
