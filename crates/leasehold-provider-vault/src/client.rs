use std::error::Error;
use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Certificate, Method, Response, StatusCode, redirect, retry};
use url::Url;
use zeroize::Zeroizing;

use crate::addresses::Addresses;
use crate::body::{self, BodyError};
use crate::call::Call;
use crate::classify;
use crate::config::{SetupError, VaultConfig};
use crate::envelope;

/// Sends calls to the nodes of one cluster.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    addresses: Addresses,
}

impl Client {
    pub(crate) fn new(config: &VaultConfig) -> Result<Self, SetupError> {
        let addresses = Addresses::new(config.addresses.clone())?;
        let builder = reqwest::Client::builder()
            .default_headers(headers(config.namespace.as_deref())?)
            .user_agent(concat!("leasehold/", env!("CARGO_PKG_VERSION")))
            // A redirect is followed by hand, and only to a configured address: a client that
            // follows by itself takes the token along.
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .http1_only()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .pool_max_idle_per_host(POOL_MAX_IDLE);
        let builder = match &config.ca {
            Some(path) => builder.tls_certs_only(authorities(path)?),
            // The system's authorities are not looked for where nothing would be checked by them.
            None if !addresses.any_tls() => builder.tls_certs_only([]),
            None => builder,
        };
        let http = builder
            .build()
            .map_err(|source| SetupError::Http { source })?;
        Ok(Self { http, addresses })
    }

    /// Sends a call and returns the first answer of a node that serves.
    ///
    /// Goes on to the next address only where the call was certainly not carried out: no connection
    /// could be made, or the node said that it cannot serve.
    pub(crate) async fn send(
        &self,
        call: &Call,
        token: Option<&HeaderValue>,
    ) -> Result<Answer, NoAnswer> {
        let mut round = self.addresses.round();
        while let Some(address) = round.next() {
            let response = match self.request(address, call, token).send().await {
                Ok(response) => response,
                Err(error) if error.is_connect() || error.is_builder() => {
                    round.pass_over(&root_cause(&error));
                    continue;
                }
                Err(error) => return Err(NoAnswer::Lost(error.without_url())),
            };
            if response.status() == StatusCode::TEMPORARY_REDIRECT {
                round.redirect(location(&response).as_ref());
                continue;
            }
            let answer = Answer::read(response).await?;
            let Some(reason) = answer.cannot_serve() else {
                if round.served() {
                    let passed_over = round.reasons();
                    tracing::info!(%address, passed_over, "another address serves from now on");
                }
                return Ok(answer);
            };
            round.pass_over(&format!("says: {reason}"));
        }
        Err(NoAnswer::NotServed(round.reasons()))
    }

    fn request(
        &self,
        address: &Url,
        call: &Call,
        token: Option<&HeaderValue>,
    ) -> reqwest::RequestBuilder {
        let mut url = address.clone();
        url.set_path(&format!("/v1/{}", call.path.encoded()));
        let method = if call.body.is_some() {
            Method::POST
        } else {
            Method::GET
        };
        let mut request = self.http.request(method, url);
        request = request.timeout(call.operation.timeout());
        if let Some(token) = token {
            request = request.header(TOKEN, token);
        }
        // An id that no header can hold is told by the body alone.
        if let Some(lease) = call.lease().and_then(|it| HeaderValue::from_str(it).ok()) {
            request = request.header(LEASE, lease);
        }
        match &call.body {
            Some(body) => request.body(body.clone()),
            None => request,
        }
    }
}

/// What a node answered, whatever it means.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Zeroizing<Vec<u8>>,
}

impl Answer {
    async fn read(response: Response) -> Result<Self, NoAnswer> {
        Ok(Self {
            status: response.status(),
            retry_after: retry_after(response.headers()),
            body: body::read(response).await?,
        })
    }

    /// Returns the node's words where they say that it carried nothing out.
    fn cannot_serve(&self) -> Option<&'static str> {
        if !self.status.is_server_error() {
            return None;
        }
        classify::cannot_serve(&envelope::errors(&self.body))
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// No node carried the call out.
    #[error("no address could serve: {0}")]
    NotServed(String),
    /// A node may have carried the call out, and its answer did not arrive.
    #[error("no answer")]
    Lost(#[source] reqwest::Error),
    /// A node has carried the call out, and its answer is of no use.
    #[error("the answer could not be read")]
    Unreadable(#[from] BodyError),
}

fn headers(namespace: Option<&str>) -> Result<HeaderMap, SetupError> {
    let mut headers = HeaderMap::new();
    // An agent that stands in between refuses a request without it.
    headers.insert(REQUEST, HeaderValue::from_static("true"));
    if let Some(namespace) = namespace {
        let value = HeaderValue::from_str(namespace).map_err(|_invalid| SetupError::Namespace {
            namespace: namespace.to_owned(),
        })?;
        headers.insert(NAMESPACE, value);
    }
    Ok(headers)
}

fn authorities(path: &Path) -> Result<Vec<Certificate>, SetupError> {
    let pem = fs::read(path).map_err(|source| SetupError::Ca {
        path: path.to_path_buf(),
        source,
    })?;
    let found = Certificate::from_pem_bundle(&pem).map_err(|source| SetupError::Http { source })?;
    if found.is_empty() {
        return Err(SetupError::CaEmpty {
            path: path.to_path_buf(),
        });
    }
    Ok(found)
}

fn location(response: &Response) -> Option<Url> {
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    response.url().join(location).ok()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    seconds.parse().ok().map(Duration::from_secs)
}

/// Returns the innermost cause, which tells more than the layers around it.
fn root_cause(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");
const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Names the lease of a call. The audit log has it in clear where the server is told to audit it, and
/// the id in the body only as a hash.
pub(crate) const LEASE: HeaderName = HeaderName::from_static("x-leasehold-lease");
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Well below the five minutes after which the server closes an idle connection: a call sent on a
/// connection as it closes is a call whose answer is lost.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const POOL_MAX_IDLE: usize = 16;
