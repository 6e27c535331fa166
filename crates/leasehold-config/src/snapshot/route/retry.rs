use std::collections::BTreeSet;
use std::time::Duration;

use leasehold_model::LimitName;

/// How long an exchange may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouteTimeouts {
    /// From the request's head to the end of the answer, where there is a limit.
    pub request: Option<Duration>,
}

/// When a request is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// How often it is sent at most, from 2.
    pub attempts: u32,
    /// Whether it is where no connection could be made.
    pub on_connect: bool,
    /// Whether it is where the upstream broke off before it answered, or a try took too long.
    pub on_reset: bool,
    /// After which statuses, each from 500 to 599, it is.
    pub on_status: BTreeSet<u16>,
    /// How long one try may wait for the head of the answer, where there is a limit.
    pub per_try: Option<Duration>,
    /// How many further tries there may be to a hundred requests.
    pub budget_percent: u32,
    /// The methods that are sent again.
    pub methods: BTreeSet<String>,
}

/// How large a request may be, where the route has limits of its own, and how many there may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteLimits {
    /// The body, in bytes.
    pub body: Option<u64>,
    /// Target and headers, in bytes.
    pub head: Option<u64>,
    /// The rate limits that requests count at, in this order.
    pub rate: Vec<LimitName>,
    /// The concurrency limits that requests count at, in this order.
    pub concurrency: Vec<LimitName>,
}
