use std::fmt;
use std::fs;
use std::io;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use leasehold_provider::Material;
use leasehold_secret::Expose as _;
use rustls::SignatureScheme;
use rustls::client::ResolvesClientCert;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::{CertifiedKey, SigningKey};
use tokio_util::sync::CancellationToken;
use zeroize::{Zeroize as _, Zeroizing};

use crate::PrepareError;
use crate::prepare::wanted;

/// What one generation lets the gateway prove to be at a TLS handshake.
///
/// Connections are bound to it: [`Identity::gone`] is told when it is dropped with its generation.
pub struct Identity {
    number: NonZeroU64,
    certificate: Arc<ClientCertificate>,
    gone: CancellationToken,
}

impl Identity {
    /// Returns a number that no other identity of the process has.
    #[must_use]
    pub const fn number(&self) -> NonZeroU64 {
        self.number
    }

    /// Returns what a TLS client shows. It does not keep the identity alive.
    #[must_use]
    pub fn resolver(&self) -> Arc<dyn ResolvesClientCert> {
        Arc::clone(&self.certificate) as Arc<dyn ResolvesClientCert>
    }

    /// Returns what is cancelled when the identity is dropped.
    #[must_use]
    pub fn gone(&self) -> CancellationToken {
        self.gone.clone()
    }

    /// Reads a certificate, its key and the certificates between it and its authority, all in PEM.
    pub(crate) fn prepare(
        certificate: &str,
        key: &str,
        chain: Option<&str>,
        material: &Material,
    ) -> Result<Self, PrepareError> {
        let mut certificates = certificates(certificate, material)?;
        if certificates.is_empty() {
            return Err(not_pem(certificate));
        }
        if let Some(chain) = chain {
            certificates.extend(self::certificates(chain, material)?);
        }
        // EXPOSE: the key is read once into a signer, which wipes its own copy when it is dropped.
        let signer = signer(&wanted(key, material)?.expose()).ok_or_else(|| not_pem(key))?;
        let identity = Self::of(certificates, signer);
        identity.ok_or_else(|| PrepareError::KeyOfAnother {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        })
    }

    /// Reads the identity that two files hold in PEM: a certificate with those between it and its
    /// authority, and its key.
    ///
    /// # Errors
    ///
    /// When a file can't be read, or holds something else.
    pub fn read(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        let unusable = |path: &Path| IdentityError::Unusable(path.to_owned());
        let text =
            fs::read(certificate).map_err(|error| IdentityError::read(certificate, error))?;
        let read = CertificateDer::pem_slice_iter(&text).collect::<Result<Vec<_>, _>>();
        let certificates = read.map_err(|_hidden| unusable(certificate))?;
        let text = fs::read(key).map_err(|error| IdentityError::read(key, error))?;
        let signer = signer(&Zeroizing::new(text)).ok_or_else(|| unusable(key))?;
        if certificates.is_empty() {
            return Err(unusable(certificate));
        }
        let identity = Self::of(certificates, signer);
        identity.ok_or_else(|| IdentityError::KeyOfAnother(key.to_owned()))
    }

    /// Returns nothing where the key belongs to another certificate.
    fn of(certificates: Vec<CertificateDer<'static>>, key: Arc<dyn SigningKey>) -> Option<Self> {
        let certified = CertifiedKey::new(certificates, key);
        certified.keys_match().ok()?;
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Some(Self {
            number: NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN),
            certificate: Arc::new(ClientCertificate(Arc::new(certified))),
            gone: CancellationToken::new(),
        })
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// Why two files hold no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file can't be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file holds no certificate or key that can be used.
    #[error("{} does not hold what it should in PEM", .0.display())]
    Unusable(PathBuf),
    /// The key belongs to another certificate.
    #[error("{} is not the key of the certificate", .0.display())]
    KeyOfAnother(PathBuf),
}

impl IdentityError {
    fn read(path: &Path, source: io::Error) -> Self {
        Self::Read {
            path: path.to_owned(),
            source,
        }
    }
}

/// Reads a private key in PEM, and wipes what was read.
fn signer(pem: &[u8]) -> Option<Arc<dyn SigningKey>> {
    let mut key = PrivateKeyDer::from_pem_slice(pem).ok()?;
    let signer = any_supported_type(&key);
    key.zeroize();
    signer.ok()
}

struct ClientCertificate(Arc<CertifiedKey>);

impl ResolvesClientCert for ClientCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate").finish_non_exhaustive()
    }
}

fn certificates(
    field: &str,
    material: &Material,
) -> Result<Vec<CertificateDer<'static>>, PrepareError> {
    // EXPOSE: certificates are shown to whoever the gateway connects to.
    let text = wanted(field, material)?.expose();
    let read = CertificateDer::pem_slice_iter(&text);
    read.collect::<Result<_, _>>()
        .map_err(|_hidden| not_pem(field))
}

fn not_pem(field: &str) -> PrepareError {
    PrepareError::NotPem {
        field: field.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use leasehold_secret::Secret;
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::{Injection, InjectionIndex, prepare};

    #[test]
    fn a_certificate_with_its_key_is_an_identity_until_it_is_dropped() {
        let (certificate, key) = issue();
        let fields = [("certificate", certificate), ("key", key)];
        let prepared = prepare(&[place()], &material(&fields)).expect("prepared");
        let identity = prepared.identity(InjectionIndex(0)).expect("an identity");
        let resolver = identity.resolver();
        let gone = identity.gone();
        assert!(resolver.resolve(&[], &[]).is_some() && resolver.has_certs());
        assert!(!format!("{prepared:?} {resolver:?}").contains("BEGIN"));
        let mut headers = http::HeaderMap::new();
        prepared
            .apply(InjectionIndex(0), &mut headers)
            .expect("known");
        assert!(headers.is_empty() && !gone.is_cancelled());
        drop(prepared);
        assert!(gone.is_cancelled());
    }

    #[test]
    fn what_is_no_identity_is_refused_and_not_shown() {
        let (certificate, key) = issue();
        let (_, other) = issue();
        for (certificate, key, told) in [
            (&*certificate, &*other, "is not the key of"),
            (&certificate, "canary", "`key` of the credential is not"),
            ("canary", &key, "`certificate` of the credential is not"),
            ("", &key, "`certificate` of the credential is not"),
        ] {
            let fields = [("certificate", certificate), ("key", key)];
            let fields = fields.map(|(name, value)| (name, value.to_owned()));
            let error = prepare(&[place()], &material(&fields)).expect_err("refused");
            let text = format!("{error} {error:?}");
            assert!(text.contains(told) && !text.contains("canary"), "{text}");
        }
    }

    fn place() -> Injection {
        Injection::ClientCertificate {
            certificate: "certificate".to_owned(),
            key: "key".to_owned(),
            chain: None,
        }
    }

    fn issue() -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["gateway".to_owned()]).expect("parameters");
        let certificate = params.self_signed(&key).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    fn material(fields: &[(&'static str, String)]) -> Material {
        let mut material = Material::default();
        for (name, value) in fields {
            material.insert(*name, Secret::new(value.as_str()));
        }
        material
    }
}
