//! From the validated configuration to the rooms: the one place that names every room.

mod gateway;
mod traffic;
pub(crate) mod vault_login;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderName;
use leasehold_broker::{Broker, BrokerMetrics, CredentialSpec, FamilyLimits, UnknownProvider};
use leasehold_config::{Credential, Per, Provider, ProviderKind, Snapshot, Source, Upstream};
use leasehold_inject::{Injection, InjectionIndex, Prepared};
use leasehold_lease::Kind;
use leasehold_model::{Clock, CredentialName, InstanceName, ProviderName};
use leasehold_provider::FingerprintKey;
use leasehold_provider_native::NativeProvider;
use leasehold_provider_vault::VaultProvider;
use leasehold_proxy::{Gateway, GatewayError, Held};
use prometheus_client::registry::Registry;
use tracing::warn;

/// Why a valid configuration could not be put to work on this machine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ComposeError {
    #[error("draw the fingerprint key from the system's random source")]
    Random(#[source] leasehold_provider::RandomError),
    #[error("set up provider {provider}")]
    Vault {
        provider: ProviderName,
        #[source]
        source: leasehold_provider_vault::SetupError,
    },
    #[error("declare a credential")]
    Credential(#[from] UnknownProvider),
    #[error("read the certificate authorities of upstream {upstream} from {}", path.display())]
    Ca {
        upstream: String,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("upstream {upstream} names credential {credential}, which is not declared")]
    Unresolved {
        upstream: String,
        credential: CredentialName,
    },
    #[error("{0:?} can't stand in a header as a host")]
    Host(String),
    #[error("{name:?} is not a header name")]
    HeaderName {
        name: String,
        #[source]
        source: http::header::InvalidHeaderName,
    },
    #[error("a {what} of a route is not well formed")]
    Route { what: &'static str },
    #[error("set up the data plane")]
    Gateway(#[from] GatewayError),
}

/// What serves a configuration.
pub(crate) struct Composed {
    pub(crate) broker: Broker<Prepared>,
    pub(crate) gateway: Gateway,
}

/// Puts the rooms together. Nothing is sent and nothing is listened on yet.
pub(crate) fn compose(
    snapshot: &Snapshot,
    clock: &Arc<dyn Clock>,
    registry: &mut Registry,
) -> Result<Composed, ComposeError> {
    let fingerprints = FingerprintKey::generate().map_err(ComposeError::Random)?;
    let metrics = BrokerMetrics::register(registry);
    let mut broker = Broker::new(Arc::clone(clock), fingerprints, metrics);
    let mut uses = Uses::of(&snapshot.upstreams)?;
    let used = |credential: &&Credential| uses.injections.contains_key(&credential.name);
    let asked: BTreeSet<_> = snapshot
        .credentials
        .iter()
        .filter(used)
        .map(|credential| &credential.provider)
        .collect();
    // A provider that nobody needs is not logged in to.
    for provider in snapshot
        .providers
        .iter()
        .filter(|it| asked.contains(&it.name))
    {
        let made = make_provider(provider, &snapshot.instance, clock)?;
        broker.provider(provider.name.clone(), made, anchored(provider));
    }
    let mut holds = BTreeMap::new();
    for credential in &snapshot.credentials {
        let Some(injections) = uses.injections.remove(&credential.name) else {
            warn!(credential = %credential.name, "no upstream uses this credential: not fetched");
            continue;
        };
        let held = declare(&mut broker, credential, injections)?;
        holds.insert(credential.name.clone(), held);
    }
    let gateway = Gateway::new(gateway::gateway_spec(snapshot, &holds, &uses.places)?)?;
    Ok(Composed { broker, gateway })
}

/// How upstreams use credentials: for each credential what is made of it, and for each upstream
/// which of those is its own.
#[derive(Default)]
struct Uses {
    injections: BTreeMap<CredentialName, Vec<Injection>>,
    places: BTreeMap<leasehold_model::UpstreamName, InjectionIndex>,
}

impl Uses {
    fn of(upstreams: &[Upstream]) -> Result<Self, ComposeError> {
        let mut uses = Self::default();
        for upstream in upstreams {
            let Some(used) = &upstream.credential else {
                continue;
            };
            let injections = uses.injections.entry(used.credential.clone()).or_default();
            uses.places
                .insert(upstream.name.clone(), InjectionIndex(injections.len()));
            injections.push(injection(&used.injection)?);
        }
        Ok(uses)
    }
}

fn injection(declared: &leasehold_config::Injection) -> Result<Injection, ComposeError> {
    Ok(match declared {
        leasehold_config::Injection::Header {
            name,
            prefix,
            field,
        } => Injection::Header {
            name: header_name(name)?,
            prefix: prefix.clone(),
            field: field.clone(),
        },
        leasehold_config::Injection::ClientCertificate {
            certificate,
            key,
            chain,
        } => Injection::ClientCertificate {
            certificate: certificate.clone(),
            key: key.clone(),
            chain: chain.clone(),
        },
        leasehold_config::Injection::Basic { username, password } => Injection::Basic {
            username: username.clone(),
            password: password.clone(),
        },
    })
}

fn declare(
    broker: &mut Broker<Prepared>,
    credential: &Credential,
    injections: Vec<Injection>,
) -> Result<Held, UnknownProvider> {
    let spec = credential_spec(credential, injections);
    Ok(match credential.per {
        Per::Instance => Held::Shared(broker.credential(spec)?),
        Per::Consumer { cap, idle } => {
            let cap = cap.get();
            Held::PerConsumer(broker.family(spec, FamilyLimits { cap, idle })?)
        }
    })
}

fn credential_spec(
    credential: &Credential,
    injections: Vec<Injection>,
) -> CredentialSpec<Prepared> {
    let (source, kind) = source(&credential.source);
    CredentialSpec {
        name: credential.name.clone(),
        provider: credential.provider.clone(),
        source,
        kind,
        prepare: Box::new(move |material| {
            leasehold_inject::prepare(&injections, material).map_err(Into::into)
        }),
    }
}

/// What the provider is asked for, and by what rules it ages.
pub(crate) fn source(declared: &Source) -> (leasehold_provider::Source, Kind) {
    match declared {
        Source::Leased { path, parameters } => (
            leasehold_provider::Source::Leased {
                path: path.clone(),
                parameters: parameters.clone(),
            },
            Kind::Leased,
        ),
        Source::Certificate { path, parameters } => (
            leasehold_provider::Source::Certificate {
                path: path.clone(),
                parameters: parameters.clone(),
            },
            Kind::Certificate,
        ),
        Source::Rotating { path, max_stale } => (
            leasehold_provider::Source::Rotating { path: path.clone() },
            Kind::Rotating {
                max_stale: *max_stale,
            },
        ),
        Source::Hinted {
            path,
            poll,
            max_stale,
        } => (
            leasehold_provider::Source::Hinted { path: path.clone() },
            Kind::Hinted {
                poll: *poll,
                max_stale: *max_stale,
            },
        ),
        Source::Versioned {
            mount,
            path,
            poll,
            max_stale,
        } => (
            leasehold_provider::Source::Versioned {
                mount: mount.clone(),
                path: path.clone(),
            },
            Kind::Versioned {
                poll: *poll,
                max_stale: *max_stale,
            },
        ),
    }
}

/// Tells whether leases of the provider are to hang on anchors.
const fn anchored(provider: &Provider) -> bool {
    match &provider.kind {
        ProviderKind::Vault(vault) => vault.anchor.is_some(),
        ProviderKind::Native(_) => false,
    }
}

fn make_provider(
    provider: &Provider,
    instance: &InstanceName,
    clock: &Arc<dyn Clock>,
) -> Result<Arc<dyn leasehold_provider::Provider>, ComposeError> {
    let name = provider.name.clone();
    Ok(match &provider.kind {
        ProviderKind::Vault(vault) => {
            let config = vault_login::config(&name, instance, vault);
            let vault = VaultProvider::new(&config, Arc::clone(clock));
            let vault = vault.map_err(|source| ComposeError::Vault {
                provider: name,
                source,
            })?;
            Arc::new(vault)
        }
        ProviderKind::Native(native) => {
            Arc::new(NativeProvider::new(name, &native.file, &native.key_file))
        }
    })
}

fn header_name(name: &str) -> Result<HeaderName, ComposeError> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|source| ComposeError::HeaderName {
        name: name.to_owned(),
        source,
    })
}
