use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::gateway::{Protocol, TlsVersion};

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

/// Makes the TLS settings of upstreams; those that trust the system and speak alike share one.
#[derive(Debug)]
pub(crate) struct TlsConfigs {
    provider: Arc<CryptoProvider>,
    system: Vec<(Protocol, TlsVersion, Arc<ClientConfig>)>,
}

impl TlsConfigs {
    pub(crate) fn new() -> Self {
        Self {
            provider: Arc::new(aws_lc_rs::default_provider()),
            system: Vec::new(),
        }
    }

    /// Returns the settings for upstreams that these roots vouch for.
    pub(crate) fn config(
        &mut self,
        roots: &TrustedRoots,
        protocol: Protocol,
        minimum: TlsVersion,
    ) -> Result<Arc<ClientConfig>, RootsError> {
        match roots {
            TrustedRoots::Pem(text) => Ok(finish(self.own(text, minimum)?, protocol)),
            TrustedRoots::System => self.shared(protocol, minimum),
        }
    }

    fn shared(
        &mut self,
        protocol: Protocol,
        minimum: TlsVersion,
    ) -> Result<Arc<ClientConfig>, RootsError> {
        let mut known = self.system.iter();
        if let Some((_, _, config)) = known.find(|it| (it.0, it.1) == (protocol, minimum)) {
            return Ok(Arc::clone(config));
        }
        let config = self.builder(minimum)?.with_platform_verifier();
        let config = config.map_err(RootsError::Unusable)?.with_no_client_auth();
        let config = finish(config, protocol);
        self.system.push((protocol, minimum, Arc::clone(&config)));
        Ok(config)
    }

    fn own(&self, text: &[u8], minimum: TlsVersion) -> Result<ClientConfig, RootsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(text) {
            let certificate = certificate.map_err(RootsError::Pem)?;
            roots.add(certificate).map_err(RootsError::Unusable)?;
        }
        if roots.is_empty() {
            return Err(RootsError::Empty);
        }
        let config = self.builder(minimum)?.with_root_certificates(roots);
        Ok(config.with_no_client_auth())
    }

    fn builder(
        &self,
        minimum: TlsVersion,
    ) -> Result<ConfigBuilder<ClientConfig, WantsVerifier>, RootsError> {
        let versions = match minimum {
            TlsVersion::Tls12 => &[&TLS12, &TLS13][..],
            TlsVersion::Tls13 => &[&TLS13],
        };
        ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(versions)
            .map_err(RootsError::Unusable)
    }
}

fn finish(mut config: ClientConfig, protocol: Protocol) -> Arc<ClientConfig> {
    let (two, one) = (HTTP2.to_vec(), HTTP1.to_vec());
    config.alpn_protocols = match protocol {
        Protocol::Auto => vec![two, one],
        Protocol::Http1 => vec![one],
        Protocol::Http2 => vec![two],
    };
    Arc::new(config)
}

/// What a handshake agrees on where HTTP/2 is spoken.
pub(super) const HTTP2: &[u8] = b"h2";
/// The same of HTTP/1.1.
pub(super) const HTTP1: &[u8] = b"http/1.1";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_without_a_certificate_are_refused() {
        let refused = |text: &[u8]| {
            let roots = TrustedRoots::Pem(text.to_vec());
            let config = TlsConfigs::new().config(&roots, Protocol::Auto, TlsVersion::Tls12);
            config.err()
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
