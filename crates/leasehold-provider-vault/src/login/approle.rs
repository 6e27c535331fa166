use std::path::PathBuf;
use std::sync::Arc;

use leasehold_model::ProviderName;
use leasehold_provider::ProviderError;
use leasehold_secret::{Expose as _, Secret, read_env, read_trimmed};
use serde::Serialize;

use super::wrapped::Wrapped;
use super::{login_path, longest, mount_path, unprepared, unprepared_by};
use crate::body;
use crate::call::{Call, Operation};
use crate::client::Client;
use crate::config::SetupError;
use crate::config::auth::{AppRole, SecretId};
use crate::path::VaultPath;

/// A login by AppRole: what it sends.
#[derive(Debug)]
pub(crate) struct AppRoleLogin {
    path: VaultPath,
    role_id: String,
    secret_id: Source,
}

#[derive(Debug)]
enum Source {
    File(PathBuf),
    Env(String),
    Wrapped(Wrapped),
}

impl AppRoleLogin {
    pub(super) fn new(provider: &ProviderName, approle: &AppRole) -> Result<Self, SetupError> {
        let secret_id = match &approle.secret_id {
            SecretId::File(file) => Source::File(file.clone()),
            SecretId::Env(name) => Source::Env(name.clone()),
            SecretId::Wrapped(file) => {
                let mount = mount_path(&approle.mount)?;
                Source::Wrapped(Wrapped::new(provider, &mount, file))
            }
        };
        Ok(Self {
            path: login_path(&approle.mount)?,
            role_id: approle.role_id.clone(),
            secret_id,
        })
    }

    /// Reads or unwraps the secret id and writes the call that logs in with it.
    pub(super) async fn call(&self, client: &Client) -> Result<Call, ProviderError> {
        let secret_id = self.secret_id(client).await?;
        let body = self
            .body(&secret_id)
            .ok_or_else(|| unprepared(&self.path, "the secret id is not text"))?;
        Ok(Call::write(Operation::LogIn, self.path.clone(), body))
    }

    async fn secret_id(&self, client: &Client) -> Result<Arc<Secret>, ProviderError> {
        let detail = "the secret id could not be read";
        match &self.secret_id {
            Source::File(file) => read_trimmed(file)
                .map(Arc::new)
                .map_err(|error| unprepared_by(&self.path, detail, error)),
            Source::Env(name) => read_env(name)
                .map(Arc::new)
                .map_err(|error| unprepared_by(&self.path, detail, error)),
            Source::Wrapped(wrapped) => wrapped.secret_id(client).await,
        }
    }

    fn body(&self, secret_id: &Secret) -> Option<bytes::Bytes> {
        #[derive(Serialize)]
        struct Body<'a> {
            role_id: &'a str,
            secret_id: &'a str,
        }
        // EXPOSE: a login sends the secret id; it is written straight into a buffer that is wiped
        // and large enough not to be moved while it is written.
        let secret_id = secret_id.expose();
        let secret_id = secret_id.as_str().ok()?;
        let role_id = self.role_id.as_str();
        let longest = longest([role_id, secret_id]);
        body::write(&Body { role_id, secret_id }, longest).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use leasehold_model::{Failure, InstanceName};

    use super::*;
    use crate::config::VaultConfig;
    use crate::config::auth::AuthMethod;

    fn login(secret_id: SecretId) -> (AppRoleLogin, Client) {
        let approle = AppRole {
            mount: "team/approle".to_owned(),
            role_id: "role".to_owned(),
            secret_id,
        };
        let name = ProviderName::from("vault");
        let login = AppRoleLogin::new(&name, &approle).expect("a login");
        let client = Client::new(&VaultConfig {
            name,
            addresses: vec!["http://127.0.0.1:8200".parse().expect("a url")],
            namespace: None,
            ca: None,
            instance: InstanceName::from("edge-1"),
            token_role: None,
            auth: AuthMethod::AppRole(approle),
        });
        (login, client.expect("a client"))
    }

    #[tokio::test]
    async fn a_login_sends_what_is_in_the_file_at_that_time() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("secret-id");
        let (login, client) = login(SecretId::File(file.clone()));
        for (written, sent) in [
            ("first\n", &br#"{"role_id":"role","secret_id":"first"}"#[..]),
            ("sec\"ond", br#"{"role_id":"role","secret_id":"sec\"ond"}"#),
        ] {
            fs::write(&file, written).expect("write");
            let call = login.call(&client).await.expect("a call");
            assert_eq!(&*call.body.expect("a body"), sent);
        }
    }

    #[tokio::test]
    async fn a_login_without_its_secret_id_is_a_fault_of_the_setup() {
        for secret_id in [
            SecretId::File("/nonexistent/secret-id".into()),
            SecretId::Env("LEASEHOLD_NEVER_SET".to_owned()),
            SecretId::Wrapped("/nonexistent/wrapping-token".into()),
        ] {
            let (login, client) = login(secret_id);
            let error = login.call(&client).await.err().expect("an error");
            assert_eq!(error.failure, Failure::Misconfigured);
            assert!(error.source.is_some());
            assert!(error.operation.contains("auth/team/approle"), "{error}");
        }
    }
}
