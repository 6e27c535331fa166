//! HashiCorp Vault and OpenBao as a provider.
//!
//! A thin client of our own stands between [`VaultProvider`] and the server, because what typed
//! clients drop is what the lease engine lives on: `request_id`, `lease_id`, `lease_duration` and
//! `warnings`. Nothing here retries, waits or spawns; one call may go on to the next configured
//! address, and only where the first certainly did not carry it out.

mod addresses;
mod anchor;
mod answer;
mod body;
mod call;
mod classify;
mod client;
mod config;
mod doctor;
mod envelope;
mod index;
mod login;
mod path;
mod provider;
mod refusal;
mod said;
mod session;
mod source;

pub use config::auth::{
    AppRole, AuthMethod, AwsCredentials, AwsIam, ClientCertificate, SecretId, TokenFile,
};
pub use config::{SetupError, VaultConfig};
pub use doctor::{Examination, Finding, Report, Severity, examine};
pub use provider::VaultProvider;
