//! The auth methods: what each shows to get a token, and which tokens are not lived on.

mod approle;
mod aws;
mod aws_keys;
mod certificate;
mod token_file;
mod wrapped;

use std::error::Error;
use std::sync::Arc;
use std::time::SystemTime;

use leasehold_model::Failure;
use leasehold_provider::ProviderError;
use leasehold_secret::{Expose as _, Secret};

use crate::call::{Call, Operation};
use crate::client::Client;
use crate::config::auth::AuthMethod;
use crate::config::{SetupError, VaultConfig};
use crate::envelope::Auth;
use crate::path::VaultPath;

/// The auth method that a provider logs in with.
#[derive(Debug)]
pub(crate) enum Login {
    AppRole(approle::AppRoleLogin),
    TokenFile(token_file::TokenFileLogin),
    Certificate(certificate::CertificateLogin),
    AwsIam(aws::AwsLogin),
}

/// A login that is ready to be sent.
pub(crate) struct Attempt {
    pub(crate) call: Call,
    /// The client that the login goes over, and with it every call of the session.
    pub(crate) client: Arc<Client>,
}

impl Login {
    pub(crate) fn new(config: &VaultConfig) -> Result<Self, SetupError> {
        Ok(match &config.auth {
            AuthMethod::AppRole(approle) => {
                Self::AppRole(approle::AppRoleLogin::new(&config.name, approle)?)
            }
            AuthMethod::Kubernetes(token) | AuthMethod::Jwt(token) => {
                Self::TokenFile(token_file::TokenFileLogin::new(token)?)
            }
            AuthMethod::Certificate(shown) => Self::Certificate(
                certificate::CertificateLogin::new(shown, &config.addresses)?,
            ),
            AuthMethod::AwsIam(aws) => Self::AwsIam(aws::AwsLogin::new(aws)?),
        })
    }

    /// Returns the client that the latest login went over; `client` where there was none.
    pub(crate) fn latest_client(&self, client: &Arc<Client>) -> Arc<Client> {
        let latest = match self {
            Self::Certificate(login) => login.latest_client(),
            Self::AppRole(_) | Self::TokenFile(_) | Self::AwsIam(_) => None,
        };
        latest.unwrap_or_else(|| Arc::clone(client))
    }

    /// Reads what is to be shown and writes the call that logs in with it.
    ///
    /// Only a wrapped secret id makes calls of its own here, `client` is what they go over.
    pub(crate) async fn prepare(
        &self,
        client: &Arc<Client>,
        now: SystemTime,
    ) -> Result<Attempt, ProviderError> {
        let call = match self {
            Self::AppRole(login) => login.call(client).await?,
            Self::TokenFile(login) => login.call()?,
            Self::Certificate(login) => return login.attempt(client),
            Self::AwsIam(login) => login.call(now)?,
        };
        let client = Arc::clone(client);
        Ok(Attempt { call, client })
    }
}

/// Refuses a token that Leasehold must not live on, in words for the operator.
pub(crate) fn admit(auth: &Auth) -> Result<(), &'static str> {
    if auth.has_policy("root") {
        return Err("the token has the root policy: give the role policies of its own");
    }
    if auth.num_uses != 0 {
        return Err(
            "the token may be used a limited number of times, and its leases die with its last use: \
             set token_num_uses to 0",
        );
    }
    if auth.lease_duration == 0 {
        return Err("the token never expires: set token_ttl or token_period");
    }
    Ok(())
}

/// Returns the path that a login is sent to.
fn login_path(mount: &str) -> Result<VaultPath, SetupError> {
    Ok(mount_path(mount)?.join(&VaultPath::fixed("login")))
}

/// Returns the path that an auth method is mounted at.
fn mount_path(mount: &str) -> Result<VaultPath, SetupError> {
    let mount = VaultPath::parse(mount).map_err(|problem| SetupError::Mount {
        mount: mount.to_owned(),
        problem: problem.as_str(),
    })?;
    Ok(VaultPath::fixed("auth").join(&mount))
}

/// Makes the error of a login that could not even be written.
fn unprepared(path: &VaultPath, detail: impl Into<String>) -> ProviderError {
    let operation = format!("{} {path}", Operation::LogIn.verb());
    ProviderError::new(operation, Failure::Misconfigured, detail)
}

/// As [`unprepared`], with the cause.
fn unprepared_by(
    path: &VaultPath,
    detail: &str,
    source: impl Error + Send + Sync + 'static,
) -> ProviderError {
    unprepared(path, detail).caused_by(source)
}

/// Tells whether a file holds what it held before.
fn same(one: &Secret, other: &Secret) -> bool {
    // EXPOSE: both come from our own files, and are compared in place to see whether one was replaced.
    *one.expose() == *other.expose()
}

/// Returns the most room that texts can take up as JSON, with what stands between them.
fn longest<'a>(texts: impl IntoIterator<Item = &'a str>) -> usize {
    let length: usize = texts.into_iter().map(str::len).sum();
    length * LONGEST_ESCAPE + FRAME
}

/// One character as JSON writes it at the longest: `\u001f`.
const LONGEST_ESCAPE: usize = 6;
const FRAME: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_that_leads_elsewhere_is_refused() {
        assert!(matches!(
            login_path("../sys"),
            Err(SetupError::Mount { .. })
        ));
        let path = login_path("team/jwt").expect("a path");
        assert_eq!(path.to_string(), "auth/team/jwt/login");
    }

    #[test]
    fn f25_a_token_that_must_not_be_lived_on_is_refused() {
        let of = |json: &str| serde_json::from_str::<Auth>(json).expect("auth");
        let good = r#"{"client_token":"s.x","lease_duration":60,"renewable":true,"num_uses":0,
            "policies":["default","gateway"],"token_policies":["gateway"]}"#;
        assert_eq!(admit(&of(good)), Ok(()));
        for bad in [
            r#"{"client_token":"s.x","lease_duration":60,"policies":["root"]}"#,
            r#"{"client_token":"s.x","lease_duration":60,"identity_policies":["root"]}"#,
            r#"{"client_token":"s.x","lease_duration":60,"num_uses":5}"#,
            r#"{"client_token":"s.x","lease_duration":0}"#,
        ] {
            assert!(admit(&of(bad)).is_err(), "{bad}");
        }
    }
}
