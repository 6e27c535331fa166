//! Access tokens from an OAuth 2.0 token endpoint, by the client credentials grant (RFC 6749,
//! section 4.4).
//!
//! What the gateway proves to be the client with is a credential of its own, held on lease from
//! another provider: its *parent*. Nothing here retries, schedules or spawns; a token that was asked
//! for with a generation of the parent that has been replaced meanwhile is not given out.

mod answer;
mod client;
mod config;
mod endpoint;
mod form;
mod proof;
mod provider;
mod refusal;

pub use client::{Client, Parent};
pub use config::{ClientId, Method, OauthConfig, SetupError};
pub use provider::OauthProvider;
