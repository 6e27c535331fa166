use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use leasehold_provider::ProviderError;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Certificate, Identity, Method, Response, StatusCode, redirect, retry};
use url::Url;
use zeroize::Zeroizing;

use crate::addresses::Addresses;
use crate::body::{self, BodyError};
use crate::call::Call;
use crate::classify;
use crate::config::{SetupError, VaultConfig};
use crate::envelope;
use crate::index::{INDEX, LatestIndex};
use crate::refusal::{refused, unanswered};

/// Sends calls to the nodes of one cluster.
#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    addresses: Arc<Addresses>,
    index: Arc<LatestIndex>,
    settings: Settings,
}

impl Client {
    pub(crate) fn new(config: &VaultConfig) -> Result<Self, SetupError> {
        let addresses = Addresses::new(config.addresses.clone())?;
        let settings = Settings::of(config, &addresses)?;
        let http = settings.client(None);
        Ok(Self {
            http: http.map_err(|source| SetupError::Http { source })?,
            addresses: Arc::new(addresses),
            index: Arc::default(),
            settings,
        })
    }

    /// Returns a client with connections of its own, on each of which it shows the certificate.
    pub(crate) fn presenting(&self, identity: Identity) -> Result<Self, reqwest::Error> {
        Ok(Self {
            http: self.settings.client(Some(identity))?,
            addresses: Arc::clone(&self.addresses),
            index: Arc::clone(&self.index),
            settings: self.settings.clone(),
        })
    }

    /// Makes a call; whatever is not a success is an error.
    pub(crate) async fn exchange(
        &self,
        call: &Call,
        token: Option<&HeaderValue>,
    ) -> Result<Answer, ProviderError> {
        match self.send(call, token).await {
            Ok(answer) if answer.status.is_success() => Ok(answer),
            Ok(answer) => Err(refused(call, &answer)),
            Err(reason) => Err(unanswered(call, reason)),
        }
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
        let mut behind = false;
        while let Some(address) = round.next() {
            let answer = match self.ask(address, call, token).await? {
                Reply::Answer(answer) => answer,
                Reply::Redirect(location) => {
                    round.redirect(location.as_ref());
                    continue;
                }
                Reply::NoConnection(reason) => {
                    round.pass_over(&reason);
                    continue;
                }
            };
            let Some(reason) = answer.cannot_serve() else {
                if round.served() {
                    let passed_over = round.reasons();
                    tracing::info!(%address, passed_over, "another address serves from now on");
                }
                return Ok(answer);
            };
            behind |= answer.lags_behind();
            round.pass_over(&format!("says: {reason}"));
        }
        Err(if behind {
            NoAnswer::Behind(round.reasons())
        } else {
            NoAnswer::NotServed(round.reasons())
        })
    }

    /// Asks one node, for an answer from no older state than what has been seen.
    async fn ask(
        &self,
        address: &Url,
        call: &Call,
        token: Option<&HeaderValue>,
    ) -> Result<Reply, NoAnswer> {
        // A write is carried out by the active node, whichever is asked.
        let index = self.index.header().filter(|_| call.body.is_none());
        let Some(index) = index else {
            return self.ask_plainly(address, call, token).await;
        };
        let request = self.request(address, call, token);
        let request = request.header(INDEX, index).header(INCONSISTENT, FORWARD);
        let reply = self.reply(request).await?;
        if !reply.refuses_index() {
            return Ok(reply);
        }
        // A node of another version told it; to go on naming it would fail every read here.
        self.index.forget();
        self.ask_plainly(address, call, token).await
    }

    /// Asks one node; where it says that it lags behind, once more to have the call forwarded.
    async fn ask_plainly(
        &self,
        address: &Url,
        call: &Call,
        token: Option<&HeaderValue>,
    ) -> Result<Reply, NoAnswer> {
        let reply = self.reply(self.request(address, call, token)).await?;
        if !reply.lags_behind() {
            return Ok(reply);
        }
        let request = self.request(address, call, token);
        self.reply(request.header(INCONSISTENT, FORWARD)).await
    }

    async fn reply(&self, request: reqwest::RequestBuilder) -> Result<Reply, NoAnswer> {
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_builder() => {
                return Ok(Reply::NoConnection(advised(root_cause(&error))));
            }
            Err(error) => return Err(NoAnswer::Lost(error.without_url())),
        };
        if response.status() == StatusCode::TEMPORARY_REDIRECT {
            return Ok(Reply::Redirect(location(&response)));
        }
        if response.status().is_success() {
            self.index.observe(response.headers());
        }
        Answer::read(response).await.map(Reply::Answer)
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

/// What every connection to the cluster is made with.
#[derive(Clone, Debug)]
struct Settings {
    headers: HeaderMap,
    /// The authorities to trust; those of the system where there are none.
    authorities: Option<Vec<Certificate>>,
}

impl Settings {
    fn of(config: &VaultConfig, addresses: &Addresses) -> Result<Self, SetupError> {
        let authorities = match &config.ca {
            Some(path) => Some(authorities(path)?),
            // The system's authorities are not looked for where nothing would be checked by them.
            None if !addresses.any_tls() => Some(Vec::new()),
            None => None,
        };
        Ok(Self {
            headers: headers(config.namespace.as_deref())?,
            authorities,
        })
    }

    fn client(&self, identity: Option<Identity>) -> Result<reqwest::Client, reqwest::Error> {
        let mut builder = reqwest::Client::builder()
            .default_headers(self.headers.clone())
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
        if let Some(authorities) = &self.authorities {
            builder = builder.tls_certs_only(authorities.clone());
        }
        if let Some(identity) = identity {
            builder = builder.identity(identity);
        }
        builder.build()
    }
}

/// What became of asking one node.
enum Reply {
    Answer(Answer),
    Redirect(Option<Url>),
    NoConnection(String),
}

impl Reply {
    fn lags_behind(&self) -> bool {
        matches!(self, Self::Answer(answer) if answer.lags_behind())
    }

    fn refuses_index(&self) -> bool {
        matches!(self, Self::Answer(answer) if answer.refuses_index())
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

    /// Tells whether the node has not caught up with an index yet, and carried nothing out.
    fn lags_behind(&self) -> bool {
        classify::lags_behind(self.status, &self.body)
    }

    /// Tells whether the node could not read the index that it was sent, and carried nothing out.
    fn refuses_index(&self) -> bool {
        self.status == StatusCode::BAD_REQUEST
            && classify::refuses_index(&envelope::errors(&self.body))
    }

    /// Returns the node's words, or ours for them, where it carried nothing out.
    fn cannot_serve(&self) -> Option<&'static str> {
        if self.lags_behind() {
            return Some("it has not caught up yet");
        }
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
    /// No node carried the call out, and one at least serves, though from too old a state for it.
    #[error("no address could serve: {0}")]
    Behind(String),
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

/// Adds what to look at, where the TLS library's words are not an operator's.
fn advised(cause: String) -> String {
    let advice = ADVICE.iter().find(|(said, _)| cause.contains(said));
    match advice {
        Some((_, advice)) => format!("{cause} ({advice})"),
        None => cause,
    }
}

const ADVICE: &[(&str, &str)] = &[
    (
        "UnknownIssuer",
        "name the file of its authority in `ca` of the provider",
    ),
    (
        "not valid for name",
        "its certificate is for another name than the address has",
    ),
    (
        "certificate expired",
        "its certificate has run out, or this machine's clock is wrong",
    ),
    (
        "InvalidContentType",
        "it does not speak TLS: is it http, or another port?",
    ),
];
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");
const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Names the lease of a call. The audit log has it in clear where the server is told to audit it, and
/// the id in the body only as a hash.
pub(crate) const LEASE: HeaderName = HeaderName::from_static("x-leasehold-lease");
const INCONSISTENT: HeaderName = HeaderName::from_static("x-vault-inconsistent");
const FORWARD: HeaderValue = HeaderValue::from_static("forward-active-node");
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Well below the five minutes after which the server closes an idle connection: a call sent on a
/// connection as it closes is a call whose answer is lost.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const POOL_MAX_IDLE: usize = 16;
