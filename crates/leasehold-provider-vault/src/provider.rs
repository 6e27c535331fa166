use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use leasehold_model::{
    Accessor, AnchorEpoch, Clock, Failure, Holder, LeaseId, ProviderName, SessionEpoch,
};
use leasehold_provider::{
    BoxFuture, Fetched, LeaseGrant, Provider, ProviderError, SessionGrant, Source,
};
use reqwest::StatusCode;
use reqwest::header::HeaderValue;
use serde_json::json;

use crate::anchor::Anchors;
use crate::answer;
use crate::call::{Call, Operation};
use crate::client::{Answer, Client};
use crate::config::{SetupError, VaultConfig};
use crate::login::{Attempt, Login, admit};
use crate::path::VaultPath;
use crate::refusal::{lost, misconfigured};
use crate::session::{self, Line, Sessions};

/// HashiCorp Vault or OpenBao as a provider.
///
/// Keeps the token of each session to itself. A call fails with [`Failure::SessionDead`] only where
/// looking the session up has confirmed it, and with [`Failure::MaybeIssued`] where the server may
/// have made a credential that we do not know of.
///
/// Keeps connections open between calls, which are tasks of the runtime that first called: calls
/// belong on one runtime that lives as long as the provider.
pub struct VaultProvider {
    name: ProviderName,
    client: Arc<Client>,
    login: Login,
    pub(crate) sessions: Sessions,
    pub(crate) anchors: Anchors,
    pub(crate) clock: Arc<dyn Clock>,
}

impl VaultProvider {
    /// Sets the provider up. Nothing is called yet. The clock's time of day is held against the times
    /// that the server names: the end of a certificate, the last change of a password.
    ///
    /// # Errors
    ///
    /// When the configuration names no address, or something that is none, or when the file of
    /// authorities can't be used.
    pub fn new(config: &VaultConfig, clock: Arc<dyn Clock>) -> Result<Self, SetupError> {
        Ok(Self {
            name: config.name.clone(),
            client: Arc::new(Client::new(config)?),
            login: Login::new(config)?,
            sessions: Sessions::default(),
            anchors: Anchors::new(config)?,
            clock,
        })
    }

    async fn log_in(&self, epoch: SessionEpoch) -> Result<SessionGrant, ProviderError> {
        let Attempt { call, client } = self.login.prepare(&self.client, self.clock.wall()).await?;
        let answer = client.exchange(&call, None).await?;
        let (auth, grant) = answer::session(&call, &answer)?;
        let Some(token) = session::header(&auth.client_token) else {
            let detail = "the login gave no token: does the role ask for a second factor?";
            return Err(misconfigured(&call, detail));
        };
        if let Err(reason) = admit(&auth) {
            let line = Line { token, client };
            return Err(give_back(&call, &line, reason).await);
        }
        self.sessions.open(epoch, auth.client_token, client);
        Ok(grant)
    }

    async fn prolong(&self, epoch: SessionEpoch) -> Result<SessionGrant, ProviderError> {
        let call = Call::write(Operation::RenewSession, RENEW_SELF, empty());
        let answer = self.in_session(epoch, &call).await?;
        let (_, grant) = answer::session(&call, &answer)?;
        Ok(grant)
    }

    async fn log_out(&self, epoch: SessionEpoch) -> Result<(), ProviderError> {
        let call = Call::write(Operation::RevokeSession, REVOKE_SELF, empty());
        let outcome = self.in_session(epoch, &call).await;
        let ended = match &outcome {
            Ok(_) => true,
            Err(error) => error.failure == Failure::SessionDead,
        };
        // That it was dead already is no failure, so long as there was a session at all.
        if ended && self.sessions.close(epoch) {
            return Ok(());
        }
        outcome.map(drop)
    }

    async fn renew(
        &self,
        epoch: SessionEpoch,
        lease: &LeaseId,
    ) -> Result<LeaseGrant, ProviderError> {
        let body = json!({ "lease_id": lease.as_str() }).to_string();
        let call = Call::write(Operation::RenewLease, RENEW_LEASE, body.into()).on(lease.as_str());
        let answer = self.in_session(epoch, &call).await?;
        answer::lease(&call, &answer)
    }

    async fn revoke(&self, epoch: SessionEpoch, lease: &LeaseId) -> Result<(), ProviderError> {
        let body = json!({ "lease_id": lease.as_str(), "sync": true }).to_string();
        let call =
            Call::write(Operation::RevokeLease, REVOKE_LEASE, body.into()).on(lease.as_str());
        let answer = self.in_session(epoch, &call).await?;
        if answer.status == StatusCode::ACCEPTED {
            return Err(lost(
                &call,
                "the server has taken the order and not carried it out yet",
            ));
        }
        Ok(())
    }

    /// Makes a call in a session. A token that turns out to be dead is dropped.
    pub(crate) async fn in_session(
        &self,
        epoch: SessionEpoch,
        call: &Call,
    ) -> Result<Answer, ProviderError> {
        self.held_by(Holder::Session(epoch), call).await
    }

    /// Makes a call with the token of a session or of an anchor: what it issues hangs on that.
    pub(crate) async fn held_by(
        &self,
        holder: Holder,
        call: &Call,
    ) -> Result<Answer, ProviderError> {
        let line = match holder {
            Holder::Session(epoch) => self.sessions.line(epoch),
            Holder::Anchor(epoch) => self.anchors.header(epoch).map(|it| self.line(it)),
        };
        let Some(line) = line else {
            let detail = format!("there is no such {}", kind_of(holder));
            return Err(ProviderError::new(
                call.to_string(),
                Failure::SessionDead,
                detail,
            ));
        };
        let outcome = confirmed(&line, call).await;
        if let Err(error) = &outcome
            && error.failure == Failure::SessionDead
        {
            match holder {
                Holder::Session(epoch) => self.sessions.bury(epoch),
                Holder::Anchor(epoch) => self.anchors.bury(epoch),
            }
        }
        outcome
    }

    /// Makes a call with a token, which is said to be dead only where looking it up confirms it.
    pub(crate) async fn with_token(
        &self,
        token: &HeaderValue,
        call: &Call,
    ) -> Result<Answer, ProviderError> {
        confirmed(&self.line(token.clone()), call).await
    }

    /// Returns how a call goes out whose token belongs to no session: as the latest login did.
    fn line(&self, token: HeaderValue) -> Line {
        let client = self.login.latest_client(&self.client);
        Line { token, client }
    }
}

impl Provider for VaultProvider {
    fn login(&self, epoch: SessionEpoch) -> BoxFuture<'_, Result<SessionGrant, ProviderError>> {
        Box::pin(self.log_in(epoch))
    }

    fn renew_session(
        &self,
        epoch: SessionEpoch,
    ) -> BoxFuture<'_, Result<SessionGrant, ProviderError>> {
        Box::pin(self.prolong(epoch))
    }

    fn revoke_session(&self, epoch: SessionEpoch) -> BoxFuture<'_, Result<(), ProviderError>> {
        Box::pin(self.log_out(epoch))
    }

    fn mint_anchor(
        &self,
        epoch: SessionEpoch,
        anchor: AnchorEpoch,
    ) -> BoxFuture<'_, Result<SessionGrant, ProviderError>> {
        Box::pin(self.mint(epoch, anchor))
    }

    fn renew_anchor(
        &self,
        epoch: SessionEpoch,
        anchor: AnchorEpoch,
    ) -> BoxFuture<'_, Result<SessionGrant, ProviderError>> {
        Box::pin(self.prolong_anchor(epoch, anchor))
    }

    fn revoke_anchor(
        &self,
        epoch: SessionEpoch,
        anchor: AnchorEpoch,
    ) -> BoxFuture<'_, Result<(), ProviderError>> {
        Box::pin(self.end_anchor(epoch, anchor))
    }

    fn revoke_former<'a>(
        &'a self,
        epoch: SessionEpoch,
        accessor: &'a Accessor,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(self.end_former(epoch, accessor))
    }

    fn fetch<'a>(
        &'a self,
        holder: Holder,
        source: &'a Source,
    ) -> BoxFuture<'a, Result<Fetched, ProviderError>> {
        Box::pin(self.obtain(holder, source))
    }

    fn renew_lease<'a>(
        &'a self,
        epoch: SessionEpoch,
        lease: &'a LeaseId,
    ) -> BoxFuture<'a, Result<LeaseGrant, ProviderError>> {
        Box::pin(self.renew(epoch, lease))
    }

    fn revoke_lease<'a>(
        &'a self,
        epoch: SessionEpoch,
        lease: &'a LeaseId,
    ) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(self.revoke(epoch, lease))
    }
}

impl fmt::Debug for VaultProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultProvider")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Makes a call; the token is said to be dead only where looking it up confirms it.
async fn confirmed(line: &Line, call: &Call) -> Result<Answer, ProviderError> {
    let mut error = match line.exchange(call).await {
        Err(error) if error.failure == Failure::SessionDead => error,
        decided => return decided,
    };
    error.failure = look_up(line).await;
    Err(error)
}

/// Tells what a refusal means that could mean a dead token.
async fn look_up(line: &Line) -> Failure {
    let call = Call::read(Operation::LookUpSession, LOOK_UP_SELF);
    match line.exchange(&call).await {
        // A token that lives was refused for something else than being dead.
        Ok(_) => Failure::Denied,
        Err(error) => error.failure,
    }
}

/// Revokes a token that was refused, so that it does not live on unknown to anybody.
async fn give_back(login: &Call, line: &Line, reason: &str) -> ProviderError {
    let call = Call::write(Operation::RevokeSession, REVOKE_SELF, empty());
    match line.exchange(&call).await {
        Ok(_) => misconfigured(login, reason),
        Err(error) => {
            let detail = format!("{reason}; it could not be given back");
            misconfigured(login, detail).caused_by(error)
        }
    }
}

const fn kind_of(holder: Holder) -> &'static str {
    match holder {
        Holder::Session(_) => "session",
        Holder::Anchor(_) => "anchor",
    }
}

pub(crate) const fn empty() -> Bytes {
    Bytes::from_static(b"{}")
}

const LOOK_UP_SELF: VaultPath = VaultPath::fixed("auth/token/lookup-self");
const RENEW_SELF: VaultPath = VaultPath::fixed("auth/token/renew-self");
const REVOKE_SELF: VaultPath = VaultPath::fixed("auth/token/revoke-self");
const RENEW_LEASE: VaultPath = VaultPath::fixed("sys/leases/renew");
const REVOKE_LEASE: VaultPath = VaultPath::fixed("sys/leases/revoke");
