use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use leasehold_inject::{Identity, IdentityError};
use leasehold_model::BootTime;
use parking_lot::Mutex;

/// Files with a certificate and its key, both in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientFiles {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What the gateway proves to be to an upstream, from files that may be replaced.
#[derive(Debug)]
pub(crate) struct Badge {
    files: ClientFiles,
    identity: ArcSwap<Identity>,
    /// When the files were written that the identity was read from.
    written: Mutex<Written>,
    next_look: AtomicU64,
}

type Written = [Option<SystemTime>; 2];

impl Badge {
    pub(super) fn read(files: &ClientFiles) -> Result<Self, IdentityError> {
        // Looked at first: what is written in between is read once more.
        let written = written(files);
        Ok(Self {
            identity: ArcSwap::from_pointee(Identity::read(&files.certificate, &files.key)?),
            files: files.clone(),
            written: Mutex::new(written),
            next_look: AtomicU64::new(0),
        })
    }

    /// Returns the identity. Whoever shows it keeps it to the end of the answer.
    pub(crate) fn identity(&self) -> Arc<Identity> {
        self.identity.load_full()
    }

    /// Tells whether it is time to look at the files again, which it is for one asker only.
    pub(crate) fn is_due(&self, now: BootTime) -> bool {
        let due = self.next_look.load(Ordering::Relaxed);
        let next = now.after(LOOK_INTERVAL).as_nanos();
        now.as_nanos() >= due
            && self
                .next_look
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Reads the files again where they were written since; returns whether they were. Blocks.
    ///
    /// # Errors
    ///
    /// When they hold no identity; the last one stays, and they are read again once they change.
    pub(crate) fn renew(&self) -> Result<bool, IdentityError> {
        let now = written(&self.files);
        if *self.written.lock() == now {
            return Ok(false);
        }
        *self.written.lock() = now;
        let identity = Identity::read(&self.files.certificate, &self.files.key)?;
        self.identity.store(Arc::new(identity));
        Ok(true)
    }
}

fn written(files: &ClientFiles) -> Written {
    let at = |path| fs::metadata(path).and_then(|it| it.modified()).ok();
    [at(&files.certificate), at(&files.key)]
}

const LOOK_INTERVAL: Duration = Duration::from_secs(1);
