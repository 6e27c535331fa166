use http::HeaderName;
use leasehold_inject::IdentityError;
use leasehold_model::{LimitName, RouteName, UpstreamName};

use crate::pool::RootsError;

/// Why a specification makes no gateway.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Two upstreams have one name.
    #[error("upstream `{0}` is declared twice")]
    DuplicateUpstream(UpstreamName),
    /// A route leads to an upstream that there is not.
    #[error("route `{route}` leads to upstream `{upstream}`, which is not declared")]
    UnknownUpstream {
        /// The route.
        route: RouteName,
        /// Where it leads.
        upstream: UpstreamName,
    },
    /// A route names a limit that there is not.
    #[error("route `{route}` names limit `{limit}`, which is not declared")]
    UnknownLimit {
        /// The route.
        route: RouteName,
        /// The limit.
        limit: LimitName,
    },
    /// A route that is open to anyone leads to where each consumer has a credential of its own.
    #[error(
        "route `{route}` is open to anyone, and each consumer of upstream `{upstream}` has a \
         credential of its own"
    )]
    NobodyToIssueFor {
        /// The route.
        route: RouteName,
        /// Where it leads.
        upstream: UpstreamName,
    },
    /// A route's upstreams have no weight, or more than there can be.
    #[error("the upstreams of route `{0}` have no weight that requests could be shared out by")]
    NoChoice(RouteName),
    /// A route's path can match no request, or what it puts there can be in none.
    #[error("a path of route `{route}` can't be in a request: {fault}")]
    Path {
        /// The route.
        route: RouteName,
        /// What is wrong with the path.
        fault: &'static str,
    },
    /// A route edits a header that it must not.
    #[error("route `{route}` edits `{header}`, which belongs to the connection or the gateway")]
    Edit {
        /// The route.
        route: RouteName,
        /// The header.
        header: HeaderName,
    },
    /// A route's host can match no request.
    #[error("route `{route}` is for `{host}`, which is not a host name or address alone")]
    Host {
        /// The route.
        route: RouteName,
        /// The host.
        host: String,
    },
    /// Two routes match the same requests.
    #[error("route `{second}` matches the same requests as route `{first}`")]
    SameMatch {
        /// The one that was declared first.
        first: RouteName,
        /// The other.
        second: RouteName,
    },
    /// An upstream has no endpoint.
    #[error("upstream `{0}` has no endpoint")]
    NoEndpoint(UpstreamName),
    /// An endpoint is no address to connect to.
    #[error("endpoint {position} of upstream `{upstream}` can't be used: {fault}")]
    Endpoint {
        /// The upstream.
        upstream: UpstreamName,
        /// Which of its endpoints, from 1. The address itself may hold a password.
        position: usize,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// What an upstream is to be shown can't be used.
    #[error("upstream `{upstream}` can't be shown who the gateway is")]
    Identity {
        /// The upstream.
        upstream: UpstreamName,
        /// What is wrong with it.
        #[source]
        source: IdentityError,
    },
    /// An upstream's trusted roots can't be used.
    #[error("upstream `{upstream}` can't be verified")]
    Roots {
        /// The upstream.
        upstream: UpstreamName,
        /// What is wrong with the roots.
        #[source]
        source: RootsError,
    },
}
