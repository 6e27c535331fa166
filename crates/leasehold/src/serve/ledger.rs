//! The ledger, from the configuration into the broker's hands.

use leasehold_broker::Broker;
use leasehold_config::{Credential, Snapshot, Source};
use leasehold_inject::Prepared;
use leasehold_ledger::{Ledger, LedgerError};
use tokio::task::{JoinError, spawn_blocking};
use tracing::{info, warn};

/// Why the ledger can't be kept, so that the gateway must not start: what it issued would be lost
/// with its process.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the task that opens the ledger failed")]
    Task(#[source] JoinError),
}

/// Opens the ledger where there is to be one, and hands it to a broker that has its providers.
///
/// The broker closes it at its end.
pub(super) async fn keep(
    snapshot: &Snapshot,
    broker: &mut Broker<Prepared>,
) -> Result<(), KeepError> {
    let Some(declared) = &snapshot.ledger else {
        if leases_anything(snapshot) {
            warn!(
                "no ledger is configured: after a crash leases run out by themselves instead of \
                 being revoked at the next start; set `ledger: {{ file: … }}`"
            );
        }
        return Ok(());
    };
    let (file, instance) = (declared.file.clone(), snapshot.instance.clone());
    let (ledger, former) = spawn_blocking(move || Ledger::open(file, &instance))
        .await
        .map_err(KeepError::Task)??;
    info!(file = %declared.file.display(), incarnation = %ledger.incarnation(), "ledger opened");
    broker.keep_ledger(ledger, &former);
    Ok(())
}

/// Tells whether a credential that is used is issued on a lease.
fn leases_anything(snapshot: &Snapshot) -> bool {
    let leased = |it: &&Credential| matches!(it.source, Source::Leased { .. });
    let mut leased = snapshot.credentials.iter().filter(leased);
    leased.any(|credential| {
        let mut uses = snapshot.upstreams.iter().flat_map(|it| &it.credential);
        uses.any(|it| it.credential == credential.name)
    })
}
