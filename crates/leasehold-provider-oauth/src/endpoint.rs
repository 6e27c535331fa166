//! One call of a token endpoint.

use std::fs;
use std::time::Duration;

use bytes::Bytes;
use leasehold_model::RequestId;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Identity, Response, StatusCode, redirect, retry};
use url::Url;
use zeroize::Zeroizing;

use crate::config::{OauthConfig, SetupError};
use crate::proof::Proof;

/// Sends requests to one address and to no other.
#[derive(Debug)]
pub(crate) struct Endpoint {
    url: Url,
    /// For proofs that are no certificate; the others have connections of their own.
    http: reqwest::Client,
    /// The authorities to trust; those of the system where there are none.
    authorities: Option<Vec<Certificate>>,
}

/// What was answered, whatever it means.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) request_id: Option<RequestId>,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    #[error("the certificate can't be used")]
    Unusable(#[source] reqwest::Error),
    /// Nothing was sent.
    #[error("no connection")]
    NoConnection(#[source] reqwest::Error),
    /// It may have been carried out.
    #[error("no answer")]
    Lost(#[source] reqwest::Error),
    #[error("the answer is larger than {LARGEST} bytes")]
    TooLarge,
}

impl Endpoint {
    pub(crate) fn new(config: &OauthConfig) -> Result<Self, SetupError> {
        let authorities = authorities(config)?;
        let http = client(authorities.as_deref(), None);
        Ok(Self {
            url: config.token_endpoint.clone(),
            http: http.map_err(|source| SetupError::Http { source })?,
            authorities,
        })
    }

    pub(crate) async fn post(&self, form: Bytes, proof: Proof) -> Result<Answer, NoAnswer> {
        let Proof {
            authorization,
            identity,
        } = proof;
        // A connection that was opened with one certificate must not serve the next one's calls.
        let http = match identity {
            None => self.http.clone(),
            Some(identity) => client(self.authorities.as_deref(), Some(identity))
                .map_err(|error| NoAnswer::Unusable(error.without_url()))?,
        };
        let mut request = http.post(self.url.clone());
        request = request
            .header(CONTENT_TYPE, FORM)
            .header(ACCEPT, JSON)
            .timeout(LONGEST)
            .body(form);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let response = request.send().await.map_err(|error| {
            let not_sent = error.is_connect() || error.is_builder();
            let error = error.without_url();
            if not_sent {
                NoAnswer::NoConnection(error)
            } else {
                NoAnswer::Lost(error)
            }
        })?;
        Answer::read(response).await
    }
}

impl Answer {
    async fn read(response: Response) -> Result<Self, NoAnswer> {
        Ok(Self {
            status: response.status(),
            retry_after: retry_after(response.headers()),
            request_id: request_id(response.headers()),
            body: body(response).await?,
        })
    }
}

/// Reads the body into a buffer that is as large as a body may be, so that it never moves.
async fn body(mut response: Response) -> Result<Zeroizing<Vec<u8>>, NoAnswer> {
    let mut body = Zeroizing::new(Vec::with_capacity(LARGEST));
    loop {
        let chunk = response.chunk().await;
        let Some(chunk) = chunk.map_err(|error| NoAnswer::Lost(error.without_url()))? else {
            return Ok(body);
        };
        if chunk.len() > LARGEST - body.len() {
            return Err(NoAnswer::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
}

fn client(
    authorities: Option<&[Certificate]>,
    identity: Option<Identity>,
) -> Result<reqwest::Client, reqwest::Error> {
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("leasehold/", env!("CARGO_PKG_VERSION")))
        // What proves the client goes nowhere that is not configured.
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .no_proxy()
        .http1_only()
        .connect_timeout(LONGEST_CONNECT)
        // Well below what servers close idle connections after: a request that meets the closing of
        // its connection has no answer.
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(1);
    if let Some(authorities) = authorities {
        builder = builder.tls_certs_only(authorities.to_vec());
    }
    if let Some(identity) = identity {
        builder = builder.identity(identity);
    }
    builder.build()
}

fn authorities(config: &OauthConfig) -> Result<Option<Vec<Certificate>>, SetupError> {
    let Some(path) = &config.ca else {
        // The system's authorities are not looked for where nothing would be checked by them.
        let unchecked = config.token_endpoint.scheme() == "http";
        return Ok(unchecked.then(Vec::new));
    };
    let pem = fs::read(path).map_err(|source| SetupError::Ca {
        path: path.clone(),
        source,
    })?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|source| SetupError::Http { source })?;
    if found.is_empty() {
        return Err(SetupError::CaEmpty { path: path.clone() });
    }
    Ok(Some(found))
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let seconds: u64 = seconds.parse().ok()?;
    Some(Duration::from_secs(seconds.min(LONGEST_WAIT)))
}

/// Returns the server's own id of the call, where it looks like one.
fn request_id(headers: &HeaderMap) -> Option<RequestId> {
    let id = headers.get("x-request-id")?.to_str().ok()?;
    let fits = |each: u8| each.is_ascii_alphanumeric() || b"-_.:".contains(&each);
    let is_one = !id.is_empty() && id.len() <= LONGEST_ID && id.bytes().all(fits);
    is_one.then(|| RequestId::from(id))
}

const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const LARGEST: usize = 64 * 1024;
const LONGEST: Duration = Duration::from_secs(15);
const LONGEST_CONNECT: Duration = Duration::from_secs(3);
const IDLE: Duration = Duration::from_secs(3);
/// An hour: a server that asks for more is asked once an hour.
const LONGEST_WAIT: u64 = 60 * 60;
const LONGEST_ID: usize = 64;
