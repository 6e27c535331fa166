//! The durable list of what an instance holds at providers, without material.
//!
//! [`Ledger`] is what the broker writes to while it runs: an intent before each call that may create
//! something at a provider, and what became of it. [`Former`] is what earlier lives of the same
//! instance left, [`Contents`] what a person is shown, and [`repair`] what a damaged file is mended
//! with.
//!
//! The room can't hold material, because it can't name the rooms that do. `docs/decisions/0006-ledger.md`
//! says why it is as it is.

mod book;
mod change;
mod contents;
mod database;
mod entry;
mod error;
mod file;
mod ledger;
mod publish;
mod record;
mod repair;
mod salvage;
mod writer;

pub use change::{AnchorEnd, Change, Event, IntentId};
pub use contents::{Contents, Former, Held};
pub use error::LedgerError;
pub use ledger::{Health, Ledger};
pub use record::{
    Anchor, Incarnation, IncarnationId, Intent, IntentState, Lease, LeaseState, Session, Totals,
};
pub use repair::{Report, repair};
pub use salvage::Unreadable;
