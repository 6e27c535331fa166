use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::TlsAcceptor;

use crate::Scratch;

/// A certificate for this machine, and the file with the authority that signed it.
pub(super) struct Identity {
    config: Arc<ServerConfig>,
    ca_pem: PathBuf,
    _dir: Scratch,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("ca_pem", &self.ca_pem)
            .finish_non_exhaustive()
    }
}

impl Identity {
    pub(super) fn generate() -> Result<Self> {
        let dir = Scratch::new()?;
        let ca_pem = dir.path().join("ca.pem");
        let authority = CertifiedIssuer::self_signed(authority()?, key()?)
            .context("make the origin's authority")?;
        fs::write(&ca_pem, authority.pem()).context("write the origin's authority")?;
        let key = key()?;
        let certificate = server()?
            .signed_by(&key, &authority)
            .context("sign the origin's certificate")?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("set up the origin's TLS")?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .context("set up the origin's certificate")?;
        Ok(Self {
            config: Arc::new(config),
            ca_pem,
            _dir: dir,
        })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    pub(super) fn ca_pem(&self) -> &Path {
        &self.ca_pem
    }
}

fn key() -> Result<KeyPair> {
    KeyPair::generate().context("make a key pair")
}

fn authority() -> Result<CertificateParams> {
    let mut params = CertificateParams::new([]).context("describe the authority")?;
    let name = "leasehold test authority";
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

fn server() -> Result<CertificateParams> {
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let mut params = CertificateParams::new(names).context("describe the origin")?;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}
