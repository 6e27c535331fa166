use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use leasehold_broker::Standing;
use leasehold_model::{BootTime, RouteName, UpstreamName};

use super::error::GatewayError;
use super::limits::{Limits, RouteLimits};
use super::spec::{Admission, HostMatch, HostRewrite, MatchSpec, PathMatch, RouteSpec, TargetSpec};
use super::upstream::Upstream;
use crate::cors::Cors;
use crate::edit::HeaderEdits;
use crate::redirect::Redirect;
use crate::reflection::Reflection;
use crate::steps::admit::{check_path, normal_host, split_authority};
use crate::steps::retry::Retry;
use crate::websocket::WebSocket;

/// A route with what it leads to.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) name: RouteName,
    pub(crate) path: PathMatch,
    pub(crate) target: Target,
    pub(crate) admission: Admission,
    pub(crate) scopes: Vec<String>,
    pub(crate) rewrite_prefix: Option<String>,
    pub(crate) host: HostRewrite,
    pub(crate) request_headers: HeaderEdits,
    pub(crate) response_headers: HeaderEdits,
    pub(crate) mirror: Option<Mirror>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) websocket: Option<WebSocket>,
    pub(crate) retry: Option<Retry>,
    pub(crate) cors: Option<Cors>,
    pub(crate) body_limit: Option<u64>,
    pub(crate) head_limit: Option<u64>,
    pub(crate) limits: RouteLimits,
    pub(crate) reflection: Reflection,
}

/// What is done with the requests of a route.
#[derive(Debug)]
pub(crate) enum Target {
    Upstreams(Choice),
    Redirect(Redirect),
}

/// Who gets copies of requests.
#[derive(Debug)]
pub(crate) struct Mirror {
    pub(crate) upstream: Arc<Upstream>,
    pub(crate) percent: u8,
}

impl Route {
    /// Checks a route and finds what it leads to.
    pub(super) fn build(
        spec: RouteSpec,
        upstreams: &HashMap<UpstreamName, &Arc<Upstream>>,
        limits: &Limits,
    ) -> Result<Self, GatewayError> {
        let named = |name: &UpstreamName| upstream(&spec, name, upstreams);
        let target = match &spec.target {
            TargetSpec::Redirect(redirect) => Target::Redirect(redirect.clone()),
            TargetSpec::Upstreams(several) => {
                let several = several
                    .iter()
                    .map(|(name, weight)| Ok((named(name)?, *weight)));
                let several = several.collect::<Result<Vec<_>, GatewayError>>()?;
                let choice = Choice::new(several);
                Target::Upstreams(choice.ok_or_else(|| GatewayError::NoChoice(spec.name.clone()))?)
            }
        };
        let mirror = spec.mirror.as_ref().map(|mirror| {
            let upstream = named(&mirror.upstream)?;
            let percent = mirror.percent;
            Ok::<_, GatewayError>(Mirror { upstream, percent })
        });
        let mirror = mirror.transpose()?;
        let limits = limits.of(&spec)?;
        check_paths(&spec)?;
        check_edits(&spec)?;
        Ok(Self {
            target,
            mirror,
            limits,
            name: spec.name,
            path: spec.matches.path,
            admission: spec.admission,
            scopes: spec.scopes,
            rewrite_prefix: spec.rewrite_prefix,
            host: spec.host,
            request_headers: spec.request_headers,
            response_headers: spec.response_headers,
            timeout: spec.timeout,
            websocket: spec.websocket,
            retry: spec.retry,
            cors: spec.cors,
            body_limit: spec.body_limit,
            head_limit: spec.head_limit,
            reflection: spec.reflection,
        })
    }

    /// Tells how the credentials of its upstreams stand: the first that is not ready, where any is not.
    pub(super) fn standing(&self, now: BootTime) -> Standing {
        let upstreams = self.upstreams();
        let used = upstreams.flat_map(|it| it.credentials.of_route(&self.name));
        let mut standings = used.map(|it| it.held.standing(now));
        let unready = standings.find(|standing| *standing != Standing::Ready);
        unready.unwrap_or(Standing::Ready)
    }

    /// Returns the upstreams that there may be requests for, in the order of the document.
    pub(crate) fn upstreams(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        let options = match &self.target {
            Target::Upstreams(choice) => choice.options.as_slice(),
            Target::Redirect(_) => &[],
        };
        options.iter().map(|(_below, upstream)| upstream)
    }
}

/// Upstreams that share requests by weight.
#[derive(Debug)]
pub(crate) struct Choice {
    /// Each with the sum of the weights up to its own, none of which is zero.
    options: Vec<(u32, Arc<Upstream>)>,
}

impl Choice {
    /// Returns the next request's upstream, with its place among the others.
    pub(crate) fn pick(&self) -> Option<(usize, &Arc<Upstream>)> {
        if let [(_, only)] = self.options.as_slice() {
            return Some((0, only));
        }
        let total = self.options.last()?.0;
        self.at(fastrand::u32(..total))
    }

    fn new(several: Vec<(Arc<Upstream>, u32)>) -> Option<Self> {
        let mut sum: u32 = 0;
        let mut options = Vec::new();
        for (upstream, weight) in several {
            if weight > 0 {
                sum = sum.checked_add(weight)?;
                options.push((sum, upstream));
            }
        }
        (!options.is_empty()).then_some(Self { options })
    }

    fn at(&self, number: u32) -> Option<(usize, &Arc<Upstream>)> {
        let place = self.options.partition_point(|(below, _)| *below <= number);
        self.options
            .get(place)
            .map(|(_, upstream)| (place, upstream))
    }
}

/// Writes the host of a match as requests' hosts are written.
pub(super) fn with_normal_host(spec: &RouteSpec) -> Result<MatchSpec, GatewayError> {
    let normal = |written: &String| match split_authority(written) {
        Some((host, None)) if host.len() == written.len() => Ok(normal_host(host).into_owned()),
        _ => Err(GatewayError::Host {
            route: spec.name.clone(),
            host: written.clone(),
        }),
    };
    let host = match &spec.matches.host {
        HostMatch::Any => HostMatch::Any,
        HostMatch::Exact(host) => HostMatch::Exact(normal(host)?),
        HostMatch::Below(host) => HostMatch::Below(normal(host)?),
    };
    Ok(MatchSpec {
        host,
        ..spec.matches.clone()
    })
}

fn upstream(
    spec: &RouteSpec,
    name: &UpstreamName,
    upstreams: &HashMap<UpstreamName, &Arc<Upstream>>,
) -> Result<Arc<Upstream>, GatewayError> {
    let Some(upstream) = upstreams.get(name) else {
        return Err(GatewayError::UnknownUpstream {
            route: spec.name.clone(),
            upstream: name.clone(),
        });
    };
    if spec.admission == Admission::Anyone
        && upstream.credentials.are_issued_for_consumers(&spec.name)
    {
        return Err(GatewayError::NobodyToIssueFor {
            route: spec.name.clone(),
            upstream: name.clone(),
        });
    }
    Ok(Arc::clone(upstream))
}

fn check_paths(spec: &RouteSpec) -> Result<(), GatewayError> {
    let redirected = match &spec.target {
        TargetSpec::Redirect(redirect) => redirect.path.as_deref(),
        TargetSpec::Upstreams(_) => None,
    };
    let paths = [
        Some(spec.matches.path.text()),
        spec.rewrite_prefix.as_deref(),
        redirected,
    ];
    let fault = |fault| GatewayError::Path {
        route: spec.name.clone(),
        fault,
    };
    for path in paths.into_iter().flatten() {
        check_path(path).map_err(fault)?;
        PathAndQuery::try_from(path).map_err(|_invalid| fault("it holds what no path may"))?;
    }
    Ok(())
}

fn check_edits(spec: &RouteSpec) -> Result<(), GatewayError> {
    let requests = spec.request_headers.offence();
    match requests.or_else(|| spec.response_headers.offence()) {
        None => Ok(()),
        Some(header) => Err(GatewayError::Edit {
            route: spec.name.clone(),
            header: header.clone(),
        }),
    }
}
