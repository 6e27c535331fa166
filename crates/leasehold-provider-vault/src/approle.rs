use std::path::PathBuf;

use leasehold_model::Failure;
use leasehold_provider::ProviderError;
use leasehold_secret::{Expose as _, Secret, read_trimmed};
use serde::Serialize;

use crate::body;
use crate::call::{Call, Operation};
use crate::config::{AppRole, SetupError};
use crate::envelope::Auth;
use crate::path::VaultPath;

/// The auth method: what a login sends.
#[derive(Debug)]
pub(crate) struct Login {
    path: VaultPath,
    role_id: String,
    secret_id_file: PathBuf,
}

impl Login {
    pub(crate) fn new(approle: &AppRole) -> Result<Self, SetupError> {
        let mount = VaultPath::parse(&approle.mount).map_err(|problem| SetupError::Mount {
            mount: approle.mount.clone(),
            problem: problem.as_str(),
        })?;
        Ok(Self {
            path: VaultPath::fixed("auth")
                .join(&mount)
                .join(&VaultPath::fixed("login")),
            role_id: approle.role_id.clone(),
            secret_id_file: approle.secret_id_file.clone(),
        })
    }

    /// Reads the secret id from its file and writes the call that logs in with it.
    pub(crate) fn call(&self) -> Result<Call, ProviderError> {
        let fail = |detail| {
            let operation = format!("{} {}", Operation::LogIn.verb(), self.path);
            ProviderError::new(operation, Failure::Misconfigured, detail)
        };
        let secret_id = read_trimmed(&self.secret_id_file)
            .map_err(|error| fail("the secret id could not be read").caused_by(error))?;
        let body = self
            .body(&secret_id)
            .ok_or_else(|| fail("the secret id is not text"))?;
        Ok(Call::write(Operation::LogIn, self.path.clone(), body))
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
        let longest = (role_id.len() + secret_id.len()) * LONGEST_ESCAPE + FRAME;
        body::write(&Body { role_id, secret_id }, longest).ok()
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

/// One character as JSON writes it at the longest: `\u001f`.
const LONGEST_ESCAPE: usize = 6;
const FRAME: usize = 64;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn approle(secret_id: &str) -> (tempfile::TempDir, AppRole) {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let secret_id_file = dir.path().join("secret-id");
        fs::write(&secret_id_file, secret_id).expect("write");
        let approle = AppRole {
            mount: "team/approle".to_owned(),
            role_id: "role".to_owned(),
            secret_id_file,
        };
        (dir, approle)
    }

    #[test]
    fn a_login_sends_what_is_in_the_file_at_that_time() {
        let (_dir, approle) = approle("first\n");
        let login = Login::new(&approle).expect("a login");
        let sent = || login.call().expect("a call").body.expect("a body");
        assert_eq!(&*sent(), br#"{"role_id":"role","secret_id":"first"}"#);
        fs::write(&approle.secret_id_file, "sec\"ond").expect("write");
        assert_eq!(&*sent(), br#"{"role_id":"role","secret_id":"sec\"ond"}"#);
    }

    #[test]
    fn a_login_without_its_secret_id_is_a_fault_of_the_setup() {
        let (dir, approle) = approle("x");
        let login = Login::new(&approle).expect("a login");
        drop(dir);
        let error = login.call().err().expect("an error");
        assert_eq!(error.failure, Failure::Misconfigured);
        assert!(error.source.is_some());
        assert_eq!(error.operation, "log in at auth/team/approle/login");
    }

    #[test]
    fn a_mount_that_leads_elsewhere_is_refused() {
        let (_dir, mut approle) = approle("x");
        approle.mount = "../sys".to_owned();
        assert!(matches!(
            Login::new(&approle),
            Err(SetupError::Mount { .. })
        ));
    }

    #[test]
    fn a_token_that_must_not_be_lived_on_is_refused() {
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
