use http::{HeaderName, HeaderValue, Method, StatusCode};
use leasehold_config::{HeaderTest, HostMatch, Origins, PathMatch, Route, Target};
use leasehold_proxy::{
    Admission, Cors, HeaderEdits, HostRewrite, MatchSpec, MirrorSpec, Redirect, Reflection, Retry,
    RouteSpec, TargetSpec, WebSocket,
};

use crate::compose::{ComposeError, header_name};

pub(super) fn route_spec(route: &Route) -> Result<RouteSpec, ComposeError> {
    Ok(RouteSpec {
        name: route.name.clone(),
        matches: matches(&route.matches)?,
        target: target(&route.target)?,
        admission: admission(&route.consumers),
        scopes: route.scopes.clone(),
        rewrite_prefix: route.rewrite.prefix.clone(),
        host: match &route.rewrite.host {
            leasehold_config::HostRewrite::Upstream => HostRewrite::Upstream,
            leasehold_config::HostRewrite::Preserve => HostRewrite::Preserve,
            leasehold_config::HostRewrite::Fixed(host) => HostRewrite::Fixed(value(host)?),
        },
        request_headers: edits(&route.request_headers)?,
        response_headers: edits(&route.response_headers)?,
        mirror: route.mirror.as_ref().map(|mirror| MirrorSpec {
            upstream: mirror.upstream.clone(),
            percent: mirror.percent,
        }),
        timeout: route.timeouts.request,
        websocket: route.websocket.map(|it| WebSocket { idle: it.idle }),
        retry: route.retry.as_ref().map(retry).transpose()?,
        cors: route.cors.as_ref().map(cors).transpose()?,
        body_limit: route.limits.body,
        head_limit: route.limits.head,
        rate: route.limits.rate.clone(),
        concurrency: route.limits.concurrency.clone(),
        reflection: match route.reflection {
            leasehold_config::Reflection::Off => Reflection::Off,
            leasehold_config::Reflection::Report => Reflection::Report,
            leasehold_config::Reflection::Mask => Reflection::Mask,
            leasehold_config::Reflection::Block => Reflection::Block,
        },
    })
}

fn matches(declared: &leasehold_config::Match) -> Result<MatchSpec, ComposeError> {
    let headers = declared.headers.iter().map(|(name, test)| {
        let test = match test {
            HeaderTest::Exact(text) => leasehold_proxy::HeaderTest::Exact(value(text)?),
            HeaderTest::Present(present) => leasehold_proxy::HeaderTest::Present(*present),
        };
        Ok::<_, ComposeError>((header_name(name)?, test))
    });
    let query = declared.query.iter();
    Ok(MatchSpec {
        host: match &declared.host {
            HostMatch::Any => leasehold_proxy::HostMatch::Any,
            HostMatch::Exact(host) => leasehold_proxy::HostMatch::Exact(host.clone()),
            HostMatch::Below(host) => leasehold_proxy::HostMatch::Below(host.clone()),
        },
        path: match &declared.path {
            PathMatch::Exact(path) => leasehold_proxy::PathMatch::Exact(path.clone()),
            PathMatch::Template(path) => leasehold_proxy::PathMatch::Template(path.clone()),
            PathMatch::Prefix(path) => leasehold_proxy::PathMatch::Prefix(path.clone()),
        },
        methods: methods(&declared.methods)?,
        headers: headers.collect::<Result<_, _>>()?,
        query: query
            .map(|(name, text)| (name.clone(), text.clone()))
            .collect(),
    })
}

fn target(declared: &Target) -> Result<TargetSpec, ComposeError> {
    Ok(match declared {
        Target::Upstreams(several) => TargetSpec::Upstreams(several.clone()),
        Target::Redirect(redirect) => TargetSpec::Redirect(Redirect {
            status: status(redirect.status)?,
            scheme: redirect.scheme.clone(),
            host: redirect.host.clone(),
            port: redirect.port,
            path: redirect.path.clone(),
        }),
    })
}

fn admission(declared: &leasehold_config::Admission) -> Admission {
    match declared {
        leasehold_config::Admission::Anyone => Admission::Anyone,
        leasehold_config::Admission::These(names) => {
            Admission::These(names.iter().cloned().collect())
        }
    }
}

fn edits(declared: &leasehold_config::HeaderEdits) -> Result<HeaderEdits, ComposeError> {
    let named = |(name, text): &(String, String)| Ok((header_name(name)?, value(text)?));
    Ok(HeaderEdits {
        set: all(&declared.set, named)?,
        add: all(&declared.add, named)?,
        remove: names(&declared.remove)?,
    })
}

fn retry(declared: &leasehold_config::Retry) -> Result<Retry, ComposeError> {
    Ok(Retry {
        attempts: declared.attempts,
        on_connect: declared.on_connect,
        on_reset: declared.on_reset,
        on_status: all(&declared.on_status, |it| status(*it))?,
        per_try: declared.per_try,
        budget_percent: declared.budget_percent,
        methods: methods(&declared.methods)?,
    })
}

fn cors(declared: &leasehold_config::Cors) -> Result<Cors, ComposeError> {
    let origins = match &declared.origins {
        Origins::Any => None,
        Origins::These(origins) => Some(all(origins, |it| value(it))?),
    };
    Ok(Cors::new(
        origins,
        &methods(&declared.methods)?,
        &names(&declared.headers)?,
        &names(&declared.expose)?,
        declared.credentials,
        declared.max_age,
    ))
}

fn methods<'a>(
    declared: impl IntoIterator<Item = &'a String>,
) -> Result<Vec<Method>, ComposeError> {
    all(declared, |it| {
        it.parse()
            .map_err(|_invalid| ComposeError::Route { what: "method" })
    })
}

fn names(declared: &[String]) -> Result<Vec<HeaderName>, ComposeError> {
    all(declared, |it| header_name(it))
}

fn value(text: &str) -> Result<HeaderValue, ComposeError> {
    text.parse().map_err(|_invalid| ComposeError::Route {
        what: "header value",
    })
}

fn status(number: u16) -> Result<StatusCode, ComposeError> {
    StatusCode::from_u16(number).map_err(|_invalid| ComposeError::Route { what: "status" })
}

fn all<T, U>(
    declared: impl IntoIterator<Item = T>,
    read: impl Fn(T) -> Result<U, ComposeError>,
) -> Result<Vec<U>, ComposeError> {
    declared.into_iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use leasehold_consumer::Consumers;
    use leasehold_proxy::{
        Gateway, GatewaySpec, PathPolicy, TrustedRoots, UpstreamPolicy, UpstreamSpec,
    };

    use super::*;

    #[test]
    fn the_routes_of_every_example_make_a_gateway() {
        for name in [
            "canary",
            "consumers",
            "cors",
            "rewrite",
            "websocket",
            "rate-limits",
            "quick-start",
            "vault-static-key",
        ] {
            let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
            let path = examples.join(name).with_extension("yaml");
            let snapshot = leasehold_config::read(&path).expect("an example that loads");
            let routes = snapshot.routes.iter().map(route_spec);
            let spec = GatewaySpec {
                limits: crate::compose::gateway::limits::specs(&snapshot),
                path_policy: PathPolicy::default(),
                routes: routes.collect::<Result<_, _>>().expect(name),
                upstreams: snapshot.upstreams.iter().map(bare).collect(),
                consumers: Consumers::new(HeaderName::from_static("x-api-key"), []),
                identity: leasehold_proxy::IdentityHeaders::default(),
            };
            Gateway::new(spec).expect(name);
        }
    }

    /// An upstream without what must be fetched or read for it.
    fn bare(upstream: &leasehold_config::Upstream) -> UpstreamSpec {
        UpstreamSpec {
            name: upstream.name.clone(),
            endpoints: upstream.endpoints.clone(),
            roots: TrustedRoots::System,
            credentials: Vec::new(),
            connect_timeout: upstream.timeouts.connect,
            response_timeout: upstream.timeouts.response,
            policy: UpstreamPolicy::default(),
        }
    }
}
