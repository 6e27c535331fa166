//! How much a caller may ask for: at a rate, and at a time.
//!
//! A limit decides by a key and by the time that it is told. It holds no clock, and what it keeps is bounded.

mod concurrency;
mod key;
mod rate;
mod store;

pub use concurrency::{ConcurrencyLimit, ConcurrencySpec, Permit};
pub use key::{Caller, Key, Per};
pub use rate::{Admitted, RateLimit, RateSpec, Refused};
