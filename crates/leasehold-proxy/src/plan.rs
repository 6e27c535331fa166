use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::gateway::{Gateway, Upstream};
use crate::metrics::{Meters, ProxyMetrics};
use crate::steps::retry::Budget;

/// What the requests of one core are served by, from one reload to the next: a gateway, and what is
/// counted by its routes and upstreams.
///
/// A request keeps the plan that it began with, to its end.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) meters: Meters,
    /// Where each upstream's next request begins to look for an endpoint.
    turns: Vec<AtomicUsize>,
    /// What each route's further tries are paid from.
    budgets: Vec<Budget>,
}

impl Plan {
    pub(crate) fn new(gateway: Arc<Gateway>, metrics: &ProxyMetrics) -> Self {
        Self {
            turns: gateway.upstreams().map(|_| AtomicUsize::new(0)).collect(),
            budgets: gateway.routes().map(|_| Budget::default()).collect(),
            meters: Meters::new(metrics.clone(), &gateway),
            gateway,
        }
    }

    /// Returns what the further tries of a route are paid from.
    pub(crate) fn budget(&self, route: usize) -> Option<&Budget> {
        self.budgets.get(route)
    }

    /// Returns a number that grows by one with each request for the upstream.
    pub(crate) fn turn(&self, upstream: &Upstream) -> usize {
        let turn = self.turns.get(upstream.number);
        turn.map_or(0, |turn| turn.fetch_add(1, Ordering::Relaxed))
    }
}
