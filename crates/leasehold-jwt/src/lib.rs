//! JSON Web Tokens that the gateway has signed (RFC 7515, RFC 7519), and the keys that sign them.
//!
//! What a token says is put together here whoever signs it: a provider that keeps the key to itself is
//! handed the text and hands back a signature. Nothing here has a clock or a socket.

mod jwk;
mod key;
mod text;
mod token;

pub use jwk::{PublicKey, PublicKeyError};
pub use key::{KeyError, SigningKey};
pub use text::{TextError, text};
pub use token::{MintError, Unsigned, key_id};
