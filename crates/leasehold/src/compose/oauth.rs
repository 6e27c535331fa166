//! Providers that ask with a credential that another provider gave.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use leasehold_broker::{Generation, Handle};
use leasehold_config::{ClientId, ClientMethod, Oauth, Provider, ProviderKind, Snapshot};
use leasehold_inject::{Injection, InjectionIndex, Prepared};
use leasehold_model::{Clock, CredentialName, GenerationNumber, ProviderName};
use leasehold_provider::{BoxFuture, Material};
use leasehold_provider_oauth::{Client, Method, OauthConfig, OauthProvider, Parent};

use super::{ComposeError, Holding};

/// Adds what the providers of wanted credentials ask with.
pub(super) fn want(snapshot: &Snapshot, wanted: &mut BTreeMap<CredentialName, Vec<Injection>>) {
    for provider in &snapshot.providers {
        let ProviderKind::Oauth(oauth) = &provider.kind else {
            continue;
        };
        let mut asked = snapshot.credentials.iter();
        if asked.any(|it| it.provider == provider.name && wanted.contains_key(&it.name)) {
            let injections = wanted.entry(oauth.parent.clone()).or_default();
            let kept = kept(&config(&provider.name, oauth));
            if !injections.contains(&kept) {
                injections.push(kept);
            }
        }
    }
}

/// Returns what the provider asks with, where that is a credential of its own.
pub(super) fn parent(
    provider: &Provider,
    holdings: &BTreeMap<CredentialName, Arc<Holding>>,
) -> Result<Option<Arc<Holding>>, ComposeError> {
    let ProviderKind::Oauth(oauth) = &provider.kind else {
        return Ok(None);
    };
    let holding = holdings.get(&oauth.parent);
    holding.map(|it| Some(Arc::clone(it))).ok_or_else(|| {
        let credential = oauth.parent.clone();
        orphan(&provider.name, credential)
    })
}

pub(super) fn provider(
    name: ProviderName,
    declared: &Oauth,
    parent: Option<&Holding>,
    clock: &Arc<dyn Clock>,
) -> Result<OauthProvider, ComposeError> {
    let config = config(&name, declared);
    let held = parent.and_then(|it| Some((it.shared()?.clone(), it.place(&kept(&config))?)));
    let (handle, place) = held.ok_or_else(|| orphan(&name, declared.parent.clone()))?;
    let parent = HeldParent {
        handle,
        place,
        clock: Arc::clone(clock),
    };
    let made = OauthProvider::new(config, Arc::new(parent), Arc::clone(clock));
    made.map_err(|source| ComposeError::Oauth {
        provider: name,
        source,
    })
}

/// The form of the parent that a provider asks with.
fn kept(config: &OauthConfig) -> Injection {
    Injection::Kept(config.fields())
}

fn config(name: &ProviderName, declared: &Oauth) -> OauthConfig {
    let Oauth {
        token_endpoint,
        ca,
        default_life,
        parent: _,
        client_id,
        method,
    } = declared.clone();
    OauthConfig {
        name: name.clone(),
        token_endpoint,
        ca,
        default_life,
        client_id: match client_id {
            ClientId::Fixed(id) => leasehold_provider_oauth::ClientId::Fixed(id),
            ClientId::Field(field) => leasehold_provider_oauth::ClientId::Field(field),
        },
        method: match method {
            ClientMethod::SecretBasic { secret } => Method::SecretBasic { secret },
            ClientMethod::SecretPost { secret } => Method::SecretPost { secret },
            ClientMethod::PrivateKeyJwt { key, key_id } => Method::PrivateKeyJwt { key, key_id },
            ClientMethod::Tls {
                certificate,
                key,
                chain,
            } => Method::Tls {
                certificate,
                key,
                chain,
            },
        },
    }
}

fn orphan(provider: &ProviderName, credential: CredentialName) -> ComposeError {
    ComposeError::Orphan {
        provider: provider.clone(),
        credential,
    }
}

/// The parent, as the broker holds it.
#[derive(Debug)]
struct HeldParent {
    handle: Handle<Prepared>,
    place: InjectionIndex,
    clock: Arc<dyn Clock>,
}

/// A generation of it that is in use.
struct HeldClient {
    generation: Arc<Generation<Prepared>>,
    place: InjectionIndex,
}

impl Parent for HeldParent {
    fn current(&self) -> BoxFuture<'_, Option<Arc<dyn Client>>> {
        Box::pin(async {
            let generation = self.handle.acquired(PATIENCE).await.ok()?;
            let place = self.place;
            Some(Arc::new(HeldClient { generation, place }) as Arc<dyn Client>)
        })
    }

    fn is_current(&self, number: GenerationNumber) -> bool {
        let current = self.handle.current(self.clock.boot());
        current.is_ok_and(|it| it.number() == number)
    }

    fn refused(&self, number: GenerationNumber) {
        self.handle.doubt(number);
    }
}

impl Client for HeldClient {
    fn number(&self) -> GenerationNumber {
        self.generation.number()
    }

    fn material(&self) -> Option<&Material> {
        self.generation.prepared().kept(self.place)
    }
}

/// At the start parent and token are asked for at once; it is tried again later anyway.
const PATIENCE: Duration = Duration::from_secs(5);
