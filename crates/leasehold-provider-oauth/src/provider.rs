use std::collections::BTreeSet;
use std::sync::Arc;

use leasehold_model::{Clock, Failure, Holder, LeaseId, SessionEpoch};
use leasehold_provider::{
    BoxFuture, Fetched, Holding, LeaseGrant, Provider, ProviderError, SessionGrant, Source,
};
use parking_lot::Mutex;

use crate::answer::{self, Token};
use crate::client::{Client, Parent};
use crate::config::{OauthConfig, SetupError};
use crate::endpoint::{Answer, Endpoint, NoAnswer};
use crate::form::Form;
use crate::proof::prove;
use crate::refusal::refusal;

/// Gives out access tokens of one authorization server, for one client.
///
/// There is nothing to log in to: each call proves the client anew. A session is only what the engine
/// counts calls by.
#[derive(Debug)]
pub struct OauthProvider {
    config: OauthConfig,
    endpoint: Endpoint,
    parent: Arc<dyn Parent>,
    clock: Arc<dyn Clock>,
    sessions: Mutex<BTreeSet<SessionEpoch>>,
}

impl OauthProvider {
    /// Makes a provider. Nothing is sent yet.
    ///
    /// # Errors
    ///
    /// When the authorities that it is to trust can't be had.
    pub fn new(
        config: OauthConfig,
        parent: Arc<dyn Parent>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            endpoint: Endpoint::new(&config)?,
            config,
            parent,
            clock,
            sessions: Mutex::default(),
        })
    }

    async fn token(&self, form: &[(String, String)]) -> Result<Fetched, ProviderError> {
        let client = self.parent.current().await.ok_or_else(|| {
            let detail = "there is no client credential to ask with";
            self.error(Failure::Transient, detail)
        })?;
        let answer = self.ask(&*client, form).await?;
        if !answer.status.is_success() {
            return Err(self.refused(&*client, &answer));
        }
        let token = answer::token(&answer.body, self.config.default_life).map_err(|unusable| {
            let mut error = self.error(unusable.failure(), unusable.to_string());
            error.request_id.clone_from(&answer.request_id);
            error
        });
        let Token { material, life } = token?;
        if !self.parent.is_current(client.number()) {
            // A token that outlived what it was asked for with would outlive its revocation.
            let detail = "the client credential was replaced while it was asked with";
            return Err(self.error(Failure::Transient, detail));
        }
        Ok(Fetched {
            material,
            holding: Holding::Token { ttl: life },
            request_id: answer.request_id,
            warnings: Vec::new(),
        })
    }

    async fn ask(
        &self,
        client: &dyn Client,
        asked: &[(String, String)],
    ) -> Result<Answer, ProviderError> {
        let request = {
            let material = client.material().ok_or_else(|| {
                let detail = "the client credential was not prepared to ask with";
                self.error(Failure::Misconfigured, detail)
            })?;
            let mut form = Form::default();
            form.add("grant_type", b"client_credentials");
            for (name, value) in asked {
                form.add(name, value.as_bytes());
            }
            let proof = prove(&self.config, material, self.clock.wall(), &mut form);
            let proof = proof.map_err(|it| self.error(Failure::Misconfigured, it.to_string()))?;
            self.endpoint.post(form.into_bytes(), proof)
        };
        request.await.map_err(|reason| {
            let failure = match reason {
                NoAnswer::Unusable(_) => Failure::Misconfigured,
                NoAnswer::NoConnection(_) => Failure::Unreachable,
                NoAnswer::Lost(_) | NoAnswer::TooLarge => Failure::MaybeIssued,
            };
            self.error(failure, reason.to_string()).caused_by(reason)
        })
    }

    fn refused(&self, client: &dyn Client, answer: &Answer) -> ProviderError {
        let refusal = refusal(answer.status, answer.retry_after, &answer.body);
        let status = answer.status.as_u16();
        let detail = match refusal.code {
            Some(code) => format!("status {status}: {code}"),
            None => format!("status {status}, without a registered error code"),
        };
        if refusal.code == Some("invalid_client") {
            self.parent.refused(client.number());
        }
        let mut error = self.error(refusal.failure, detail);
        error.request_id.clone_from(&answer.request_id);
        error
    }

    fn in_session(&self, epoch: SessionEpoch) -> Result<(), ProviderError> {
        if self.sessions.lock().contains(&epoch) {
            return Ok(());
        }
        let detail = format!("session {epoch} is not open");
        Err(self.error(Failure::SessionDead, detail))
    }

    fn not_here<T: Send + 'static>(
        &self,
        what: &'static str,
    ) -> BoxFuture<'static, Result<T, ProviderError>> {
        let error = self.error(Failure::Misconfigured, what);
        Box::pin(std::future::ready(Err(error)))
    }

    fn error(&self, failure: Failure, detail: impl Into<String>) -> ProviderError {
        let operation = format!("ask {} for a token", self.config.name);
        ProviderError::new(operation, failure, detail)
    }
}

impl Provider for OauthProvider {
    fn login(&self, epoch: SessionEpoch) -> BoxFuture<'_, Result<SessionGrant, ProviderError>> {
        self.sessions.lock().insert(epoch);
        Box::pin(std::future::ready(Ok(SessionGrant {
            ttl: None,
            renewable: false,
            capped: false,
            accessor: None,
        })))
    }

    fn renew_session(
        &self,
        _epoch: SessionEpoch,
    ) -> BoxFuture<'_, Result<SessionGrant, ProviderError>> {
        self.not_here("there are no sessions that could expire")
    }

    fn revoke_session(&self, epoch: SessionEpoch) -> BoxFuture<'_, Result<(), ProviderError>> {
        let ended = self.in_session(epoch);
        self.sessions.lock().remove(&epoch);
        Box::pin(std::future::ready(ended))
    }

    fn fetch<'a>(
        &'a self,
        holder: Holder,
        source: &'a Source,
    ) -> BoxFuture<'a, Result<Fetched, ProviderError>> {
        Box::pin(async move {
            let Holder::Session(epoch) = holder else {
                return Err(self.error(Failure::Misconfigured, "there are no anchors"));
            };
            self.in_session(epoch)?;
            let Source::Token { form } = source else {
                return Err(self.error(Failure::Misconfigured, "there are only tokens"));
            };
            self.token(form).await
        })
    }

    fn renew_lease<'a>(
        &'a self,
        _epoch: SessionEpoch,
        _lease: &'a LeaseId,
    ) -> BoxFuture<'a, Result<LeaseGrant, ProviderError>> {
        self.not_here("tokens have no leases")
    }

    fn revoke_lease<'a>(
        &'a self,
        _epoch: SessionEpoch,
        _lease: &'a LeaseId,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        self.not_here("tokens have no leases")
    }
}
