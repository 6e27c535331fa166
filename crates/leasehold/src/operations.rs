//! The operator's verbs, carried out by the gateway.

use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::join_all;
use leasehold_admin::{BoxFuture, HangsOn, OperationError, Operations, Reload, RevokeTarget};
use leasehold_broker::{
    Control, ControlError, LeaseView, Revocation, Rotation, RotationOutcome, Target,
};
use leasehold_model::{ConsumerName, CredentialName, Holder, LeaseId};
use tokio::sync::{mpsc, oneshot};

use crate::serve::Order;

/// The gateway as the operator's socket sees it.
pub(crate) struct GatewayOperations {
    pub(crate) control: Control,
    pub(crate) orders: mpsc::Sender<Order>,
}

impl Operations for GatewayOperations {
    fn leases(&self) -> BoxFuture<'_, Result<Vec<leasehold_admin::Lease>, OperationError>> {
        Box::pin(async {
            let held = self.control.list().await.map_err(|it| refused(&it))?;
            Ok(held.iter().map(lease).collect())
        })
    }

    fn rotate<'a>(
        &'a self,
        credential: &'a CredentialName,
        consumer: Option<&'a ConsumerName>,
    ) -> BoxFuture<'a, Result<Vec<leasehold_admin::Rotation>, OperationError>> {
        Box::pin(async move {
            let rotations = self
                .control
                .rotate(credential, consumer)
                .await
                .map_err(|it| refused(&it))?;
            Ok(rotations.iter().map(rotation).collect())
        })
    }

    fn revoke(
        &self,
        target: RevokeTarget,
    ) -> BoxFuture<'_, Result<Vec<leasehold_admin::Revocation>, OperationError>> {
        Box::pin(async move {
            let revocations = match target {
                RevokeTarget::Lease(lease_id) => self.control.revoke(Target::Lease(lease_id)).await,
                RevokeTarget::Instance => self.control.revoke(Target::Instance).await,
                RevokeTarget::Credential {
                    credential,
                    consumer: None,
                } => self.control.revoke(Target::Credential(credential)).await,
                RevokeTarget::Credential {
                    credential,
                    consumer: Some(consumer),
                } => return self.revoke_for(credential, consumer).await,
            };
            let revocations = revocations.map_err(|it| refused(&it))?;
            Ok(revocations.iter().map(revocation).collect())
        })
    }

    fn reload(&self) -> BoxFuture<'_, Result<Reload, OperationError>> {
        Box::pin(async {
            let (answer, answered) = oneshot::channel();
            let asked = self.orders.send(Order::Reload(answer)).await;
            asked.map_err(|_stopped| OperationError::Stopped)?;
            answered.await.map_err(|_stopped| OperationError::Stopped)
        })
    }

    fn hand_over(&self, to: PathBuf) -> BoxFuture<'_, Result<(), OperationError>> {
        Box::pin(async {
            let (answer, answered) = oneshot::channel();
            let asked = self.orders.send(Order::HandOver { to, answer }).await;
            asked.map_err(|_stopped| OperationError::Stopped)?;
            let given = answered.await.map_err(|_stopped| OperationError::Stopped)?;
            given.map_err(|why| OperationError::Refused { why })
        })
    }
}

impl GatewayOperations {
    /// Revokes what a credential holds for one consumer, lease by lease.
    async fn revoke_for(
        &self,
        credential: CredentialName,
        consumer: ConsumerName,
    ) -> Result<Vec<leasehold_admin::Revocation>, OperationError> {
        let held = self.control.list().await.map_err(|it| refused(&it))?;
        let of_it =
            |it: &LeaseView| it.credential == credential && it.consumer.as_ref() == Some(&consumer);
        let held: Vec<LeaseView> = held.into_iter().filter(of_it).collect();
        let is_held = !held.is_empty();
        let leases: Vec<LeaseId> = held.into_iter().filter_map(|it| it.lease_id).collect();
        if !leases.is_empty() {
            return self.revoke_each(leases).await;
        }
        if is_held {
            let what = format!(
                "credential {credential} is held for consumer {consumer} without a lease: there is \
                 nothing that could be revoked for that consumer alone"
            );
            return Err(OperationError::NotHeld { what });
        }
        let error = ControlError::UnknownConsumer {
            credential,
            consumer,
        };
        Err(refused(&error))
    }

    /// Revokes leases, all of them whatever becomes of one; one that has ended meanwhile is gone.
    async fn revoke_each(
        &self,
        leases: Vec<LeaseId>,
    ) -> Result<Vec<leasehold_admin::Revocation>, OperationError> {
        let orders = leases.into_iter().map(Target::Lease);
        let outcomes = join_all(orders.map(|target| self.control.revoke(target))).await;
        let mut revocations = Vec::new();
        for outcome in outcomes {
            match outcome {
                Ok(done) => revocations.extend(done.iter().map(revocation)),
                Err(ControlError::UnknownLease { .. }) => {}
                Err(error) => return Err(refused(&error)),
            }
        }
        Ok(revocations)
    }
}

fn refused(error: &ControlError) -> OperationError {
    match error {
        ControlError::Stopped => OperationError::Stopped,
        ControlError::UnknownCredential { .. }
        | ControlError::UnknownConsumer { .. }
        | ControlError::UnknownLease { .. } => OperationError::NotHeld {
            what: error.to_string(),
        },
    }
}

fn lease(view: &LeaseView) -> leasehold_admin::Lease {
    leasehold_admin::Lease {
        provider: view.provider.to_string(),
        credential: view.credential.to_string(),
        consumer: view.consumer.as_ref().map(ToString::to_string),
        generation: view.generation.get(),
        state: view.state.as_str().to_owned(),
        lease_id: view.lease_id.as_ref().map(ToString::to_string),
        version: view.version,
        fingerprint: view.fingerprint.map(|it| it.to_string()),
        hangs_on: view
            .holder
            .map(|holder| hangs_on(holder, view.holder_lasts)),
        granted_ms: view.granted.map(millis),
        usable_for_ms: view.usable_for.map(millis),
        next_ms: view.next.map(millis),
        suspect: view.suspect,
    }
}

fn hangs_on(holder: Holder, lasts: Option<Duration>) -> HangsOn {
    let (kind, epoch) = match holder {
        Holder::Session(epoch) => ("session", epoch.get()),
        Holder::Anchor(epoch) => ("anchor", epoch.get()),
    };
    HangsOn {
        kind: kind.to_owned(),
        epoch,
        lasts_ms: lasts.map(millis),
    }
}

fn rotation(rotation: &Rotation) -> leasehold_admin::Rotation {
    let cause = match rotation.outcome {
        RotationOutcome::Failed(failure) => Some(failure.as_str().to_owned()),
        RotationOutcome::Rotated | RotationOutcome::Unchanged | RotationOutcome::TimedOut => None,
    };
    leasehold_admin::Rotation {
        credential: rotation.credential.to_string(),
        consumer: rotation.consumer.as_ref().map(ToString::to_string),
        former: rotation.former.map(|it| it.get()),
        generation: rotation.generation.map(|it| it.get()),
        lease_id: rotation.lease_id.as_ref().map(ToString::to_string),
        outcome: rotation.outcome.as_str().to_owned(),
        cause,
        took_ms: millis(rotation.took),
    }
}

fn revocation(revocation: &Revocation) -> leasehold_admin::Revocation {
    leasehold_admin::Revocation {
        credential: revocation.credential.to_string(),
        consumer: revocation.consumer.as_ref().map(ToString::to_string),
        generation: revocation.generation.get(),
        lease_id: revocation.lease_id.to_string(),
        outcome: revocation.outcome.as_str().to_owned(),
        took_ms: millis(revocation.took),
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
