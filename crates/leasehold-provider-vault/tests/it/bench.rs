use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use leasehold_model::{
    AnchorEpoch, Failure, Holder, InstanceName, LeaseId, ProviderName, SessionEpoch, SystemClock,
};
use leasehold_provider::{Fetched, Holding, Parameters, Provider as _, ProviderError, Source};
use leasehold_provider_vault::{
    AppRole, AuthMethod, SecretId, SetupError, VaultConfig, VaultProvider,
};
use leasehold_secret::Expose as _;
use leasehold_testkit::Lab;

/// The session that most tests make their calls in.
pub(crate) const SESSION: SessionEpoch = SessionEpoch::FIRST;
pub(crate) const BY_SESSION: Holder = Holder::Session(SESSION);
/// The anchor that most tests hang leases on.
pub(crate) const ANCHOR: AnchorEpoch = AnchorEpoch::FIRST;
pub(crate) const BY_ANCHOR: Holder = Holder::Anchor(ANCHOR);
pub(crate) const INSTANCE: &str = "edge-test";

/// A lab, and a provider that logs in to it.
pub(crate) struct Bench {
    pub(crate) lab: Lab,
    pub(crate) provider: VaultProvider,
}

impl Bench {
    /// Starts a lab and sets up a provider with one of its AppRoles. Nobody is logged in yet.
    pub(crate) async fn start(role: &str) -> Result<Self> {
        let lab = Lab::start().await?;
        let provider = provider(&lab, role).await?;
        Ok(Self { lab, provider })
    }

    /// As [`Bench::start`], and logs in.
    pub(crate) async fn logged_in() -> Result<Self> {
        let bench = Self::start("gateway").await?;
        bench.provider.login(SESSION).await?;
        Ok(bench)
    }

    /// Issues a credential of a database role.
    pub(crate) async fn issue(&self, role: &str) -> Result<Fetched, ProviderError> {
        let source = leased(&format!("database/creds/{role}"));
        self.provider.fetch(BY_SESSION, &source).await
    }

    /// Tells whether PostgreSQL has the user.
    pub(crate) async fn has_user(&self, name: &str) -> Result<bool> {
        Ok(!self.lab.postgres.login_roles_like(name).await?.is_empty())
    }
}

pub(crate) async fn provider(lab: &Lab, role: &str) -> Result<VaultProvider> {
    let approle = lab.approle(role).await?;
    let address = lab.openbao.address();
    let config = config(&[address], &approle.role_id, &approle.secret_id_file)?;
    Ok(make(&config)?)
}

/// Sets a provider up that goes by the machine's clock.
pub(crate) fn make(config: &VaultConfig) -> Result<VaultProvider, SetupError> {
    VaultProvider::new(config, Arc::new(SystemClock))
}

pub(crate) fn config(
    addresses: &[String],
    role_id: &str,
    secret_id_file: &Path,
) -> Result<VaultConfig> {
    let parsed: Result<Vec<_>, _> = addresses.iter().map(|it| it.parse()).collect();
    Ok(VaultConfig {
        name: ProviderName::from("vault"),
        addresses: parsed.context("an address")?,
        namespace: None,
        ca: None,
        auth: AuthMethod::AppRole(AppRole {
            mount: "approle".to_owned(),
            role_id: role_id.to_owned(),
            secret_id: SecretId::File(PathBuf::from(secret_id_file)),
        }),
        instance: InstanceName::from(INSTANCE),
        token_role: Some("leasehold".to_owned()),
    })
}

pub(crate) fn leased(path: &str) -> Source {
    Source::Leased {
        path: path.to_owned(),
        parameters: Parameters::new(),
    }
}

pub(crate) fn stored(mount: &str, path: &str) -> Source {
    Source::Versioned {
        mount: mount.to_owned(),
        path: path.to_owned(),
    }
}

pub(crate) fn lease_id(fetched: &Fetched) -> Result<LeaseId> {
    match &fetched.holding {
        Holding::Leased { lease_id, .. } => Ok(lease_id.clone()),
        other => anyhow::bail!("there is no lease: {other:?}"),
    }
}

pub(crate) fn field(fetched: &Fetched, name: &str) -> Result<String> {
    let secret = fetched.material.field(name).context("no such field")?;
    // EXPOSE: the test logs in with what was issued, to see that it is good; the servers that know
    // it end with the test.
    Ok(secret.expose().as_str()?.to_owned())
}

/// Returns what a call failed with.
pub(crate) fn failure<T>(outcome: &Result<T, ProviderError>) -> Option<Failure> {
    outcome.as_ref().err().map(|error| error.failure)
}

/// Returns what an error says with all of its causes: what a log would have of it.
pub(crate) fn chain<T>(outcome: Result<T, ProviderError>) -> String {
    match outcome {
        Ok(_) => "no error".to_owned(),
        Err(error) => format!("{:#}", anyhow::Error::new(error)),
    }
}
