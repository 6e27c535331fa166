//! `leasehold jwks`: the keys by which others verify the tokens of a credential.

use std::process::ExitCode;
use std::sync::Arc;

use leasehold_config::{
    AuthMethod, Credential, Provider, ProviderKind, SecretId, Snapshot, Source,
};
use leasehold_jwt::{PublicKey, PublicKeyError};
use leasehold_model::{Chain, JwtKey, JwtTerms, ProviderName, SessionEpoch, SystemClock};
use leasehold_provider::{Provider as _, ProviderError};
use leasehold_provider_native::{NativeError, NativeFile, PublishError};
use leasehold_provider_vault::VaultProvider;
use serde_json::{Value, json};

use crate::cli::JwksArgs;
use crate::{check, compose, output, serve};

/// Why there is no key set.
#[derive(Debug, thiserror::Error)]
enum JwksError {
    #[error("the configuration declares no credential {0:?}")]
    Unknown(String),
    #[error("credential {0:?} is not a token that is signed: it has no `jwt`")]
    NotMinted(String),
    #[error(
        "the secret id of provider {0} is wrapped and can be unwrapped once: the gateway needs it, so \
         this needs a document of its own"
    )]
    Wrapped(ProviderName),
    #[error("set up the provider")]
    Setup(#[source] leasehold_provider_vault::SetupError),
    #[error("ask the provider")]
    Provider(#[source] ProviderError),
    #[error("open the encrypted file")]
    File(#[from] NativeError),
    #[error("read the key of the encrypted file")]
    Key(#[from] PublishError),
    #[error("key {0} is not of the algorithm of the token")]
    Public(String, #[source] PublicKeyError),
    #[error("start the runtime")]
    Runtime(#[source] serve::ServeError),
}

/// Prints the key set: 0 where there is one.
pub(crate) fn run(args: &JwksArgs) -> ExitCode {
    let snapshot = match leasehold_config::read(&args.config) {
        Ok(snapshot) => snapshot,
        Err(error) => return check::refuse(error),
    };
    let printed = match key_set(&snapshot, &args.credential) {
        Ok(set) => output::say(&format!("{set:#}")),
        Err(error) => return output::fail(&Chain(&error).to_string()),
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => output::fail_with(&error),
    }
}

fn key_set(snapshot: &Snapshot, name: &str) -> Result<Value, JwksError> {
    let mut credentials = snapshot.credentials.iter();
    let credential = credentials.find(|it| it.name.as_str() == name);
    let credential = credential.ok_or_else(|| JwksError::Unknown(name.to_owned()))?;
    let Source::Minted { key, terms } = &credential.source else {
        return Err(JwksError::NotMinted(name.to_owned()));
    };
    let keys = public_keys(snapshot, credential, key)?;
    let entries = keys.into_iter().map(|(id, key)| entry(id, &key, terms));
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    Ok(json!({ "keys": entries }))
}

fn entry(id: String, key: &PublicKey, terms: &JwtTerms) -> Result<Value, JwksError> {
    key.jwk(&id, terms.algorithm)
        .map_err(|source| JwksError::Public(id, source))
}

fn public_keys(
    snapshot: &Snapshot,
    credential: &Credential,
    key: &JwtKey,
) -> Result<Vec<(String, PublicKey)>, JwksError> {
    let mut providers = snapshot.providers.iter();
    let provider = providers.find(|it| it.name == credential.provider);
    match (provider.map(|it| &it.kind), key) {
        (Some(ProviderKind::Native(native)), JwtKey::Stored { path, field }) => {
            let file = NativeFile::open(&native.file, &native.key_file)?;
            Ok(vec![file.public_key(path, field)?])
        }
        (Some(ProviderKind::Vault(_)), JwtKey::Transit { mount, name }) => {
            let runtime = serve::control_runtime().map_err(JwksError::Runtime)?;
            runtime.block_on(of_transit(snapshot, provider, mount, name))
        }
        _ => Err(JwksError::NotMinted(credential.name.to_string())),
    }
}

/// Asks Vault in a session of its own, which is given back.
async fn of_transit(
    snapshot: &Snapshot,
    provider: Option<&Provider>,
    mount: &str,
    name: &str,
) -> Result<Vec<(String, PublicKey)>, JwksError> {
    let Some(Provider {
        name: provider,
        kind: ProviderKind::Vault(vault),
    }) = provider
    else {
        return Ok(Vec::new());
    };
    if is_wrapped(&vault.auth) {
        return Err(JwksError::Wrapped(provider.clone()));
    }
    let config = compose::vault_login::config(provider, &snapshot.instance, vault);
    let vault = VaultProvider::new(&config, Arc::new(SystemClock)).map_err(JwksError::Setup)?;
    let epoch = SessionEpoch::FIRST;
    vault.login(epoch).await.map_err(JwksError::Provider)?;
    let keys = vault.public_keys(epoch, mount, name).await;
    let ended = vault.revoke_session(epoch).await;
    let keys = keys.map_err(JwksError::Provider)?;
    ended.map_err(JwksError::Provider)?;
    Ok(keys)
}

fn is_wrapped(auth: &AuthMethod) -> bool {
    let secret_id = match auth {
        AuthMethod::AppRole { secret_id, .. } => Some(secret_id),
        _ => None,
    };
    matches!(secret_id, Some(SecretId::Wrapped(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrapped_secret_id_is_left_to_the_gateway() {
        let example = include_str!("../../../examples/minted-jwt.yaml");
        let wrapped = example.replace("secret-id }", "secret-id, wrapped: true }");
        assert_ne!(wrapped, example);
        let snapshot = leasehold_config::load("test", &wrapped).expect("a sound document");
        // Nobody is asked: there is no such server.
        let refused = key_set(&snapshot, "partner").expect_err("refused");
        assert!(matches!(refused, JwksError::Wrapped(_)), "{refused}");
    }
}
