//! The plaintext room.
//!
//! A secret value has one type, [`Secret`], and one door, [`Expose`]. Rooms that may open the door
//! are listed in `deny.toml`: a room that does not depend on this one can carry a secret inside
//! another type and cannot name the door. Each opening carries an `// EXPOSE:` comment that says why
//! it is needed and why it is safe; `cargo xtask check-layers` refuses one without.

mod alloc;
mod env;
mod file;
mod process;
mod secret;

pub use alloc::WipingAllocator;
pub use env::{EnvError, read_env};
pub use file::{ReadError, read_owner_only, read_trimmed};
pub use process::{HardenError, harden};
pub use secret::{Expose, Exposed, Secret};
