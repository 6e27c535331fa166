//! From the validated configuration to the rooms: the one place that names every room.

mod gateway;
pub(crate) mod issuers;
mod minted;
mod oauth;
mod traffic;
pub(crate) mod vault_login;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use http::HeaderName;
use leasehold_broker::{Changes, CredentialSpec, Dismissal, Draft, FamilyLimits};
use leasehold_config::{Credential, Per, Provider, ProviderKind, Snapshot, Source, Upstream};
use leasehold_inject::{Injection, InjectionIndex, Prepared, Spot, Watchlist};
use leasehold_lease::Kind;
use leasehold_model::{Clock, CredentialName, InstanceName, IssuerName, ProviderName};
use leasehold_provider_native::NativeProvider;
use leasehold_provider_vault::VaultProvider;
use leasehold_proxy::{Gateway, GatewayError, Held};
use tracing::warn;

/// Why a valid configuration could not be put to work on this machine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ComposeError {
    #[error("set up provider {provider}")]
    Vault {
        provider: ProviderName,
        #[source]
        source: leasehold_provider_vault::SetupError,
    },
    #[error("set up provider {provider}")]
    Oauth {
        provider: ProviderName,
        #[source]
        source: leasehold_provider_oauth::SetupError,
    },
    #[error("provider {provider} asks with credential {credential}, which is not held")]
    Orphan {
        provider: ProviderName,
        credential: CredentialName,
    },
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
    #[error("set up what fetches the keys of token issuer {issuer}")]
    Issuer {
        issuer: IssuerName,
        #[source]
        source: leasehold_consumer::FetcherError,
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

/// What serves a configuration, and what it was made from.
pub(crate) struct Composition {
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) keys: issuers::AllKeys,
    providers: BTreeMap<ProviderName, DeclaredProvider>,
    holdings: BTreeMap<CredentialName, Arc<Holding>>,
}

struct DeclaredProvider {
    declared: Provider,
    provider: Arc<dyn leasehold_provider::Provider>,
    /// What it asks with, where that is a credential of its own.
    parent: Option<Arc<Holding>>,
}

/// A credential that is held, and what is made of each generation of it.
pub(crate) struct Holding {
    declared: Credential,
    injections: Vec<Injection>,
    /// What finds its generations in answers, where that is among the forms.
    watchlist: Watchlist,
    pub(crate) held: Held,
    /// What tells of a successor of the key that signs it, where that is a stored value.
    key: Option<leasehold_broker::Handle<Prepared>>,
}

/// A composition that nobody has been asked anything for yet.
pub(crate) struct Composed {
    pub(crate) composition: Composition,
    pub(crate) draft: Draft<Prepared>,
}

/// Puts the rooms together. Nothing is sent and nothing is listened on yet.
///
/// What the `former` composition holds is held on where its declaration has not changed.
pub(crate) fn compose(
    snapshot: &Snapshot,
    clock: &Arc<dyn Clock>,
    changes: &Changes<Prepared>,
    former: Option<&Composition>,
) -> Result<Composed, ComposeError> {
    let wanted = wanted(snapshot)?;
    let mut draft = changes.draft();
    let mut composing = Composing {
        former,
        draft: &mut draft,
        providers: BTreeMap::new(),
        holdings: BTreeMap::new(),
    };
    let (derived, first): (Vec<_>, Vec<_>) = snapshot
        .providers
        .iter()
        .partition(|it| matches!(it.kind, ProviderKind::Oauth(_)));
    // What is asked for with another credential comes after that.
    for provider in first.into_iter().chain(derived) {
        let asked = snapshot.credentials.iter();
        let asked = asked.filter(|it| it.provider == provider.name);
        let mut asked = asked.filter_map(|it| Some((it, wanted.get(&it.name)?)));
        // A provider that nobody needs is not logged in to.
        let Some(first) = asked.next() else { continue };
        composing.provider(provider, &snapshot.instance, clock)?;
        for (credential, injections) in std::iter::once(first).chain(asked) {
            composing.credential(credential, injections);
        }
    }
    for credential in &snapshot.credentials {
        if !wanted.contains_key(&credential.name) {
            warn!(credential = %credential.name, "no upstream uses this credential: not fetched");
        }
    }
    let Composing {
        providers,
        holdings,
        ..
    } = composing;
    let keys = issuers::keys(snapshot, former.map(|it| &it.keys), clock)?;
    let spec = gateway::gateway_spec(snapshot, &holdings, &keys)?;
    let gateway = match former {
        Some(former) => former.gateway.succeeded_by(spec)?,
        None => Gateway::new(spec)?,
    };
    let composition = Composition {
        gateway: Arc::new(gateway),
        keys,
        providers,
        holdings,
    };
    Ok(Composed { composition, draft })
}

impl Composition {
    /// Returns the holdings that `former` has not, by name.
    pub(crate) fn holds_beside<'a>(
        &'a self,
        former: &'a Self,
    ) -> impl Iterator<Item = (&'a CredentialName, &'a Holding)> {
        let is_new = |(name, holding): &(&CredentialName, &Arc<Holding>)| {
            let before = former.holdings.get(*name);
            before.is_none_or(|before| !Arc::ptr_eq(before, holding))
        };
        self.holdings
            .iter()
            .filter(is_new)
            .map(|(name, it)| (name, &**it))
    }

    /// Returns the holding of this name.
    pub(crate) fn holding(&self, name: &CredentialName) -> Option<&Holding> {
        self.holdings.get(name).map(AsRef::as_ref)
    }

    /// Returns the hold on each credential that requests of all consumers share.
    pub(crate) fn shared(
        &self,
    ) -> impl Iterator<Item = (&CredentialName, &leasehold_broker::Handle<Prepared>)> {
        self.holdings
            .iter()
            .filter_map(|(name, it)| match &it.held {
                Held::Shared(handle) => Some((name, handle)),
                Held::PerConsumer(_) => None,
            })
    }

    /// Returns how many credentials are held.
    pub(crate) fn len(&self) -> usize {
        self.holdings.len()
    }

    /// Returns what is not needed once `next` serves.
    pub(crate) fn dismissed_for(&self, next: &Self) -> Dismissal<Prepared> {
        let mut dismissal = Dismissal {
            handles: Vec::new(),
            families: Vec::new(),
            providers: Vec::new(),
        };
        for (_, holding) in self.holds_beside(next) {
            match &holding.held {
                Held::Shared(handle) => dismissal.handles.push(handle.clone()),
                Held::PerConsumer(family) => dismissal.families.push(family.clone()),
            }
            dismissal.handles.extend(holding.key.clone());
        }
        for (name, it) in &self.providers {
            let kept = next.providers.get(name);
            if kept.is_none_or(|kept| !Arc::ptr_eq(&kept.provider, &it.provider)) {
                dismissal.providers.push(Arc::clone(&it.provider));
            }
        }
        dismissal
    }
}

impl Holding {
    /// Returns the hold that all requests share, where it is not held for each consumer.
    const fn shared(&self) -> Option<&leasehold_broker::Handle<Prepared>> {
        match &self.held {
            Held::Shared(handle) => Some(handle),
            Held::PerConsumer(_) => None,
        }
    }

    /// Returns which of the forms that are made of each generation is this one.
    fn place(&self, wanted: &Injection) -> Option<InjectionIndex> {
        let place = self.injections.iter().position(|it| it == wanted);
        place.map(InjectionIndex)
    }

    /// Tells whether it can be held on as `declared`, with these forms made of it.
    ///
    /// The material of the generation in service is gone, so a form that it was not made into can only be
    /// had with another generation.
    fn serves(&self, declared: &Credential, wanted: &[Injection]) -> bool {
        // The field is part of the forms.
        let Credential {
            name,
            provider,
            source,
            field: _,
            // Who is shown it stands there: that was checked with the document.
            hosts: _,
            per,
        } = declared;
        let own = &self.declared;
        (name, provider, source, per) == (&own.name, &own.provider, &own.source, &own.per)
            && wanted.iter().all(|it| self.place(it).is_some())
    }
}

/// A composition on its way.
struct Composing<'a> {
    former: Option<&'a Composition>,
    draft: &'a mut Draft<Prepared>,
    providers: BTreeMap<ProviderName, DeclaredProvider>,
    holdings: BTreeMap<CredentialName, Arc<Holding>>,
}

impl Composing<'_> {
    fn provider(
        &mut self,
        declared: &Provider,
        instance: &InstanceName,
        clock: &Arc<dyn Clock>,
    ) -> Result<(), ComposeError> {
        let parent = oauth::parent(declared, &self.holdings)?;
        let former = self.former.and_then(|it| it.providers.get(&declared.name));
        let is_same = |it: &&DeclaredProvider| {
            // One that asks with what is held anew has to be asked anew.
            let (before, now) = (it.parent.as_ref(), parent.as_ref());
            it.declared == *declared && before.map(Arc::as_ptr) == now.map(Arc::as_ptr)
        };
        let provider = match former.filter(is_same) {
            Some(same) => Arc::clone(&same.provider),
            None => {
                let made = make_provider(declared, parent.as_deref(), instance, clock)?;
                let name = declared.name.clone();
                self.draft
                    .provider(name, Arc::clone(&made), anchored(declared));
                made
            }
        };
        let declared = declared.clone();
        self.providers.insert(
            declared.name.clone(),
            DeclaredProvider {
                declared,
                provider,
                parent,
            },
        );
        Ok(())
    }

    fn credential(&mut self, declared: &Credential, injections: &[Injection]) {
        let holding = self.kept(declared, injections).unwrap_or_else(|| {
            let watchlist = Watchlist::default();
            let key = minted::watch(declared, self.draft);
            let spec = credential_spec(declared, injections.to_vec(), watchlist.clone());
            Arc::new(Holding {
                declared: declared.clone(),
                injections: injections.to_vec(),
                held: self.declare(declared, spec, key.as_ref()),
                watchlist,
                key,
            })
        });
        self.holdings.insert(declared.name.clone(), holding);
    }

    /// Returns the holding of the former composition, where that goes on.
    fn kept(&self, declared: &Credential, injections: &[Injection]) -> Option<Arc<Holding>> {
        let former = self.former?;
        let holding = former.holdings.get(&declared.name)?;
        let provider = |of: &BTreeMap<_, DeclaredProvider>| {
            let declared = of.get(&declared.provider);
            declared.map(|it| Arc::clone(&it.provider))
        };
        let (before, now) = (provider(&former.providers)?, provider(&self.providers)?);
        let goes_on = Arc::ptr_eq(&before, &now) && holding.serves(declared, injections);
        goes_on.then(|| Arc::clone(holding))
    }

    fn declare(
        &mut self,
        credential: &Credential,
        spec: CredentialSpec<Prepared>,
        key: Option<&leasehold_broker::Handle<Prepared>>,
    ) -> Held {
        let provider = self.providers.get(&credential.provider);
        let parent = provider.and_then(|it| it.parent.as_ref());
        let parent = key.or_else(|| parent?.shared());
        match credential.per {
            Per::Instance => Held::Shared(match parent {
                Some(parent) => self.draft.derived(spec, parent),
                None => self.draft.credential(spec),
            }),
            Per::Consumer { cap, idle } => {
                let cap = cap.get();
                let limits = FamilyLimits { cap, idle };
                Held::PerConsumer(match parent {
                    Some(parent) => self.draft.derived_family(spec, limits, parent),
                    None => self.draft.family(spec, limits),
                })
            }
        }
    }
}

/// Returns, for each credential that is used, all that upstreams make of it.
fn wanted(snapshot: &Snapshot) -> Result<BTreeMap<CredentialName, Vec<Injection>>, ComposeError> {
    let mut wanted: BTreeMap<_, Vec<Injection>> = BTreeMap::new();
    let used = snapshot.upstreams.iter();
    let used = used.flat_map(|upstream| upstream.credentials.iter().map(move |it| (upstream, it)));
    for (upstream, used) in used {
        let injections = wanted.entry(used.credential.clone()).or_default();
        let shown = injection(&used.injection)?;
        let looked_for = is_looked_for(snapshot, upstream).then(|| looking_for(&shown));
        for injection in std::iter::once(shown).chain(looked_for) {
            if !injections.contains(&injection) {
                injections.push(injection);
            }
        }
    }
    oauth::want(snapshot, &mut wanted);
    Ok(wanted)
}

/// Tells whether answers of the upstream are looked through for its credential.
fn is_looked_for(snapshot: &Snapshot, upstream: &Upstream) -> bool {
    let mut routes = snapshot.routes.iter();
    routes.any(|route| {
        route.reflection != leasehold_config::Reflection::Off
            && route.target.upstreams().any(|name| *name == upstream.name)
    })
}

/// Returns the form of a credential in which it is looked for where it is shown like this.
fn looking_for(shown: &Injection) -> Injection {
    Injection::Reflection(vec![shown.clone()])
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
        leasehold_config::Injection::Rendered { spot, template } => Injection::Rendered {
            spot: match spot {
                leasehold_config::Spot::Header { name, prefix } => Spot::Header {
                    name: header_name(name)?,
                    prefix: prefix.clone(),
                },
                leasehold_config::Spot::Query(name) => Spot::Query(name.clone()),
                leasehold_config::Spot::Cookie(name) => Spot::Cookie(name.clone()),
            },
            template: template.clone(),
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
        leasehold_config::Injection::Signed(signing) => Injection::Signed(signing.clone()),
        leasehold_config::Injection::Basic { username, password } => Injection::Basic {
            username: username.clone(),
            password: password.clone(),
        },
    })
}

fn credential_spec(
    credential: &Credential,
    injections: Vec<Injection>,
    watchlist: Watchlist,
) -> CredentialSpec<Prepared> {
    let (source, kind) = source(&credential.source);
    CredentialSpec {
        name: credential.name.clone(),
        provider: credential.provider.clone(),
        source,
        kind,
        prepare: Box::new(move |material| {
            let prepared = leasehold_inject::prepare(&injections, material)?;
            prepared.scanners().for_each(|it| watchlist.add(it));
            Ok(prepared)
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
        Source::Token { form } => (
            leasehold_provider::Source::Token { form: form.clone() },
            // It has no lease either, and runs out by itself.
            Kind::Certificate,
        ),
        Source::Minted { key, terms } => (minted::source(key, terms), Kind::Certificate),
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
        ProviderKind::Native(_) | ProviderKind::Oauth(_) => false,
    }
}

fn make_provider(
    provider: &Provider,
    parent: Option<&Holding>,
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
            let (file, key_file, clock) = (&native.file, &native.key_file, Arc::clone(clock));
            Arc::new(NativeProvider::new(name, file, key_file, clock))
        }
        ProviderKind::Oauth(declared) => Arc::new(oauth::provider(name, declared, parent, clock)?),
    })
}

fn header_name(name: &str) -> Result<HeaderName, ComposeError> {
    HeaderName::from_bytes(name.as_bytes()).map_err(|source| ComposeError::HeaderName {
        name: name.to_owned(),
        source,
    })
}
