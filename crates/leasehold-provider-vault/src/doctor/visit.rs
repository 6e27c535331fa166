use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use leasehold_model::Chain;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::Finding;
use crate::answer;
use crate::call::{Call, Operation};
use crate::client::{Answer, Client};
use crate::config::{SetupError, VaultConfig};
use crate::envelope::{self, Auth, Envelope};
use crate::login::{Attempt, Login};
use crate::path::VaultPath;
use crate::refusal::{refused, unanswered};
use crate::said;
use crate::session;

/// A server that may be asked something, with or without a token.
pub(super) struct Server {
    client: Arc<Client>,
}

/// What there is to see somewhere.
#[derive(Debug)]
pub(super) enum Seen<T> {
    It(T),
    /// The token may not look.
    Denied,
    /// There is nothing.
    Absent,
    /// Anything else, in words.
    Failed(String),
}

/// A token as it looks itself up. The token's own text is in the answer and not read from it.
#[derive(Debug, Deserialize)]
pub(super) struct Token {
    pub(super) ttl: u64,
    #[serde(default)]
    pub(super) explicit_max_ttl: u64,
    #[serde(default)]
    pub(super) period: u64,
    #[serde(default)]
    pub(super) orphan: bool,
    #[serde(default)]
    pub(super) renewable: bool,
    #[serde(default)]
    pub(super) entity_id: String,
    #[serde(default)]
    pub(super) identity_policies: Option<Vec<String>>,
    #[serde(default)]
    pub(super) policies: Vec<String>,
    pub(super) path: String,
    #[serde(default)]
    pub(super) meta: Option<BTreeMap<String, String>>,
    #[serde(rename = "type", default)]
    pub(super) kind: String,
}

/// A login of the doctor's own, to be closed.
pub(super) struct Visit {
    server: Server,
    auth: Auth,
    header: HeaderValue,
}

/// A token that was made to be looked at, to be given back.
pub(super) struct Sample<'a> {
    server: &'a Server,
    header: HeaderValue,
}

// === impl Server ===

impl Server {
    pub(super) fn new(config: &VaultConfig) -> Result<Self, SetupError> {
        Ok(Self {
            client: Arc::new(Client::new(config)?),
        })
    }

    /// Reads an answer that comes without an envelope and whose status says something else.
    pub(super) async fn read_plain<T: DeserializeOwned>(
        &self,
        path: &'static str,
    ) -> Result<T, String> {
        let call = Call::read(Operation::Read, VaultPath::fixed(path));
        let answer = self.client.send(&call, None).await;
        let answer = answer.map_err(|reason| chain(&unanswered(&call, reason)))?;
        serde_json::from_slice(&answer.body).map_err(|_other| told(&answer))
    }

    async fn exchange(&self, call: &Call, token: &HeaderValue) -> Seen<Answer> {
        let answer = match self.client.send(call, Some(token)).await {
            Ok(answer) => answer,
            Err(reason) => return Seen::Failed(chain(&unanswered(call, reason))),
        };
        match answer.status.as_u16() {
            200..=299 => Seen::It(answer),
            403 => Seen::Denied,
            404 => Seen::Absent,
            _ => Seen::Failed(told(&answer)),
        }
    }

    async fn data<T: DeserializeOwned>(&self, call: &Call, token: &HeaderValue) -> Seen<T> {
        let answer = match self.exchange(call, token).await {
            Seen::It(answer) => answer,
            Seen::Denied => return Seen::Denied,
            Seen::Absent => return Seen::Absent,
            Seen::Failed(reason) => return Seen::Failed(reason),
        };
        let data = Envelope::parse(&answer.body).ok().and_then(|it| it.data);
        let read = data.and_then(|data| serde_json::from_str(data.get()).ok());
        read.map_or_else(
            || Seen::Failed("the answer is not of the shape that it should be".to_owned()),
            Seen::It,
        )
    }

    async fn capabilities(
        &self,
        paths: &[String],
        token: &HeaderValue,
    ) -> Seen<BTreeMap<String, Vec<String>>> {
        let body = json!({ "paths": paths }).to_string();
        let path = VaultPath::fixed("sys/capabilities-self");
        let call = Call::write(Operation::LookUpSession, path, body.into());
        let seen: Seen<BTreeMap<String, Value>> = self.data(&call, token).await;
        seen.map(|all| {
            let read = |value: Value| serde_json::from_value(value).unwrap_or_default();
            all.into_iter().map(|(path, it)| (path, read(it))).collect()
        })
    }

    async fn give_back(&self, token: &HeaderValue) -> Result<(), String> {
        let path = VaultPath::fixed("auth/token/revoke-self");
        let call = Call::write(Operation::RevokeSession, path, "{}".into());
        match self.exchange(&call, token).await {
            Seen::It(_) => Ok(()),
            Seen::Denied => Err("it may not revoke itself".to_owned()),
            Seen::Absent => Err("the server has no such path".to_owned()),
            Seen::Failed(reason) => Err(reason),
        }
    }
}

// === impl Visit ===

impl Visit {
    /// Logs in as the gateway would, and keeps a token that the gateway would refuse to live on, to
    /// look at what is wrong with it.
    pub(super) async fn open(
        server: &Server,
        config: &VaultConfig,
        now: SystemTime,
    ) -> Result<Self, leasehold_provider::ProviderError> {
        let setup = |error: SetupError| {
            let failure = leasehold_model::Failure::Misconfigured;
            leasehold_provider::ProviderError::new("log in", failure, chain(&error))
        };
        let login = Login::new(config).map_err(setup)?;
        let Attempt { call, client } = login.prepare(&server.client, now).await?;
        let answer = match client.send(&call, None).await {
            Ok(answer) if answer.status.is_success() => answer,
            Ok(answer) => return Err(refused(&call, &answer)),
            Err(reason) => return Err(unanswered(&call, reason)),
        };
        let (auth, _) = answer::session(&call, &answer)?;
        let no_token = "the login gave no token: does the role ask for a second factor?";
        let header = session::header(&auth.client_token)
            .ok_or_else(|| crate::refusal::misconfigured(&call, no_token))?;
        Ok(Self {
            server: Server { client },
            auth,
            header,
        })
    }

    pub(super) const fn auth(&self) -> &Auth {
        &self.auth
    }

    pub(super) async fn token(&self) -> Result<Token, String> {
        look_up(&self.server, &self.header).await
    }

    pub(super) async fn look<T: DeserializeOwned>(&self, path: &str) -> Seen<T> {
        let Ok(path) = VaultPath::parse(path) else {
            return Seen::Absent;
        };
        let call = Call::read(Operation::Read, path);
        self.server.data(&call, &self.header).await
    }

    pub(super) async fn capabilities(
        &self,
        paths: &[String],
    ) -> Seen<BTreeMap<String, Vec<String>>> {
        self.server.capabilities(paths, &self.header).await
    }

    /// Makes an anchor to look at.
    pub(super) async fn mint(&self, role: &str) -> Seen<Sample<'_>> {
        let Ok(path) = VaultPath::parse(&format!("auth/token/create/{role}")) else {
            return Seen::Absent;
        };
        let body = json!({ "display_name": "leasehold-doctor" }).to_string();
        let call = Call::write(Operation::LogIn, path, body.into());
        let minted = self.server.exchange(&call, &self.header).await;
        minted.and_then(|answer| {
            let granted = answer::session(&call, &answer).ok();
            let header = granted.and_then(|(auth, _)| session::header(&auth.client_token));
            let server = &self.server;
            header.map_or_else(
                || Seen::Failed("the answer holds no token".to_owned()),
                |header| Seen::It(Sample { server, header }),
            )
        })
    }

    /// Issues a credential, returns how many seconds its lease was granted, and revokes it.
    ///
    /// Its value is neither read nor kept.
    pub(super) async fn issue(
        &self,
        path: &str,
        body: Option<Value>,
    ) -> Seen<(u64, Option<String>)> {
        let Ok(path) = VaultPath::parse(path) else {
            return Seen::Absent;
        };
        let call = match body {
            Some(body) => Call::write(Operation::Issue, path, body.to_string().into()),
            None => Call::read(Operation::Issue, path),
        };
        let issued = self.server.exchange(&call, &self.header).await;
        let answer = match issued {
            Seen::It(answer) => answer,
            other => return other.map(|_| (0, None)),
        };
        let Ok(envelope) = Envelope::parse(&answer.body) else {
            return Seen::Failed("the answer could not be read".to_owned());
        };
        if envelope.lease_id.is_empty() {
            return Seen::Failed(NO_LEASE.to_owned());
        }
        let body = json!({ "lease_id": envelope.lease_id, "sync": true }).to_string();
        let revoke = VaultPath::fixed("sys/leases/revoke");
        let revoke = Call::write(Operation::RevokeLease, revoke, body.into());
        let given_back = self.server.exchange(&revoke, &self.header).await;
        let left = (!matches!(given_back, Seen::It(_))).then(|| envelope.lease_id.clone());
        Seen::It((envelope.lease_duration, left))
    }

    /// Gives the login back; a finding where that failed.
    pub(super) async fn close(self) -> Option<Finding> {
        let ended = self.server.give_back(&self.header).await;
        let reason = ended.err()?;
        // There is no way to end such a token but to wait.
        let is_batch = reason.contains("batch tokens cannot be revoked");
        let seconds = self.auth.lease_duration;
        let what = format!(
            "the doctor's own login could not be given back ({reason}); it runs out within {seconds} s"
        );
        (!is_batch).then(|| Finding::error("given-back", what))
    }
}

// === impl Sample ===

impl Sample<'_> {
    pub(super) async fn token(&self) -> Result<Token, String> {
        look_up(self.server, &self.header).await
    }

    pub(super) async fn capabilities(
        &self,
        paths: &[String],
    ) -> Seen<BTreeMap<String, Vec<String>>> {
        self.server.capabilities(paths, &self.header).await
    }

    /// Renews it for so many seconds, and returns for how many it was renewed.
    pub(super) async fn renew(&self, seconds: u64) -> Option<u64> {
        let body = json!({ "increment": format!("{seconds}s") }).to_string();
        let path = VaultPath::fixed("auth/token/renew-self");
        let call = Call::write(Operation::RenewSession, path, body.into());
        let Seen::It(answer) = self.server.exchange(&call, &self.header).await else {
            return None;
        };
        let (auth, _) = answer::session(&call, &answer).ok()?;
        Some(auth.lease_duration)
    }

    pub(super) async fn close(self) -> Option<Finding> {
        let reason = self.server.give_back(&self.header).await.err()?;
        let what =
            format!("the anchor that was made to be looked at could not be given back ({reason})");
        Some(Finding::error("given-back", what))
    }
}

// === impl Seen ===

impl<T> Seen<T> {
    pub(super) fn map<U>(self, with: impl FnOnce(T) -> U) -> Seen<U> {
        self.and_then(|it| Seen::It(with(it)))
    }

    fn and_then<U>(self, with: impl FnOnce(T) -> Seen<U>) -> Seen<U> {
        match self {
            Self::It(it) => with(it),
            Self::Denied => Seen::Denied,
            Self::Absent => Seen::Absent,
            Self::Failed(reason) => Seen::Failed(reason),
        }
    }

    /// Says why there is nothing to see.
    pub(super) fn why_not(&self) -> &str {
        match self {
            Self::It(_) => "",
            Self::Denied => "the policy of the login forbids it",
            Self::Absent => "there is no such thing",
            Self::Failed(reason) => reason,
        }
    }
}

async fn look_up(server: &Server, token: &HeaderValue) -> Result<Token, String> {
    let path = VaultPath::fixed("auth/token/lookup-self");
    let call = Call::read(Operation::LookUpSession, path);
    match server.data(&call, token).await {
        Seen::It(token) => Ok(token),
        other => Err(other.why_not().to_owned()),
    }
}

fn told(answer: &Answer) -> String {
    said::answered(answer.status, &envelope::errors(&answer.body))
}

const NO_LEASE: &str = "the answer carries no lease, so there is nothing to hold it by: declare it \
                        with another source, or have a role of PKI make leases (generate_lease=true)";

pub(super) fn chain(error: &dyn std::error::Error) -> String {
    Chain(error).to_string()
}
