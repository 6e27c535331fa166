use std::num::NonZeroU32;
use std::time::Duration;

use leasehold_model::LimitName;

/// How many requests may come in a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Its name.
    pub name: LimitName,
    /// What requests are counted by.
    pub per: LimitPer,
    /// How many there may be.
    pub requests: NonZeroU32,
    /// In how much time.
    pub every: Duration,
    /// How many may come at once.
    pub burst: NonZeroU32,
    /// How many keys there is room for.
    pub keys: usize,
    /// Whether answers tell how much is left.
    pub headers: bool,
}

/// How many requests may be under way at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConcurrencyLimit {
    /// Its name.
    pub name: LimitName,
    /// What requests are counted by.
    pub per: LimitPer,
    /// How many there may be.
    pub requests: NonZeroU32,
}

/// What requests are counted by, all of it together; at least one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LimitPer {
    /// Who sends them.
    pub consumer: bool,
    /// The route that they take.
    pub route: bool,
    /// The address that they come from.
    pub address: bool,
}
