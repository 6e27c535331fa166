use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::Authority;

/// A certificate for this machine, and the authority that signed it.
pub(super) struct Identity {
    config: Arc<ServerConfig>,
    ca_pem: PathBuf,
    _authority: Authority,
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
        Self::with(None)
    }

    /// Makes one that is shown to clients of these authorities alone.
    pub(super) fn generate_for(clients: &str) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(clients.as_bytes()) {
            roots.add(certificate.context("read the authorities of clients")?)?;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .context("verify clients")?;
        Self::with(Some(verifier))
    }

    fn with(clients: Option<Arc<dyn ClientCertVerifier>>) -> Result<Self> {
        let authority = Authority::generate()?;
        let (certificate, key) = authority.sign_server()?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("set up the origin's TLS")?
            .with_client_cert_verifier(clients.unwrap_or_else(WebPkiClientVerifier::no_client_auth))
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .context("set up the origin's certificate")?;
        Ok(Self {
            config: Arc::new(config),
            ca_pem: authority.ca_pem(),
            _authority: authority,
        })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.config))
    }

    pub(super) fn ca_pem(&self) -> &Path {
        &self.ca_pem
    }
}
