//! What readers tell the broker.

use std::sync::Arc;

use leasehold_lease::SlotId;
use leasehold_model::{Clock, ConsumerName, GenerationNumber};
use tokio::sync::mpsc;

/// One declaration of a slot. The engine gives the number of a forgotten slot to another credential,
/// and what still speaks of the former one must not be taken for the latter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) slot: SlotId,
    pub(crate) tenure: u64,
}

/// What a reader has to say.
#[derive(Debug)]
pub(crate) enum Command {
    /// Nobody uses a generation any more.
    Drained {
        place: Place,
        number: GenerationNumber,
    },
    /// An upstream refused a generation.
    Suspected {
        place: Place,
        number: GenerationNumber,
    },
    /// A consumer wants a credential of its own for the first time.
    Wanted {
        family: usize,
        consumer: ConsumerName,
    },
}

/// A reader's way to the broker.
///
/// The queue has no bound of its own: a generation drains once, is suspected once at a time, and a
/// consumer is wanted once while it has a slot.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) commands: mpsc::UnboundedSender<Command>,
}

impl Link {
    /// Tells the broker; returns whether there is one to be told.
    pub(crate) fn tell(&self, command: Command) -> bool {
        let told = self.commands.send(command);
        if let Err(gone) = &told {
            tracing::debug!(command = ?gone.0, "a reader outlived the broker");
        }
        told.is_ok()
    }
}
