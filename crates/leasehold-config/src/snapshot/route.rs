use leasehold_model::{ConsumerName, RouteName, UpstreamName};

/// Which requests go to which upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its name; no two routes have the same.
    pub name: RouteName,
    /// The exact host in small letters, without a port; every host where there is none.
    pub host: Option<String>,
    /// The beginning of the path, with its leading `/`.
    pub path: String,
    /// Where its requests go.
    pub upstream: UpstreamName,
    /// Whom it is open to.
    pub consumers: Admission,
}

/// Whom a route is open to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Everybody who reaches the listener.
    Anyone,
    /// These consumers; at least one.
    These(Vec<ConsumerName>),
}
