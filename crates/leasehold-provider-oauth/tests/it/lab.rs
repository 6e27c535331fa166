use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use leasehold_model::{GenerationNumber, Holder, ProviderName, SessionEpoch, SystemClock};
use leasehold_provider::{BoxFuture, Fetched, Material, Provider as _, ProviderError, Source};
use leasehold_provider_oauth::{Client, ClientId, Method, OauthConfig, OauthProvider, Parent};
use leasehold_secret::{Expose as _, Secret};

/// A parent that has one generation, or none.
#[derive(Debug)]
pub(crate) struct Held {
    client: Option<Arc<One>>,
    pub(crate) replaced: AtomicBool,
    pub(crate) refused: AtomicU64,
}

#[derive(Debug)]
struct One(Material);

impl Held {
    pub(crate) fn none() -> Arc<Self> {
        Arc::new(Self {
            client: None,
            replaced: AtomicBool::new(false),
            refused: AtomicU64::new(0),
        })
    }

    pub(crate) fn of(fields: &[(&str, &str)]) -> Arc<Self> {
        let mut material = Material::default();
        for (name, value) in fields {
            material.insert(*name, Secret::new(*value));
        }
        Arc::new(Self {
            client: Some(Arc::new(One(material))),
            replaced: AtomicBool::new(false),
            refused: AtomicU64::new(0),
        })
    }
}

impl Parent for Held {
    fn current(&self) -> BoxFuture<'_, Option<Arc<dyn Client>>> {
        let client = self.client.clone();
        Box::pin(std::future::ready(client.map(|it| it as Arc<dyn Client>)))
    }

    fn is_current(&self, number: GenerationNumber) -> bool {
        number == GenerationNumber::FIRST && !self.replaced.load(Ordering::Relaxed)
    }

    fn refused(&self, number: GenerationNumber) {
        self.refused.store(number.get(), Ordering::Relaxed);
    }
}

impl Client for One {
    fn number(&self) -> GenerationNumber {
        GenerationNumber::FIRST
    }

    fn material(&self) -> Option<&Material> {
        Some(&self.0)
    }
}

pub(crate) fn config(token_endpoint: &str, method: Method) -> Result<OauthConfig> {
    Ok(OauthConfig {
        name: ProviderName::from("idp"),
        token_endpoint: token_endpoint.parse()?,
        ca: None,
        default_life: Duration::from_secs(300),
        client_id: ClientId::Fixed("gateway".to_owned()),
        method,
    })
}

pub(crate) fn by_secret() -> Method {
    Method::SecretBasic {
        secret: "key".to_owned(),
    }
}

/// Asks for one token.
pub(crate) async fn ask(
    config: OauthConfig,
    parent: &Arc<Held>,
) -> Result<Result<Fetched, ProviderError>> {
    let parent = Arc::clone(parent) as Arc<dyn Parent>;
    let provider = OauthProvider::new(config, parent, Arc::new(SystemClock))?;
    provider.login(SessionEpoch::FIRST).await?;
    let form = vec![("scope".to_owned(), "a b".to_owned())];
    let source = Source::Token { form };
    let holder = Holder::Session(SessionEpoch::FIRST);
    Ok(provider.fetch(holder, &source).await)
}

/// Returns the value of a token.
pub(crate) fn value(fetched: &Fetched) -> Option<String> {
    let field = fetched.material.field("access_token")?;
    // EXPOSE: a test looks at its own value.
    Some(field.expose().as_str().ok()?.to_owned())
}
