//! From the validated configuration to what the data plane is made from.

mod limits;
mod route;

use std::collections::BTreeMap;
use std::sync::Arc;

use http::StatusCode;
use leasehold_config::{Snapshot, Upstream};
use leasehold_model::CredentialName;
use leasehold_proxy::{
    CredentialUse, GatewaySpec, Held, PathPolicy, Selector, Suspect, TrustedRoots, UpstreamSpec,
    Watch,
};

use self::route::route_spec;
use super::issuers::{self, AllKeys};
use super::{ComposeError, Holding, injection, looking_for, traffic};

pub(super) fn gateway_spec(
    snapshot: &Snapshot,
    holdings: &BTreeMap<CredentialName, Arc<Holding>>,
    keys: &AllKeys,
) -> Result<GatewaySpec, ComposeError> {
    let consumers = issuers::consumers(snapshot, keys)?;
    let routes = snapshot.routes.iter().map(route_spec);
    let routes = routes.collect::<Result<Vec<_>, _>>()?;
    let mut upstreams = Vec::new();
    for upstream in &snapshot.upstreams {
        // An upstream that declares a credential is never served without one.
        let places = upstream.places().into_iter().map(|alternatives| {
            let alternatives = alternatives.into_iter();
            let alternatives = alternatives.map(|used| credential_use(upstream, used, holdings));
            alternatives.collect::<Result<Vec<_>, _>>()
        });
        let credentials = places.collect::<Result<_, _>>()?;
        upstreams.push(UpstreamSpec {
            name: upstream.name.clone(),
            endpoints: upstream.endpoints.clone(),
            roots: roots(upstream)?,
            credentials,
            connect_timeout: upstream.timeouts.connect,
            response_timeout: upstream.timeouts.response,
            policy: traffic::policy(&upstream.traffic)?,
        });
    }
    Ok(GatewaySpec {
        path_policy: PathPolicy {
            forward_encoded_slashes: snapshot.path_policy.forward_encoded_slashes,
            normalise_dot_segments: snapshot.path_policy.normalise_dot_segments,
            merge_slashes: snapshot.path_policy.merge_slashes,
        },
        routes,
        limits: limits::specs(snapshot),
        upstreams,
        consumers,
        identity: issuers::identity(&snapshot.identity_headers)?,
    })
}

fn credential_use(
    upstream: &Upstream,
    used: &leasehold_config::CredentialUse,
    holdings: &BTreeMap<CredentialName, Arc<Holding>>,
) -> Result<CredentialUse, ComposeError> {
    let wanted = injection(&used.injection)?;
    let holding = holdings.get(&used.credential);
    let found = holding.and_then(|it| Some((it.held.clone(), it.place(&wanted)?)));
    let watch = holding.and_then(|it| {
        let injection = it.place(&looking_for(&wanted))?;
        let shared = matches!(it.held, Held::Shared(_));
        let list = shared.then(|| it.watchlist.clone());
        Some(Watch { injection, list })
    });
    let (held, injection) = found.ok_or_else(|| ComposeError::Unresolved {
        upstream: upstream.name.to_string(),
        credential: used.credential.clone(),
    })?;
    Ok(CredentialUse {
        held,
        injection,
        selector: Selector {
            consumers: used.selector.consumers.clone(),
            routes: used.selector.routes.clone(),
        },
        suspect: suspect(&used.suspect),
        watch,
    })
}

fn suspect(declared: &leasehold_config::Suspect) -> Suspect {
    let statuses = declared.statuses.iter();
    Suspect {
        // The configuration lets in none that is no status.
        statuses: statuses
            .filter_map(|it| StatusCode::from_u16(*it).ok())
            .collect(),
        retry: declared.retry,
    }
}

fn roots(upstream: &Upstream) -> Result<TrustedRoots, ComposeError> {
    let Some(path) = &upstream.ca else {
        return Ok(TrustedRoots::System);
    };
    std::fs::read(path)
        .map(TrustedRoots::Pem)
        .map_err(|source| ComposeError::Ca {
            upstream: upstream.name.to_string(),
            path: path.clone(),
            source,
        })
}
