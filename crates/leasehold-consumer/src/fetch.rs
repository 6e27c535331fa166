//! Fetches the keys of an issuer, again and again, off the data path.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leasehold_model::{Chain, Clock, IssuerName};
use reqwest::{Certificate, redirect, retry};
use tokio::io::AsyncReadExt;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use url::Url;

use crate::issuer::IssuerKeys;
use crate::jwks::{KeySet, KeySetError, MOST_BYTES};

/// Where the keys of an issuer are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a file, which may change.
    File(PathBuf),
    /// At a URL.
    Url {
        /// The URL.
        url: Url,
        /// A PEM file of the authorities to trust instead of the system's.
        ca: Option<PathBuf>,
    },
}

/// Why keys can't be fetched at all.
#[derive(Debug, thiserror::Error)]
pub enum FetcherError {
    /// The file of authorities can't be read.
    #[error("read the certificate authorities from {}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What came of it.
        #[source]
        source: std::io::Error,
    },
    /// The file of authorities holds none.
    #[error("there is no certificate authority in {}", path.display())]
    NoCa {
        /// The file.
        path: PathBuf,
    },
    /// The client can't be made.
    #[error("set up the client that fetches keys")]
    Client(#[source] reqwest::Error),
}

/// Fetches the keys of one issuer.
#[derive(Debug)]
pub struct KeyFetcher {
    issuer: IssuerName,
    source: Source,
    refresh: Duration,
    keys: Arc<IssuerKeys>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Url(reqwest::Client, Url),
}

#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("read the file")]
    File(#[source] std::io::Error),
    #[error("ask for the keys")]
    Ask(#[source] reqwest::Error),
    #[error("the answer has status {0}, and only 200 has keys")]
    Status(u16),
    #[error("the answer did not come in time")]
    Late,
    #[error(transparent)]
    Keys(#[from] KeySetError),
}

impl KeyFetcher {
    /// Makes ready to fetch keys from a source into `keys`, every `refresh` and when somebody asks.
    ///
    /// # Errors
    ///
    /// When authorities are named and can't be had.
    pub fn new(
        issuer: IssuerName,
        source: &KeySource,
        refresh: Duration,
        keys: Arc<IssuerKeys>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, FetcherError> {
        let source = match source {
            KeySource::File(path) => Source::File(path.clone()),
            KeySource::Url { url, ca } => Source::Url(client(url, ca.as_ref())?, url.clone()),
        };
        Ok(Self {
            issuer,
            source,
            refresh,
            keys,
            clock,
        })
    }

    /// Fetches for ever. What was fetched last stays until it is too old.
    pub async fn run(self) {
        let mut failures: u32 = 0;
        loop {
            let fetched = timeout(LONGEST, self.fetch()).await;
            match fetched.unwrap_or(Err(FetchError::Late)) {
                Ok(keys) => {
                    if failures > 0 {
                        info!(issuer = %self.issuer, keys = keys.len(), "keys fetched again");
                    }
                    failures = 0;
                    self.keys.publish(keys, self.clock.boot());
                }
                Err(error) => {
                    warn!(issuer = %self.issuer, error = %Chain(&error), "keys of the issuer can't be fetched");
                    failures = failures.saturating_add(1);
                    self.keys.attempted();
                }
            }
            let pause = match failures {
                0 => self.refresh,
                // 1, 2, 4 … seconds, and no longer than it would have been without failures.
                _ => FIRST_PAUSE
                    .saturating_mul(1 << (failures - 1).min(6))
                    .min(self.refresh),
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.keys.asked() => {}
            }
        }
    }

    async fn fetch(&self) -> Result<KeySet, FetchError> {
        let document = match &self.source {
            Source::File(path) => read(path).await.map_err(FetchError::File)?,
            Source::Url(client, url) => ask(client, url).await?,
        };
        Ok(KeySet::parse(&document)?)
    }
}

async fn read(path: &PathBuf) -> std::io::Result<Vec<u8>> {
    let file = tokio::fs::File::open(path).await?;
    let mut document = Vec::new();
    // One more than there may be, so that too large a file is told as such.
    let most = MOST_BYTES as u64 + 1;
    file.take(most).read_to_end(&mut document).await?;
    Ok(document)
}

async fn ask(client: &reqwest::Client, url: &Url) -> Result<Vec<u8>, FetchError> {
    let asked = client.get(url.clone()).send().await;
    let mut answer = asked.map_err(|it| FetchError::Ask(it.without_url()))?;
    let status = answer.status().as_u16();
    if status != 200 {
        return Err(FetchError::Status(status));
    }
    let mut document = Vec::new();
    while let Some(part) = answer
        .chunk()
        .await
        .map_err(|it| FetchError::Ask(it.without_url()))?
    {
        document.extend_from_slice(&part);
        if document.len() > MOST_BYTES {
            return Err(KeySetError::TooLarge.into());
        }
    }
    Ok(document)
}

fn client(url: &Url, ca: Option<&PathBuf>) -> Result<reqwest::Client, FetcherError> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("leasehold/", env!("CARGO_PKG_VERSION")))
        // Whoever can make the issuer redirect would choose the keys.
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .no_proxy()
        .http1_only()
        .connect_timeout(CONNECT)
        .pool_max_idle_per_host(0);
    match ca {
        Some(path) => builder = builder.tls_certs_only(authorities(path)?),
        // The system's authorities are not looked for where nothing would be checked by them.
        None if url.scheme() == "http" => builder = builder.tls_certs_only([]),
        None => {}
    }
    builder.build().map_err(FetcherError::Client)
}

fn authorities(path: &PathBuf) -> Result<Vec<Certificate>, FetcherError> {
    let pem = fs::read(path).map_err(|source| FetcherError::Ca {
        path: path.clone(),
        source,
    })?;
    let found = Certificate::from_pem_bundle(&pem).map_err(FetcherError::Client)?;
    if found.is_empty() {
        return Err(FetcherError::NoCa { path: path.clone() });
    }
    Ok(found)
}

const LONGEST: Duration = Duration::from_secs(10);
const CONNECT: Duration = Duration::from_secs(3);
const FIRST_PAUSE: Duration = Duration::from_secs(1);
