use std::fmt;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde::Serialize;

use crate::{Readiness, RouteReadiness};

/// What the admin listener reports from.
#[derive(Clone)]
pub struct Admin {
    /// The metrics of the process.
    pub registry: Arc<Registry>,
    /// Tells how the gateway stands; asked at each request, so it must not wait for anything.
    pub readiness: Arc<dyn Fn() -> Readiness + Send + Sync>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").finish_non_exhaustive()
    }
}

pub(crate) fn router(admin: Admin) -> Router {
    // `get` answers HEAD too, and any other method with 405.
    Router::new()
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/readyz/{*route}", get(route_ready))
        .route("/metrics", get(metrics))
        .fallback(async || StatusCode::NOT_FOUND)
        .layer(map_response(guard))
        .with_state(admin)
}

async fn live() -> &'static str {
    "ok\n"
}

async fn ready(State(admin): State<Admin>) -> Response {
    let readiness = (admin.readiness)();
    let ready = readiness.is_ready();
    let body = Report {
        ready,
        draining: readiness.draining,
        routes: &readiness.routes,
    };
    (status(ready), Json(body)).into_response()
}

/// Answers for one route. The name is percent-decoded, and its slashes need not be encoded.
async fn route_ready(State(admin): State<Admin>, Path(name): Path<String>) -> Response {
    let readiness = (admin.readiness)();
    let Some(route) = readiness.route(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let ready = route.ready && !readiness.draining;
    let body = RouteReport {
        draining: readiness.draining,
        route: RouteReadiness {
            ready,
            ..route.clone()
        },
    };
    (status(ready), Json(body)).into_response()
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let mut text = String::new();
    match encode(&mut text, &admin.registry) {
        Ok(()) => ([(CONTENT_TYPE, OPENMETRICS)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written as text");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Adds the headers of an answer that is true for one moment and is no page.
pub(crate) async fn guard(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[derive(Serialize)]
struct Report<'a> {
    ready: bool,
    draining: bool,
    routes: &'a [RouteReadiness],
}

#[derive(Serialize)]
struct RouteReport {
    #[serde(flatten)]
    route: RouteReadiness,
    draining: bool,
}

const fn status(ready: bool) -> StatusCode {
    if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    }
}

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
