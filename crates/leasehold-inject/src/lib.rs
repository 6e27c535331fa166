//! Places a credential in the head of an outgoing request.
//!
//! Material is turned into ready header values once, when its generation is prepared; a request
//! then only points at them. Every place is stripped of what the consumer sent there, under any
//! name that an upstream may take for it, before the credential is put in. What an upstream sends back
//! is looked through for it, where that is asked for.

mod alias;
mod cookie;
mod error;
mod identity;
mod prepare;
mod prepared;
mod query;
mod reflect;
mod sign;
mod strip;
mod template;

pub use error::{Fault, PrepareError, TargetError, UnknownInjection};
pub use identity::{Identity, IdentityError};
pub use prepare::{Injection, Spot, prepare};
pub use prepared::{InjectionIndex, Prepared};
pub use reflect::{Form, Scanner, Sieve, Sifted, Watchlist};
pub use sign::{
    ChunkSigner, Known, Moment, SignError, Signer, Unsigned, Wants, encoded_length, http_date,
};
pub use strip::strip;
