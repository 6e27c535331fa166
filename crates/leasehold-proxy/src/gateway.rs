mod endpoint;
mod error;
mod spec;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderValue;
use http::header::AUTHORIZATION;
use leasehold_broker::Standing;
use leasehold_consumer::Consumers;
use leasehold_model::{BootTime, RouteName, UpstreamName};

pub(crate) use endpoint::{Endpoint, Upstream};
pub use error::GatewayError;
pub use spec::{Admission, CredentialUse, GatewaySpec, Held, RouteSpec, Suspect, UpstreamSpec};

use crate::pool::TlsConfigs;
use crate::steps::admit::{check_path, normal_host, split_authority};
use crate::steps::route::RouteTable;

/// Where requests may go, and on whose behalf: one immutable snapshot.
#[derive(Debug)]
pub struct Gateway {
    pub(crate) routes: RouteTable,
    pub(crate) consumers: Consumers,
    /// What an answer says to a caller without a valid consumer key.
    pub(crate) challenge: HeaderValue,
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
        Self::build(spec, &[])
    }

    /// As [`Gateway::new`], for one that is to take the place of this one. Upstreams that are reached
    /// the same way keep their connections, and what is known of their endpoints.
    ///
    /// # Errors
    ///
    /// As [`Gateway::new`].
    pub fn succeeded_by(&self, spec: GatewaySpec) -> Result<Self, GatewayError> {
        Self::build(spec, &self.upstreams)
    }

    fn build(spec: GatewaySpec, former: &[Arc<Upstream>]) -> Result<Self, GatewayError> {
        let upstreams = build_upstreams(spec.upstreams, former)?;
        let by_name: HashMap<_, _> = upstreams.iter().map(|it| (it.name.clone(), it)).collect();
        let mut routes = RouteTable::default();
        let mut numbered = Vec::new();
        for route in spec.routes {
            let route = add_route(route, &by_name, &mut routes, &numbered)?;
            numbered.push(route);
        }
        Ok(Self {
            challenge: challenge(&spec.consumers),
            consumers: spec.consumers,
            routes,
            numbered,
            upstreams,
        })
    }

    /// Tells, for each route, whether a request to it could be sent with its credential at `now`.
    #[must_use]
    pub fn readiness(&self, now: BootTime) -> Vec<RouteStanding> {
        let standing = |route: &Route| RouteStanding {
            route: route.name.clone(),
            standing: match &route.upstream.credential {
                Some(credential) => credential.held.standing(now),
                None => Standing::Ready,
            },
        };
        self.numbered.iter().map(standing).collect()
    }

    /// Returns the route of that number.
    pub(crate) fn route(&self, number: usize) -> Option<&Route> {
        self.numbered.get(number)
    }

    /// Returns the names of the routes in the order of their numbers.
    pub(crate) fn route_names(&self) -> impl Iterator<Item = &RouteName> {
        self.numbered.iter().map(|route| &route.name)
    }

    /// Returns the upstreams in the order of their numbers.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Upstream> {
        self.upstreams.iter().map(AsRef::as_ref)
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

/// A route with what it leads to.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) name: RouteName,
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) admission: Admission,
}

fn build_upstreams(
    specs: Vec<UpstreamSpec>,
    former: &[Arc<Upstream>],
) -> Result<Vec<Arc<Upstream>>, GatewayError> {
    let mut tls = TlsConfigs::new();
    let mut upstreams: Vec<Arc<Upstream>> = Vec::new();
    // No two gateways of a process share a number: connections to what one has dropped must not be
    // taken for the other's.
    let mut endpoints = std::iter::repeat_with(|| NEXT_ENDPOINT.fetch_add(1, Ordering::Relaxed));
    for spec in specs {
        if upstreams.iter().any(|other| other.name == spec.name) {
            return Err(GatewayError::DuplicateUpstream(spec.name));
        }
        let former = former.iter().find(|it| it.name == spec.name);
        let number = upstreams.len();
        let upstream = Upstream::build(
            number,
            spec,
            former.map(AsRef::as_ref),
            &mut endpoints,
            &mut tls,
        )?;
        upstreams.push(Arc::new(upstream));
    }
    Ok(upstreams)
}

fn add_route(
    spec: RouteSpec,
    upstreams: &HashMap<UpstreamName, &Arc<Upstream>>,
    table: &mut RouteTable,
    before: &[Route],
) -> Result<Route, GatewayError> {
    let Some(upstream) = upstreams.get(&spec.upstream) else {
        return Err(GatewayError::UnknownUpstream {
            route: spec.name,
            upstream: spec.upstream,
        });
    };
    if let Err(fault) = check_path(&spec.path_prefix) {
        return Err(GatewayError::PathPrefix {
            route: spec.name,
            fault,
        });
    }
    if spec.admission == Admission::Anyone && upstream.is_per_consumer() {
        return Err(GatewayError::NobodyToIssueFor {
            route: spec.name,
            upstream: spec.upstream,
        });
    }
    let host = route_host(&spec)?;
    if let Err(other) = table.add(host.as_deref(), &spec.path_prefix, before.len()) {
        let first = before.get(other).map_or(&spec.name, |other| &other.name);
        return Err(GatewayError::SameMatch {
            first: first.clone(),
            second: spec.name,
        });
    }
    Ok(Route {
        name: spec.name,
        upstream: Arc::clone(upstream),
        admission: spec.admission,
    })
}

fn route_host(spec: &RouteSpec) -> Result<Option<String>, GatewayError> {
    let Some(written) = &spec.host else {
        return Ok(None);
    };
    match split_authority(written) {
        Some((host, None)) if host.len() == written.len() => {
            Ok(Some(normal_host(host).into_owned()))
        }
        _ => Err(GatewayError::Host {
            route: spec.name.clone(),
            host: written.clone(),
        }),
    }
}

/// Returns the challenge for where the consumers show their keys.
fn challenge(consumers: &Consumers) -> HeaderValue {
    HeaderValue::from_static(if consumers.header() == AUTHORIZATION {
        "Bearer realm=\"leasehold\""
    } else {
        "Key realm=\"leasehold\""
    })
}

static NEXT_ENDPOINT: AtomicUsize = AtomicUsize::new(0);

#[cfg(test)]
mod tests;
