use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
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
        let authority = Authority::generate()?;
        let (certificate, key) = authority.sign_server()?;
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
