//! Each way to log in, against a real OpenBao, and where that has no such way against a server that
//! checks what Vault would check.

#![expect(
    clippy::indexing_slicing,
    reason = "a field that JSON lacks reads as null, and a test may panic in its helpers too"
)]

mod approle;
mod aws;
mod aws_verifier;
mod certificate;
mod kubernetes;
mod log;
mod signed;
mod token_review;
mod tokens;
mod wrapped;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use leasehold_model::{Failure, InstanceName, ProviderName, SessionEpoch};
use leasehold_provider::{Provider as _, ProviderError, SessionGrant};
use leasehold_provider_vault::{AuthMethod, VaultConfig, VaultProvider};
use leasehold_testkit::{OpenBao, Scratch};
use serde_json::{Value, json};

use crate::bench::{SESSION, chain, failure, make};

/// An OpenBao without a database, and a directory for what logins are made with.
pub(crate) struct Server {
    pub(crate) bao: OpenBao,
    // Below the server, which writes into it to the end.
    scratch: Scratch,
}

impl Server {
    pub(crate) async fn start() -> Result<Self> {
        let scratch = Scratch::new()?;
        let bao = OpenBao::start(scratch.path()).await?;
        Ok(Self { bao, scratch })
    }

    pub(crate) async fn start_with_tls() -> Result<Self> {
        let scratch = Scratch::new()?;
        let bao = OpenBao::start_with_tls(scratch.path()).await?;
        Ok(Self { bao, scratch })
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Result<Value> {
        self.bao.api("POST", path, Some(body)).await
    }

    /// Mounts an auth method under its own name.
    pub(crate) async fn enable(&self, method: &str) -> Result<()> {
        let path = format!("sys/auth/{method}");
        self.post(&path, json!({ "type": method })).await?;
        Ok(())
    }

    /// Returns a file in the directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    /// Writes a file into the directory.
    pub(crate) fn write(&self, name: &str, content: &str) -> Result<PathBuf> {
        let file = self.file(name);
        fs::write(&file, content).context("write a file")?;
        Ok(file)
    }

    pub(crate) fn provider(&self, auth: AuthMethod) -> Result<VaultProvider> {
        provider_at(&self.bao.address(), None, auth)
    }

    /// Returns how many tokens the server knows.
    pub(crate) async fn tokens(&self) -> Result<usize> {
        let answer = self.bao.api("LIST", "auth/token/accessors", None).await?;
        let keys = answer.pointer("/data/keys").and_then(Value::as_array);
        Ok(keys.context("accessors")?.len())
    }

    /// Returns how many requests the server has been asked, as its audit log has them.
    pub(crate) fn requests(&self) -> Result<usize> {
        let log = fs::read_to_string(self.bao.audit_log()).context("read the audit log")?;
        Ok(log.matches(r#""type":"request""#).count())
    }
}

pub(crate) fn provider_at(
    address: &str,
    ca: Option<PathBuf>,
    auth: AuthMethod,
) -> Result<VaultProvider> {
    let config = VaultConfig {
        name: ProviderName::from("vault"),
        addresses: vec![address.parse().context("an address")?],
        namespace: None,
        ca,
        auth,
        instance: InstanceName::from("edge-1"),
        token_role: None,
    };
    Ok(make(&config)?)
}

/// What the roles of these tests give their tokens.
pub(crate) fn short_lived(mut role: Value) -> Value {
    role["token_ttl"] = json!("60s");
    role["token_policies"] = json!("default");
    role
}

/// Logs in, renews the session, and ends it: all that a session is for besides its leases.
pub(crate) async fn live_a_session(provider: &VaultProvider) -> Result<SessionGrant> {
    let granted = provider.login(SESSION).await?;
    assert!(granted.renewable && !granted.capped);
    let renewed = provider.renew_session(SESSION).await?;
    assert_eq!(renewed.ttl, granted.ttl);
    provider.revoke_session(SESSION).await?;
    Ok(granted)
}

/// Checks that the login is refused as one that no repetition helps, and returns what is said.
pub(crate) async fn denied(provider: &VaultProvider, epoch: SessionEpoch) -> String {
    failed(provider, epoch, Failure::Denied).await
}

/// Checks what the login fails with, and returns what is said of it.
pub(crate) async fn failed(
    provider: &VaultProvider,
    epoch: SessionEpoch,
    expected: Failure,
) -> String {
    let outcome: Result<SessionGrant, ProviderError> = provider.login(epoch).await;
    let failed_with = failure(&outcome);
    let debug = format!("{outcome:?}");
    let said = format!("{} {debug}", chain(outcome));
    assert_eq!(failed_with, Some(expected), "{said}");
    said
}
