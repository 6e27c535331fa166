use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use leasehold_model::{BootTime, ConsumerName, GenerationNumber, Provenance};

use crate::link::{Command, Link, Place};

/// One concrete value of a credential, in the form injection prepared it in.
///
/// Dropping the last reference wipes it and tells the broker that it has drained.
pub struct Generation<P> {
    number: GenerationNumber,
    provenance: Provenance,
    consumer: Option<ConsumerName>,
    deadline: AtomicU64,
    prepared: P,
    /// Kept for what its drop does.
    _drained: Drained,
}

impl<P> Generation<P> {
    /// Returns the generation's number.
    #[must_use]
    pub const fn number(&self) -> GenerationNumber {
        self.number
    }

    /// Returns where it came from.
    #[must_use]
    pub const fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Returns the consumer it was issued for, where the credential is declared `per: consumer`.
    #[must_use]
    pub const fn consumer(&self) -> Option<&ConsumerName> {
        self.consumer.as_ref()
    }

    /// Returns what injection made of it.
    #[must_use]
    pub const fn prepared(&self) -> &P {
        &self.prepared
    }

    /// Returns the time from which it must not be used.
    #[must_use]
    pub fn deadline(&self) -> BootTime {
        BootTime::from_nanos(self.deadline.load(Ordering::Relaxed))
    }

    pub(crate) fn extend(&self, deadline: BootTime) {
        self.deadline.store(deadline.as_nanos(), Ordering::Relaxed);
    }

    pub(crate) fn new(
        consumer: Option<ConsumerName>,
        provenance: Provenance,
        deadline: BootTime,
        prepared: P,
        drained: Drained,
    ) -> Self {
        Self {
            number: drained.number,
            provenance,
            consumer,
            deadline: AtomicU64::new(deadline.as_nanos()),
            prepared,
            _drained: drained,
        }
    }
}

impl<P> fmt::Debug for Generation<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("number", &self.number)
            .field("provenance", &self.provenance)
            .field("consumer", &self.consumer)
            .finish_non_exhaustive()
    }
}

/// Tells the broker, when dropped with its generation, that nobody uses that generation any more.
pub(crate) struct Drained {
    pub(crate) place: Place,
    pub(crate) number: GenerationNumber,
    pub(crate) link: Link,
}

impl Drop for Drained {
    fn drop(&mut self) {
        let (place, number) = (self.place, self.number);
        self.link.tell(Command::Drained { place, number });
    }
}
