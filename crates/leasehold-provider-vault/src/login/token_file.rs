use std::path::PathBuf;

use leasehold_provider::ProviderError;
use leasehold_secret::{Expose as _, Secret, read_trimmed};
use serde::Serialize;

use super::{login_path, longest, unprepared, unprepared_by};
use crate::body;
use crate::call::{Call, Operation};
use crate::config::SetupError;
use crate::config::auth::TokenFile;
use crate::path::VaultPath;

/// A login that shows a signed token from a file: by JWT, and by Kubernetes service account, which
/// send the same.
#[derive(Debug)]
pub(crate) struct TokenFileLogin {
    path: VaultPath,
    role: String,
    file: PathBuf,
}

impl TokenFileLogin {
    pub(super) fn new(token: &TokenFile) -> Result<Self, SetupError> {
        Ok(Self {
            path: login_path(&token.mount)?,
            role: token.role.clone(),
            file: token.file.clone(),
        })
    }

    /// Reads the token afresh, since it is replaced long before it expires, and writes the call.
    pub(super) fn call(&self) -> Result<Call, ProviderError> {
        let token = read_trimmed(&self.file).map_err(|error| {
            unprepared_by(&self.path, "the signed token could not be read", error)
        })?;
        let body = self
            .body(&token)
            .ok_or_else(|| unprepared(&self.path, "the signed token is not text"))?;
        Ok(Call::write(Operation::LogIn, self.path.clone(), body))
    }

    fn body(&self, token: &Secret) -> Option<bytes::Bytes> {
        #[derive(Serialize)]
        struct Body<'a> {
            role: &'a str,
            jwt: &'a str,
        }
        // EXPOSE: a login sends the token; it is written straight into a buffer that is wiped and
        // large enough not to be moved while it is written.
        let token = token.expose();
        let jwt = token.as_str().ok()?;
        let role = self.role.as_str();
        body::write(&Body { role, jwt }, longest([role, jwt])).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use leasehold_model::Failure;

    use super::*;

    #[test]
    fn each_login_sends_the_token_that_is_in_the_file_by_then() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("token");
        let login = TokenFileLogin::new(&TokenFile {
            mount: "kubernetes".to_owned(),
            role: "gateway".to_owned(),
            file: file.clone(),
        });
        let login = login.expect("a login");
        let error = login.call().err().expect("there is no file");
        assert_eq!(error.failure, Failure::Misconfigured);
        for token in ["a.b.c", "d.e.f"] {
            fs::write(&file, token).expect("write");
            let call = login.call().expect("a call");
            let expected = format!(r#"{{"role":"gateway","jwt":"{token}"}}"#);
            assert_eq!(&*call.body.expect("a body"), expected.as_bytes());
            assert_eq!(call.path.to_string(), "auth/kubernetes/login");
        }
    }
}
