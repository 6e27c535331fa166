//! The operator's verbs over HTTP.

mod problem;
mod witness;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, State};
use axum::middleware::map_response;
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use leasehold_model::{ConsumerName, CredentialName, InstanceName, LeaseId};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::problem::Problem;
pub(crate) use self::witness::Peer;
use self::witness::Witness;
use crate::router::guard;
use crate::{
    HandedOver, Lease, Leases, OperationError, Operations, Reloaded, RevokeTarget, Revoked, Rotated,
};

/// What the operator's socket acts on.
#[derive(Clone)]
pub struct Operator {
    /// The name of this instance, which each answer repeats.
    pub instance: InstanceName,
    /// The gateway.
    pub operations: Arc<dyn Operations>,
}

impl fmt::Debug for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operator")
            .field("instance", &self.instance)
            .finish_non_exhaustive()
    }
}

pub(crate) fn router(operator: Operator) -> Router {
    Router::new()
        .route("/v1/leases", get(list))
        .route("/v1/leases/{*lease_id}", get(show))
        .route("/v1/leases/revoke", post(revoke_lease))
        .route("/v1/credentials/{name}/rotate", post(rotate))
        .route("/v1/credentials/{name}/revoke", post(revoke_credential))
        .route("/v1/instance/revoke", post(revoke_instance))
        .route("/v1/reload", post(reload))
        .route("/v1/handover", post(hand_over))
        .fallback(async || Problem::NoSuchPath)
        .method_not_allowed_fallback(async || Problem::WrongMethod)
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(map_response(guard))
        .with_state(operator)
}

async fn list(
    State(operator): State<Operator>,
    ConnectInfo(peer): ConnectInfo<Peer>,
) -> Result<Json<Leases>, Problem> {
    let witness = Witness::of(peer, "list", "everything");
    let leases = witness.tell(operator.operations.leases().await)?;
    Ok(Json(Leases {
        instance: operator.instance.to_string(),
        leases,
    }))
}

/// Answers for one lease, whose id may be written with its slashes or with them encoded.
async fn show(
    State(operator): State<Operator>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    path: Result<Path<String>, PathRejection>,
) -> Result<Json<Lease>, Problem> {
    let lease_id = name(path)?;
    let witness = Witness::of(peer, "show", &lease_id);
    let held = operator.operations.leases().await;
    let found = held.and_then(|held| one(held, &lease_id));
    Ok(Json(witness.tell(found)?))
}

fn one(held: Vec<Lease>, lease_id: &str) -> Result<Lease, OperationError> {
    let mut held = held.into_iter();
    let is_it = |it: &Lease| it.lease_id.as_deref() == Some(lease_id);
    held.find(is_it).ok_or_else(|| OperationError::NotHeld {
        what: format!("lease {lease_id} is not held by this instance"),
    })
}

async fn rotate(
    State(operator): State<Operator>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Rotated>, Problem> {
    let credential = CredentialName::from(name(path)?.as_str());
    let For { consumer } = optional(body)?;
    let consumer = consumer.as_deref().map(ConsumerName::from);
    let witness = Witness::of(peer, "rotate", about(&credential, consumer.as_ref()));
    let outcome = operator
        .operations
        .rotate(&credential, consumer.as_ref())
        .await;
    Ok(Json(Rotated {
        instance: operator.instance.to_string(),
        rotations: witness.tell(outcome)?,
    }))
}

async fn revoke_lease(
    operator: State<Operator>,
    peer: ConnectInfo<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Revoked>, Problem> {
    let OneLease { lease_id } = required(body)?;
    let about = format!("lease {lease_id}");
    let target = RevokeTarget::Lease(LeaseId::from(lease_id.as_str()));
    revoke(operator, peer, target, about).await
}

async fn revoke_credential(
    operator: State<Operator>,
    peer: ConnectInfo<Peer>,
    path: Result<Path<String>, PathRejection>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Revoked>, Problem> {
    let credential = CredentialName::from(name(path)?.as_str());
    let For { consumer } = optional(body)?;
    let consumer = consumer.as_deref().map(ConsumerName::from);
    let about = about(&credential, consumer.as_ref());
    let target = RevokeTarget::Credential {
        credential,
        consumer,
    };
    revoke(operator, peer, target, about).await
}

async fn revoke_instance(
    operator: State<Operator>,
    peer: ConnectInfo<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Revoked>, Problem> {
    let Nothing {} = optional(body)?;
    revoke(
        operator,
        peer,
        RevokeTarget::Instance,
        "instance".to_owned(),
    )
    .await
}

async fn reload(
    State(operator): State<Operator>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Reloaded>, Problem> {
    let Nothing {} = optional(body)?;
    let witness = Witness::of(peer, "reload", "the configuration");
    let outcome = operator.operations.reload().await;
    Ok(Json(Reloaded {
        instance: operator.instance.to_string(),
        reload: witness.tell(outcome)?,
    }))
}

async fn hand_over(
    State(operator): State<Operator>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<HandedOver>, Problem> {
    let Successor { to } = required(body)?;
    let witness = Witness::of(peer, "hand over", to.display().to_string());
    witness.tell(operator.operations.hand_over(to).await)?;
    Ok(Json(HandedOver {
        instance: operator.instance.to_string(),
    }))
}

async fn revoke(
    State(operator): State<Operator>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    target: RevokeTarget,
    about: String,
) -> Result<Json<Revoked>, Problem> {
    let witness = Witness::of(peer, "revoke", about);
    let outcome = operator.operations.revoke(target).await;
    Ok(Json(Revoked {
        instance: operator.instance.to_string(),
        revocations: witness.tell(outcome)?,
    }))
}

/// For whom; for all where nobody is named.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct For {
    #[serde(default)]
    consumer: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Successor {
    to: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OneLease {
    lease_id: String,
}

fn name(path: Result<Path<String>, PathRejection>) -> Result<String, Problem> {
    let Path(name) = path.map_err(|_undecodable| Problem::bad("the path is not UTF-8"))?;
    Ok(name)
}

fn required<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Problem> {
    let body = body.map_err(|_unread| Problem::bad("the body did not arrive, or is too large"))?;
    // The parser's words quote names and no values: there is no secret in an order.
    serde_json::from_slice(&body)
        .map_err(|error| Problem::bad(format!("the body is not what this verb takes: {error}")))
}

fn optional<T: DeserializeOwned + Default>(
    body: Result<Bytes, BytesRejection>,
) -> Result<T, Problem> {
    match body {
        Ok(body) if body.is_empty() => Ok(T::default()),
        body => required(body),
    }
}

fn about(credential: &CredentialName, consumer: Option<&ConsumerName>) -> String {
    match consumer {
        Some(consumer) => format!("credential {credential} for consumer {consumer}"),
        None => format!("credential {credential}"),
    }
}

const LARGEST_BODY: usize = 16 * 1024;
