//! What goes on beside the requests: endpoints are asked after, and names are looked up.
//!
//! Each core looks for what is due, and whoever is first does it, for all of them.

use std::sync::Arc;
use std::time::Duration;

use leasehold_model::{BootTime, Chain};
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

use crate::gateway::{Badge, Endpoint, Origin, Upstream};
use crate::pool::{Pool, Question, check};
use crate::service::Worker;

/// Does the chores for as long as it is polled.
pub(crate) async fn run(worker: &Worker) {
    let tasks = TaskTracker::new();
    loop {
        let plan = worker.plan();
        let now = worker.clock.boot();
        for upstream in plan.gateway.upstreams() {
            tend(worker, upstream, &tasks, now);
            plan.meters.reflect(upstream, now);
        }
        plan.gateway.limits.tidy(now);
        worker.metrics.reflect_limits(&plan.gateway.limits);
        drop(plan);
        sleep(INTERVAL).await;
    }
}

fn tend(worker: &Worker, upstream: &Arc<Upstream>, tasks: &TaskTracker, now: BootTime) {
    for (place, origin) in upstream.due_names(now) {
        let pool = Arc::clone(&worker.pool);
        tasks.spawn(find(pool, Arc::clone(upstream), place, origin));
    }
    if upstream.badge.as_ref().is_some_and(|it| it.is_due(now)) {
        let upstream = Arc::clone(upstream);
        tasks.spawn_blocking(move || renew(&upstream));
    }
    let Some(rules) = &upstream.policy.health else {
        return;
    };
    for endpoint in upstream.endpoints() {
        if endpoint.standing.is_due(rules.interval, now) {
            let pool = Arc::clone(&worker.pool);
            tasks.spawn(ask_after(pool, Arc::clone(upstream), endpoint));
        }
    }
}

async fn find(pool: Arc<Pool>, upstream: Arc<Upstream>, place: usize, origin: Arc<Origin>) {
    match pool.look_up(&origin).await {
        Ok(addresses) if !addresses.is_empty() => upstream.found(place, &addresses),
        Ok(_none) => {}
        Err(error) => tracing::warn!(
            upstream = %upstream.name,
            host = origin.host,
            error = %Chain(&error),
            "name can't be looked up, its last addresses stay"
        ),
    }
}

/// Reads the files again that the gateway's identity is in.
fn renew(upstream: &Upstream) {
    let name = &upstream.name;
    match upstream.badge.as_deref().map(Badge::renew) {
        Some(Ok(true)) => tracing::info!(upstream = %name, "client certificate was replaced"),
        Some(Err(error)) => tracing::warn!(
            upstream = %name,
            error = %Chain(&error),
            "client certificate can't be read, the last one stays"
        ),
        Some(Ok(false)) | None => {}
    }
}

async fn ask_after(pool: Arc<Pool>, upstream: Arc<Upstream>, endpoint: Arc<Endpoint>) {
    let Some(rules) = &upstream.policy.health else {
        return;
    };
    let question = Question {
        host: upstream.host(&endpoint),
        bound: upstream.bound(pool.now()),
        rules,
    };
    let asked = check(&pool, &endpoint, &question).await;
    let changed = endpoint.standing.checked(asked.is_ok(), rules, pool.now());
    let (upstream, name) = (&upstream.name, &*endpoint.origin.name);
    match (changed, asked) {
        (Some(_), Ok(())) => tracing::info!(%upstream, endpoint = name, "endpoint is well again"),
        (Some(_), Err(error)) => tracing::warn!(
            %upstream,
            endpoint = name,
            address = endpoint.address.map(tracing::field::display),
            error = %Chain(&error),
            "endpoint is unwell"
        ),
        (None, _) => {}
    }
}

const INTERVAL: Duration = Duration::from_millis(250);
