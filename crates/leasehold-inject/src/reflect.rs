//! Finds a credential in what an upstream sends back.

mod forms;
mod scanner;
mod secrets;
mod sieve;
mod watchlist;

pub use forms::Form;
pub use scanner::Scanner;
pub(crate) use secrets::scanner_of;
pub use sieve::{Sieve, Sifted};
pub use watchlist::Watchlist;
