use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_platform_verifier::BuilderVerifierExt as _;

/// Who may vouch for an upstream's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrustedRoots {
    /// Whoever the system trusts.
    System,
    /// The authorities in these certificates, as PEM, and nobody else.
    Pem(Vec<u8>),
}

/// Why a set of trusted roots can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The text is not PEM.
    #[error("the trusted roots are not PEM")]
    Pem(#[source] pem::Error),
    /// The text holds no certificate.
    #[error("the trusted roots hold no certificate")]
    Empty,
    /// A certificate can't be used as a root, or the system's roots can't be read.
    #[error("the trusted roots can't be used")]
    Unusable(#[source] rustls::Error),
}

/// Makes the TLS settings of upstreams; those that trust the system share one.
#[derive(Debug)]
pub(crate) struct TlsConfigs {
    provider: Arc<CryptoProvider>,
    system: Option<Arc<ClientConfig>>,
}

impl TlsConfigs {
    pub(crate) fn new() -> Self {
        Self {
            provider: Arc::new(aws_lc_rs::default_provider()),
            system: None,
        }
    }

    /// Returns the settings for upstreams that these roots vouch for.
    pub(crate) fn config(&mut self, roots: &TrustedRoots) -> Result<Arc<ClientConfig>, RootsError> {
        match (roots, &self.system) {
            (TrustedRoots::Pem(text), _) => self.own(text),
            (TrustedRoots::System, Some(config)) => Ok(Arc::clone(config)),
            (TrustedRoots::System, None) => {
                let config = self.platform()?;
                self.system = Some(Arc::clone(&config));
                Ok(config)
            }
        }
    }

    fn own(&self, text: &[u8]) -> Result<Arc<ClientConfig>, RootsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(text) {
            let certificate = certificate.map_err(RootsError::Pem)?;
            roots.add(certificate).map_err(RootsError::Unusable)?;
        }
        if roots.is_empty() {
            return Err(RootsError::Empty);
        }
        let config = self.builder()?.with_root_certificates(roots);
        Ok(finish(config.with_no_client_auth()))
    }

    fn platform(&self) -> Result<Arc<ClientConfig>, RootsError> {
        let config = self.builder()?.with_platform_verifier();
        let config = config.map_err(RootsError::Unusable)?;
        Ok(finish(config.with_no_client_auth()))
    }

    fn builder(&self) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, RootsError> {
        ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(RootsError::Unusable)
    }
}

fn finish(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_without_a_certificate_are_refused() {
        let refused = |text: &[u8]| {
            TlsConfigs::new()
                .config(&TrustedRoots::Pem(text.to_vec()))
                .err()
        };
        assert!(matches!(refused(b""), Some(RootsError::Empty)));
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA";
        assert!(matches!(refused(broken), Some(RootsError::Pem(_))));
        let no_certificate = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert!(matches!(
            refused(no_certificate),
            Some(RootsError::Unusable(_))
        ));
    }
}
