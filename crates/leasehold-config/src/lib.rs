//! The configuration document: as written, then validated, with diagnostics.
//!
//! [`read`] and [`load()`] go from text to a [`Snapshot`] in one step that either succeeds or reports
//! every fault at once. On the way the text becomes a tree in which each node knows its place
//! (`yaml`), the tree is held against the schema (`decode`), which is made from the types that the
//! document is then read into (`document`), and these become the snapshot (`validate`).
//!
//! A report shows lines of the document. Whatever in them is or may be a secret is masked, and no
//! message repeats a value (`secret_scan`, `mask`).

mod code;
mod decode;
mod document;
mod fault;
mod load;
mod mask;
mod node;
mod report;
mod schema;
mod secret_scan;
mod snapshot;
mod validate;
mod words;
mod yaml;

pub use code::Code;
pub use fault::{Fault, Faults};
pub use load::{LoadError, load, read};
pub use schema::schema;
pub use snapshot::auth::{AuthMethod, AwsCredentials, SecretId, TokenFile};
pub use snapshot::bound::BoundHost;
pub use snapshot::consumer::{Consumer, ConsumerCertificate, ConsumerToken};
pub use snapshot::issuer::{IdentityHeaders, Jwks, JwksSource, TokenIssuer};
pub use snapshot::limit::{ConcurrencyLimit, LimitPer, RateLimit};
pub use snapshot::listener::{
    CertificateFiles, ClientTls, Limits, Listener, ListenerAddress, ListenerTls,
};
pub use snapshot::oauth::{ClientId, ClientMethod, Oauth};
pub use snapshot::route::cors::{Cors, Origins};
pub use snapshot::route::edit::{HeaderEdits, HostRewrite, Rewrite};
pub use snapshot::route::matching::{HeaderTest, HostMatch, Match, PathMatch, PathPolicy};
pub use snapshot::route::retry::{Retry, RouteLimits, RouteTimeouts};
pub use snapshot::route::target::{Mirror, Redirect, Target};
pub use snapshot::route::{Admission, Reflection, Route, WebSocket};
pub use snapshot::telemetry::Telemetry;
pub use snapshot::upstream::{
    CredentialUse, Injection, Selector, Spot, Suspect, Timeouts, Upstream,
};
pub use snapshot::upstream_traffic::{
    Balance, ClientFiles, HealthCheck, HostPolicy, KeepAlive, Outlier, Protocol, Traffic,
    UpstreamLimits, UpstreamTls,
};
pub use snapshot::{
    AccessRecord, Admin, Anchor, Credential, Ledger, Native, Per, Provider, ProviderKind,
    RecordTarget, Shutdown, Snapshot, Source, Vault, Workers,
};
