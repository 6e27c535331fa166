use std::path::{Path, PathBuf};
use std::sync::Arc;

use leasehold_provider::ProviderError;
use leasehold_secret::{Expose as _, Secret, read_trimmed};
use parking_lot::Mutex;
use reqwest::Identity;
use serde::Serialize;
use url::Url;
use zeroize::Zeroizing;

use super::{Attempt, login_path, same, unprepared, unprepared_by};
use crate::body;
use crate::call::{Call, Operation};
use crate::client::Client;
use crate::config::SetupError;
use crate::config::auth::ClientCertificate;
use crate::path::VaultPath;

/// A login with a TLS client certificate.
///
/// The server renews such a session only where the connection shows the certificate that opened it,
/// so each session keeps the client that it was opened with, and files that changed make a new one.
#[derive(Debug)]
pub(crate) struct CertificateLogin {
    path: VaultPath,
    role: Option<String>,
    certificate: PathBuf,
    key: PathBuf,
    latest: Mutex<Option<Presenting>>,
}

/// The client that shows what the files held.
#[derive(Debug)]
struct Presenting {
    certificate: Secret,
    key: Secret,
    client: Arc<Client>,
}

impl CertificateLogin {
    pub(super) fn new(shown: &ClientCertificate, addresses: &[Url]) -> Result<Self, SetupError> {
        if let Some(address) = addresses.iter().find(|it| it.scheme() != "https") {
            return Err(SetupError::CertificateWithoutTls {
                address: address.origin().ascii_serialization(),
            });
        }
        Ok(Self {
            path: login_path(&shown.mount)?,
            role: shown.role.clone(),
            certificate: shown.certificate.clone(),
            key: shown.key.clone(),
            latest: Mutex::new(None),
        })
    }

    /// Reads the files and writes the call, to go over a client that shows the certificate.
    pub(super) fn attempt(&self, client: &Client) -> Result<Attempt, ProviderError> {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(skip_serializing_if = "Option::is_none")]
            name: Option<&'a str>,
        }
        let name = self.role.as_deref();
        let longest = super::longest(name);
        let body = body::write(&Body { name }, longest)
            .map_err(|error| unprepared_by(&self.path, "the login could not be written", error))?;
        Ok(Attempt {
            call: Call::write(Operation::LogIn, self.path.clone(), body),
            client: self.presenting(client)?,
        })
    }

    pub(super) fn latest_client(&self) -> Option<Arc<Client>> {
        let latest = self.latest.lock();
        latest.as_ref().map(|it| Arc::clone(&it.client))
    }

    /// Returns the latest client while the files hold what they held then, and a new one otherwise.
    fn presenting(&self, client: &Client) -> Result<Arc<Client>, ProviderError> {
        let certificate = self.read(&self.certificate, "the certificate could not be read")?;
        let key = self.read(&self.key, "the certificate's key could not be read")?;
        let mut latest = self.latest.lock();
        let unchanged = latest
            .as_ref()
            .filter(|it| same(&it.certificate, &certificate) && same(&it.key, &key));
        if let Some(presenting) = unchanged {
            return Ok(Arc::clone(&presenting.client));
        }
        let identity = identity(&certificate, &key).ok_or_else(|| {
            let detail = "certificate and key are not both in PEM form, the key unencrypted";
            unprepared(&self.path, detail)
        })?;
        let client = client
            .presenting(identity)
            .map_err(|error| unprepared_by(&self.path, "the certificate can't be used", error))?;
        let client = Arc::new(client);
        *latest = Some(Presenting {
            certificate,
            key,
            client: Arc::clone(&client),
        });
        Ok(client)
    }

    fn read(&self, file: &Path, detail: &str) -> Result<Secret, ProviderError> {
        read_trimmed(file).map_err(|error| unprepared_by(&self.path, detail, error))
    }
}

/// Puts certificate and key together as the TLS library wants them.
///
/// Why it refuses them is not told: its words may quote a line of the key.
fn identity(certificate: &Secret, key: &Secret) -> Option<Identity> {
    // EXPOSE: the key signs the handshakes; the text is put together in a buffer that is wiped, and
    // the TLS library's own copy is wiped by the allocator when the last session's client goes.
    let (certificate, key) = (certificate.expose(), key.expose());
    let mut pem = Zeroizing::new(Vec::with_capacity(certificate.len() + key.len() + 2));
    for part in [&*certificate, &*key] {
        pem.extend_from_slice(part);
        pem.push(b'\n');
    }
    Identity::from_pem(&pem).ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use leasehold_model::{Failure, InstanceName, ProviderName};

    use super::*;
    use crate::config::VaultConfig;
    use crate::config::auth::AuthMethod;

    fn config(dir: &Path, address: &str) -> (VaultConfig, ClientCertificate) {
        let shown = ClientCertificate {
            mount: "cert".to_owned(),
            role: None,
            certificate: dir.join("tls.crt"),
            key: dir.join("tls.key"),
        };
        let config = VaultConfig {
            name: ProviderName::from("vault"),
            addresses: vec![address.parse().expect("a url")],
            namespace: None,
            ca: None,
            instance: InstanceName::from("edge-1"),
            token_role: None,
            auth: AuthMethod::Certificate(shown.clone()),
        };
        (config, shown)
    }

    fn write(dir: &Path, name: &str) {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new([name.to_owned()]).expect("params");
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(dir.join("tls.crt"), certificate.pem()).expect("write");
        fs::write(dir.join("tls.key"), key.serialize_pem()).expect("write");
    }

    #[test]
    fn f26_files_that_changed_make_a_client_of_their_own() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut config, shown) = config(dir.path(), "https://127.0.0.1:8200");
        // No authority is needed where nothing is called.
        config.ca = Some(dir.path().join("tls.crt"));
        write(dir.path(), "first");
        let login = CertificateLogin::new(&shown, &config.addresses).expect("a login");
        let client = Client::new(&config).expect("a client");
        let of = || login.attempt(&client).expect("an attempt").client;
        let first = of();
        assert!(Arc::ptr_eq(&first, &of()), "nothing has changed");
        write(dir.path(), "second");
        assert!(!Arc::ptr_eq(&first, &of()));
    }

    #[test]
    fn a_key_that_can_not_be_used_is_not_quoted() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (mut config, shown) = config(dir.path(), "https://127.0.0.1:8200");
        config.ca = Some(shown.certificate.clone());
        write(dir.path(), "first");
        let login = CertificateLogin::new(&shown, &config.addresses).expect("a login");
        let client = Client::new(&config).expect("a client");
        for key in [
            "canary",
            "-----BEGIN canary KEY\n-----END",
            "-----BEGIN PRIVATE KEY-----\nY2FuYXJ5\n-----END PRIVATE KEY-----",
            "-----BEGIN PRIVATE KEY-----\ncanary!\n-----END PRIVATE KEY-----",
        ] {
            fs::write(&shown.key, key).expect("write");
            let error = login.attempt(&client).err().expect("an error");
            assert_eq!(error.failure, Failure::Misconfigured, "{key}");
            let said = format!("{error} {error:?}");
            assert!(!said.contains("canary") && !said.contains("Y2Fu"), "{said}");
        }
    }

    #[test]
    fn a_certificate_can_not_be_shown_without_tls() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (config, shown) = config(dir.path(), "http://127.0.0.1:8200");
        let error = CertificateLogin::new(&shown, &config.addresses).err();
        assert!(matches!(
            error,
            Some(SetupError::CertificateWithoutTls { .. })
        ));
    }
}
