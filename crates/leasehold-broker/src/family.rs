use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::{BootTime, ConsumerName, CredentialName, Failure};
use parking_lot::Mutex;

use crate::handle::{Handle, Standing};
use crate::link::{Command, Link};

/// A credential declared `per: consumer`: each consumer has a slot of its own, from its first request
/// until it has been idle for long enough.
pub struct Family<P> {
    shared: Arc<Shared<P>>,
}

/// How many consumers a family holds a credential for, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyLimits {
    /// The greatest number of consumers at a time. Those count until all of theirs has been given back.
    pub cap: usize,
    /// How long after a consumer's last request its credential is given back.
    pub idle: Duration,
}

/// A family has as many consumers as it may have, and this one is not among them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("credential {credential} is held for {cap} consumers already, and may be for no more")]
pub struct FamilyFull {
    /// The credential.
    pub credential: CredentialName,
    /// The declared cap.
    pub cap: usize,
}

impl<P> Family<P> {
    /// Returns the hold on a consumer's own credential, and counts as a use of it.
    ///
    /// The first call for a consumer only asks for the credential: wait for it with
    /// [`Handle::acquired`].
    ///
    /// # Errors
    ///
    /// When the consumer is new and the cap is reached.
    pub fn handle(&self, consumer: &ConsumerName) -> Result<Handle<P>, FamilyFull> {
        let Shared { id, link, .. } = &*self.shared;
        let mut members = self.shared.members.lock();
        if let Some(handle) = members.present.get(consumer) {
            // Under the lock, so that it can't be found idle in the same moment.
            handle.touch(link.clock.boot());
            return Ok(handle.clone());
        }
        let cap = self.shared.limits.cap;
        if members.closed || members.present.len() + members.leaving >= cap {
            let credential = self.credential().clone();
            return Err(FamilyFull { credential, cap });
        }
        let credential = self.credential().clone();
        let handle = Handle::new(credential, Some(consumer.clone()), link.clone());
        members.present.insert(consumer.clone(), handle.clone());
        let (family, consumer) = (*id, consumer.clone());
        link.tell(Command::Wanted { family, consumer });
        Ok(handle)
    }

    /// Returns the credential's declared name.
    #[must_use]
    pub fn credential(&self) -> &CredentialName {
        &self.shared.credential
    }

    /// Returns how the credential stands, for readiness reports: a family that nobody has used yet is
    /// ready unless its provider can't be logged in to.
    #[must_use]
    pub fn standing(&self, now: BootTime) -> Standing {
        let failure = *self.shared.failure.lock();
        let serves = |it: &Handle<P>| it.current(now).is_ok();
        if failure.is_none() || self.shared.members.lock().present.values().any(serves) {
            return Standing::Ready;
        }
        Standing::Unavailable { failure }
    }

    /// Returns the consumers that it is held for now.
    #[must_use]
    pub fn consumers(&self) -> Vec<ConsumerName> {
        self.shared.members.lock().present.keys().cloned().collect()
    }

    /// Returns its number, which no other family of the broker has.
    pub(crate) fn number(&self) -> usize {
        self.shared.id
    }

    /// Lets nobody in any more, and takes out all who are in.
    pub(crate) fn close(&self) -> Vec<Handle<P>> {
        let mut members = self.shared.members.lock();
        members.closed = true;
        members.present.drain().map(|(_, handle)| handle).collect()
    }

    pub(crate) fn new(
        id: usize,
        credential: CredentialName,
        limits: FamilyLimits,
        link: Link,
    ) -> Self {
        let members = Members {
            present: HashMap::new(),
            leaving: 0,
            closed: false,
        };
        Self {
            shared: Arc::new(Shared {
                id,
                credential,
                limits,
                link,
                members: Mutex::new(members),
                failure: Mutex::new(None),
            }),
        }
    }

    pub(crate) fn limits(&self) -> FamilyLimits {
        self.shared.limits
    }

    pub(crate) fn member(&self, consumer: &ConsumerName) -> Option<Handle<P>> {
        self.shared.members.lock().present.get(consumer).cloned()
    }

    /// Takes out the members whose last use is long ago. They count until [`Family::left`].
    pub(crate) fn take_idle(&self, now: BootTime) -> Vec<Handle<P>> {
        let idle = self.shared.limits.idle;
        let mut members = self.shared.members.lock();
        // One that has no slot yet has just come, however short the time.
        let is_idle = |it: &Handle<P>| it.place().is_some() && now.since(it.last_use()) >= idle;
        let gone = members.present.extract_if(|_, it| is_idle(it));
        let gone: Vec<_> = gone.map(|(_, handle)| handle).collect();
        members.leaving += gone.len();
        gone
    }

    /// Counts a member that was taken out as gone for good.
    pub(crate) fn left(&self) {
        let mut members = self.shared.members.lock();
        members.leaving = members.leaving.saturating_sub(1);
        if members.present.is_empty() && members.leaving == 0 {
            // Nobody tries any more, so nothing would ever tell that it has passed: whoever stays away
            // from what is not ready would do so for good.
            *self.shared.failure.lock() = None;
        }
    }

    /// Returns how many consumers count.
    pub(crate) fn size(&self) -> usize {
        let members = self.shared.members.lock();
        members.present.len() + members.leaving
    }

    /// Notes what the last attempt failed with, for whichever consumer, or that it succeeded.
    pub(crate) fn note(&self, failure: Option<Failure>) {
        *self.shared.failure.lock() = failure;
    }
}

impl<P> Clone for Family<P> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<P> fmt::Debug for Family<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Family")
            .field("credential", &self.shared.credential)
            .field("limits", &self.shared.limits)
            .finish_non_exhaustive()
    }
}

struct Shared<P> {
    /// Its number at the broker.
    id: usize,
    credential: CredentialName,
    limits: FamilyLimits,
    link: Link,
    members: Mutex<Members<P>>,
    failure: Mutex<Option<Failure>>,
}

struct Members<P> {
    present: HashMap<ConsumerName, Handle<P>>,
    /// Those dismissed whose leases have not all been given back.
    leaving: usize,
    /// Nobody is let in any more.
    closed: bool,
}
