pub(crate) mod auth;
pub(crate) mod bound;
pub(crate) mod consumer;
pub(crate) mod issuer;
pub(crate) mod limit;
pub(crate) mod listener;
pub(crate) mod oauth;
pub(crate) mod route;
pub(crate) mod telemetry;
pub(crate) mod upstream;
pub(crate) mod upstream_traffic;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::{CredentialName, InstanceName, JwtKey, JwtTerms, ProviderName};
use url::Url;

use auth::AuthMethod;
use bound::BoundHost;
use consumer::Consumer;
use issuer::{IdentityHeaders, TokenIssuer};
use limit::{ConcurrencyLimit, RateLimit};
use listener::Listener;
use oauth::Oauth;
use route::Route;
use route::matching::PathPolicy;
use telemetry::Telemetry;
use upstream::Upstream;

/// A configuration without faults: every reference leads somewhere and every default is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The name of this gateway process.
    pub instance: InstanceName,
    /// How many runtimes serve requests.
    pub workers: Workers,
    /// Where requests are accepted; at least one.
    pub listeners: Vec<Listener>,
    /// The admin listener.
    pub admin: Admin,
    /// Where access records go.
    pub access_record: AccessRecord,
    /// Where traces and logs are sent, where they are.
    pub telemetry: Option<Telemetry>,
    /// Where the leases that are held are written down, where they are.
    pub ledger: Option<Ledger>,
    /// How long the parts of a shutdown may take.
    pub shutdown: Shutdown,
    /// The header that carries the consumer key, in small letters.
    pub consumer_key_header: String,
    /// Whose tokens tell who calls.
    pub token_issuers: Vec<TokenIssuer>,
    /// The headers in which upstreams are told who calls.
    pub identity_headers: IdentityHeaders,
    /// The systems that keep or issue credentials.
    pub providers: Vec<Provider>,
    /// What upstreams are shown.
    pub credentials: Vec<Credential>,
    /// Where requests go.
    pub upstreams: Vec<Upstream>,
    /// Who may call.
    pub consumers: Vec<Consumer>,
    /// How many requests may come in a time.
    pub rate_limits: Vec<RateLimit>,
    /// How many requests may be under way at a time.
    pub concurrency_limits: Vec<ConcurrencyLimit>,
    /// What is done about paths that two servers may read differently.
    pub path_policy: PathPolicy,
    /// Which requests go where; at least one. No two take exactly the same.
    pub routes: Vec<Route>,
}

impl Snapshot {
    /// Returns the headers in which callers say who they are.
    pub(crate) fn shown_in(&self) -> impl Iterator<Item = &str> {
        let issuers = self.token_issuers.iter().map(|it| it.header.as_str());
        std::iter::once(self.consumer_key_header.as_str()).chain(issuers)
    }

    /// Returns the headers in which upstreams are shown credentials.
    pub(crate) fn credentials_in(&self) -> impl Iterator<Item = &str> {
        let used = self.upstreams.iter().flat_map(|it| &it.credentials);
        used.flat_map(|it| it.injection.headers())
    }
}

/// How many runtimes serve requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One for each core of the machine.
    PerCore,
    /// This many.
    Count(NonZeroUsize),
}

/// The admin listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Its address; with port 0, the system chooses one.
    pub address: SocketAddr,
    /// The Unix socket for the operator's commands, where there is one.
    pub socket: Option<PathBuf>,
}

/// The durable list of the leases that are held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    /// The file that it is kept in.
    pub file: PathBuf,
}

/// Where access records go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessRecord {
    /// The stream that lines are appended to.
    pub to: RecordTarget,
}

/// The stream that access records are appended to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordTarget {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
    /// A syslog server at a Unix socket.
    SyslogUnix(PathBuf),
    /// A syslog server at a host and port.
    SyslogTcp(String),
}

/// How long the parts of a shutdown may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// For requests in flight.
    pub drain: Duration,
    /// For giving leases back.
    pub revoke: Duration,
}

/// A system that keeps or issues credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its name.
    pub name: ProviderName,
    /// What it is and how it is reached.
    pub kind: ProviderKind,
}

/// What a provider is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderKind {
    /// HashiCorp Vault or OpenBao.
    Vault(Vault),
    /// The encrypted file of this machine.
    Native(Native),
    /// An OAuth 2.0 authorization server.
    Oauth(Oauth),
}

/// How a Vault or OpenBao cluster is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vault {
    /// The addresses of its nodes, at least one, in the order of the document.
    pub addresses: Vec<Url>,
    /// The namespace that every call is made in.
    pub namespace: Option<String>,
    /// A PEM file of the authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// How to log in.
    pub auth: AuthMethod,
    /// What leases hang on, where it is not the login.
    pub anchor: Option<Anchor>,
}

/// How anchors are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The token role that they are made through.
    pub token_role: String,
}

/// Where the native provider keeps its credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Native {
    /// The encrypted file.
    pub file: PathBuf,
    /// The file with its key.
    pub key_file: PathBuf,
}

/// What an upstream is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Its name.
    pub name: CredentialName,
    /// The provider that it comes from.
    pub provider: ProviderName,
    /// What to ask the provider for.
    pub source: Source,
    /// The field that a header shows where its injection names none.
    pub field: Option<String>,
    /// For whom it is issued. Where it is for each consumer, it is issued and no route that uses it
    /// is open to everybody.
    pub per: Per,
    /// The hosts that it may be sent to; any where there are none.
    pub hosts: Vec<BoundHost>,
}

/// For whom a credential is issued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// One for all of this instance.
    Instance,
    /// One for each consumer.
    Consumer {
        /// How many consumers may have one at a time.
        cap: NonZeroUsize,
        /// After how long without a request a consumer's own is given back.
        idle: Duration,
    },
}

/// What to ask a provider for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A path whose answer comes with a lease.
    Leased {
        /// The path, mount included.
        path: String,
        /// What to ask with; empty where the path is merely read.
        parameters: BTreeMap<String, String>,
    },
    /// A stored value whose versions the provider counts.
    Versioned {
        /// The mount; empty at the native provider, which has none.
        mount: String,
        /// The path below the mount.
        path: String,
        /// How often to look for a new version.
        poll: Duration,
        /// How long a value may be used after the provider last confirmed it.
        max_stale: Duration,
    },
    /// An account whose password the provider changes.
    Rotating {
        /// The path, mount included.
        path: String,
        /// How long a password may be used after it was due to change.
        max_stale: Duration,
    },
    /// A certificate without a lease, for a key that is made in memory.
    Certificate {
        /// The path that signs, mount included.
        path: String,
        /// What to ask with.
        parameters: BTreeMap<String, String>,
    },
    /// A stored value without versions.
    Hinted {
        /// The path, mount included.
        path: String,
        /// How often to read it.
        poll: Duration,
        /// How long a value may be used after the provider last confirmed it.
        max_stale: Duration,
    },
    /// An access token.
    Token {
        /// What is asked for, in order, as the form of the request has it.
        form: Vec<(String, String)>,
    },
    /// A JWT that is signed.
    Minted {
        /// What signs it.
        key: JwtKey,
        /// What it says. It names the consumer only where each has one of its own.
        terms: Arc<JwtTerms>,
    },
}
