//! What a credential is fetched from: one module for each source that is more than a read.

mod certificate;
mod hinted;
mod minted;
mod rotating;

use bytes::Bytes;
use leasehold_model::{Failure, Holder, JwtKey};
use leasehold_provider::{Fetched, Parameters, ProviderError, Source};
use serde_json::json;

use crate::answer;
use crate::call::{Call, Operation};
use crate::client::Answer;
use crate::path::{PathError, VaultPath};
use crate::provider::VaultProvider;
use crate::refusal::misconfigured;

impl VaultProvider {
    pub(crate) async fn obtain(
        &self,
        holder: Holder,
        source: &Source,
    ) -> Result<Fetched, ProviderError> {
        match source {
            Source::Leased { path, parameters } => self.issue(holder, path, parameters).await,
            Source::Versioned { mount, path } => self.read(holder, mount, path).await,
            Source::Rotating { path } => self.read_account(holder, path).await,
            Source::Certificate { path, parameters } => self.sign(holder, path, parameters).await,
            Source::Hinted { path } => self.read_plain(holder, path).await,
            Source::Minted {
                key: JwtKey::Transit { mount, name },
                terms,
                consumer,
            } => {
                let asked = minted::Asked {
                    mount,
                    key: name,
                    terms,
                    consumer: consumer.as_ref(),
                };
                self.mint_token(holder, &asked).await
            }
            Source::Minted {
                key: JwtKey::Stored { path, .. },
                ..
            } => {
                let detail = "a key is no stored value of Vault: have the transit engine sign";
                let operation = format!("sign with {path}");
                let failure = Failure::Misconfigured;
                Err(ProviderError::new(operation, failure, detail))
            }
            Source::Token { .. } => {
                let detail = "tokens come from a token endpoint and not from Vault";
                let failure = Failure::Misconfigured;
                Err(ProviderError::new("ask for a token", failure, detail))
            }
        }
    }

    async fn issue(
        &self,
        holder: Holder,
        path: &str,
        parameters: &Parameters,
    ) -> Result<Fetched, ProviderError> {
        let path = checked(Operation::Issue, path)?;
        let call = if parameters.is_empty() {
            Call::read(Operation::Issue, path)
        } else {
            let body = Bytes::from(json!(parameters).to_string());
            Call::write(Operation::Issue, path, body)
        };
        let answer = self.held_by(holder, &call).await?;
        answer::leased(&call, &answer)
    }

    async fn read(
        &self,
        holder: Holder,
        mount: &str,
        path: &str,
    ) -> Result<Fetched, ProviderError> {
        let mount = checked(Operation::Read, mount)?;
        let path = checked(Operation::Read, path)?;
        let path = mount.join(&VaultPath::fixed("data")).join(&path);
        let call = Call::read(Operation::Read, path);
        let answer = self.held_by(holder, &call).await?;
        answer::versioned(&call, &answer)
    }

    async fn read_account(&self, holder: Holder, path: &str) -> Result<Fetched, ProviderError> {
        let call = Call::read(Operation::ReadPlain, checked(Operation::ReadPlain, path)?);
        let answer = self.held_by(holder, &call).await?;
        let outcome = rotating::read(&call, &answer, self.clock.wall());
        self.unleased(holder, &call, &answer, outcome).await
    }

    async fn read_plain(&self, holder: Holder, path: &str) -> Result<Fetched, ProviderError> {
        let call = Call::read(Operation::ReadPlain, checked(Operation::ReadPlain, path)?);
        let answer = self.held_by(holder, &call).await?;
        let outcome = hinted::read(&call, &answer);
        self.unleased(holder, &call, &answer, outcome).await
    }

    async fn sign(
        &self,
        holder: Holder,
        path: &str,
        parameters: &Parameters,
    ) -> Result<Fetched, ProviderError> {
        let path = checked(Operation::Sign, path)?;
        let (call, key) = certificate::request(path, parameters)?;
        // Its life is counted from before it was asked for, as that of a lease is.
        let asked = self.clock.wall();
        let answer = self.held_by(holder, &call).await?;
        let outcome = certificate::read(&call, &answer, key, asked);
        self.unleased(holder, &call, &answer, outcome).await
    }

    /// Refuses what came with a lease though its source has none, and gives the lease back: it would
    /// end with its holder, and nobody would know.
    async fn unleased(
        &self,
        holder: Holder,
        call: &Call,
        answer: &Answer,
        outcome: Result<Fetched, ProviderError>,
    ) -> Result<Fetched, ProviderError> {
        let lease_id = answer::open(call, answer)?.lease_id;
        if lease_id.is_empty() {
            return outcome;
        }
        let detail = "the answer carries a lease, which would end with the token that it was asked \
                      for with: declare it with lease, or have a role of PKI make no leases \
                      (generate_lease=false)";
        let mut error = misconfigured(call, detail);
        error.request_id = answer::open(call, answer)?.request_id();
        let body = json!({ "lease_id": lease_id, "sync": true }).to_string();
        let give_back = Call::write(Operation::RevokeLease, REVOKE_LEASE, body.into());
        match self.held_by(holder, &give_back.on(lease_id)).await {
            Ok(_) => Err(error),
            Err(left) => {
                error.detail.push_str("; it could not be given back");
                Err(error.caused_by(left))
            }
        }
    }
}

fn checked(operation: Operation, path: &str) -> Result<VaultPath, ProviderError> {
    VaultPath::parse(path).map_err(|error: PathError| {
        let operation = format!("{} {path:?}", operation.verb());
        let detail = format!("the path {}", error.as_str());
        ProviderError::new(operation, Failure::Misconfigured, detail)
    })
}

const REVOKE_LEASE: VaultPath = VaultPath::fixed("sys/leases/revoke");
