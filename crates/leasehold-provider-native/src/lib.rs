//! The encrypted file provider, for development and non-sensitive credentials.
//!
//! One file holds the credentials, encrypted; another holds the key. [`NativeFile`] is what the
//! command line works on and [`NativeProvider`] what the gateway reads through. Neither keeps the
//! file open between two calls, so that both can work on it at the same time.
//!
//! `docs/native-provider.md` has the format, and what it protects against and what not.

mod database;
mod entry;
mod error;
mod file;
mod key;
mod minted;
mod provider;
mod publish;
mod record;
mod tables;

pub use entry::{Entry, EntryState};
pub use error::NativeError;
pub use file::NativeFile;
pub use minted::PublishError;
pub use provider::NativeProvider;
