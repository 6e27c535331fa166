//! The ledger, from the configuration into the broker's hands.
//!
//! One process at a time has a ledger open, and a successor must not issue anything that is not in one
//! while its predecessor still has its own. So an instance has two files, and whoever starts takes the
//! one that is free; what the other lists is taken over once the predecessor has ended, or at once where
//! there is none.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use leasehold_broker::{Broker, Changes};
use leasehold_config::{Credential, Snapshot, Source};
use leasehold_inject::Prepared;
use leasehold_ledger::{Former, Ledger, LedgerError};
use leasehold_model::{Chain, InstanceName};
use tokio::task::{JoinError, spawn_blocking};
use tracing::{error, info, warn};

use super::handover::Line;

/// Why the ledger can't be kept, so that the gateway must not start: what it issued would be lost
/// with its process.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    #[error("the task that opens the ledger failed")]
    Task(#[source] JoinError),
}

/// A ledger that the predecessor has open.
pub(super) struct Awaited {
    file: PathBuf,
    instance: InstanceName,
}

/// Opens the ledger where there is to be one, and hands it to a broker that has its providers. Returns
/// the one that a predecessor has open still.
///
/// The broker closes it at its end.
pub(super) async fn keep(
    snapshot: &Snapshot,
    broker: &mut Broker<Prepared>,
    has_predecessor: bool,
) -> Result<Option<Awaited>, KeepError> {
    let Some(declared) = &snapshot.ledger else {
        if leases_anything(snapshot) {
            warn!(
                "no ledger is configured: after a crash leases run out by themselves instead of \
                 being revoked at the next start; set `ledger: {{ file: … }}`"
            );
        }
        return Ok(None);
    };
    let instance = &snapshot.instance;
    let (first, second) = (declared.file.clone(), second(&declared.file));
    let (own, other) = match open(&first, instance).await {
        Err(KeepError::Ledger(LedgerError::Busy { .. })) if has_predecessor => {
            ((open(&second, instance).await?, second), first)
        }
        opened => ((opened?, first), second),
    };
    let ((ledger, former), file) = own;
    info!(file = %file.display(), incarnation = %ledger.incarnation(), "ledger opened");
    if !other.exists() {
        broker.keep_ledger(ledger, &former);
        return Ok(None);
    }
    match open(&other, instance).await {
        Ok((left, of_it)) => {
            broker.keep_ledger(ledger, &former);
            if is_empty(&of_it) {
                close(left).await;
            } else {
                broker.inherit_ledger(left, &of_it);
            }
            Ok(None)
        }
        Err(KeepError::Ledger(LedgerError::Busy { .. })) if has_predecessor => {
            broker.keep_ledger(ledger, &former);
            let instance = instance.clone();
            Ok(Some(Awaited {
                file: other,
                instance,
            }))
        }
        Err(error) => Err(error),
    }
}

/// Waits for the end of the predecessor, and takes over what it could not give back.
pub(super) async fn follow(line: Line, awaited: Option<Awaited>, changes: Changes<Prepared>) {
    line.former_ended().await;
    info!("the predecessor has ended");
    let Some(Awaited { file, instance }) = awaited else {
        return;
    };
    let opened = loop {
        match open(&file, &instance).await {
            // The system closes the files of a process that ends one after the other.
            Err(KeepError::Ledger(LedgerError::Busy { .. })) => {
                tokio::time::sleep(FREE_INTERVAL).await;
            }
            opened => break opened,
        }
    };
    match opened {
        Ok((ledger, former)) if is_empty(&former) => close(ledger).await,
        Ok((ledger, former)) => {
            warn!("the predecessor has left something behind: it is given back");
            if let Err(error) = changes.inherit_ledger(ledger, former).await {
                error!(error = %Chain(&error), "what the predecessor left waits for the next start");
            }
        }
        Err(error) => {
            error!(error = %Chain(&error), "what the predecessor left waits for the next start");
        }
    }
}

async fn open(file: &Path, instance: &InstanceName) -> Result<(Ledger, Former), KeepError> {
    let (file, instance) = (file.to_path_buf(), instance.clone());
    let opened = spawn_blocking(move || Ledger::open(file, &instance)).await;
    Ok(opened.map_err(KeepError::Task)??)
}

async fn close(ledger: Ledger) {
    match spawn_blocking(move || ledger.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => error!(error = %Chain(&error), "close the predecessor's ledger"),
        Err(error) => error!(error = %Chain(&error), "close the predecessor's ledger"),
    }
}

fn is_empty(former: &Former) -> bool {
    former.providers.values().all(|held| held.is_empty())
}

/// Returns the other of the two files.
fn second(file: &Path) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(".next");
    name.into()
}

/// Tells whether a credential that is used is issued on a lease.
fn leases_anything(snapshot: &Snapshot) -> bool {
    let leased = |it: &&Credential| matches!(it.source, Source::Leased { .. });
    let mut leased = snapshot.credentials.iter().filter(leased);
    leased.any(|credential| {
        let mut uses = snapshot.upstreams.iter().flat_map(|it| &it.credentials);
        uses.any(|it| it.credential == credential.name)
    })
}

const FREE_INTERVAL: Duration = Duration::from_millis(50);
