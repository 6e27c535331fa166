mod names;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use self::names::ByName;

/// What a listener proves itself with, and what it wants of clients: the texts of the files.
#[derive(Clone, Debug)]
pub struct TlsMaterial<'a> {
    /// At least one. The first is shown to clients that name no host, or one that no other is for.
    pub identities: Vec<Identity<'a>>,
    /// Whether TLS 1.2 is spoken beside TLS 1.3.
    pub tls12: bool,
    /// What is wanted of clients.
    pub clients: Option<ClientAuthorities<'a>>,
    /// Whether HTTP/2 is offered.
    pub http2: bool,
}

/// A certificate with its key.
#[derive(Clone, Copy)]
pub struct Identity<'a> {
    /// The certificate and those between it and its authority, as PEM.
    pub chain: &'a [u8],
    /// The certificate's private key, as PEM.
    pub key: &'a [u8],
}

impl fmt::Debug for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The key is a secret.
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

/// Who vouches for clients.
#[derive(Clone, Debug)]
pub struct ClientAuthorities<'a> {
    /// The authorities' certificates, as PEM.
    pub ca: &'a [u8],
    /// Lists of certificates that were revoked, as PEM. Where there is one, every authority needs one.
    pub crls: Vec<&'a [u8]>,
    /// Whether a client without a certificate is refused.
    pub required: bool,
}

/// The TLS of one listener, which can be replaced while it serves. Clones are of the same listener.
#[derive(Clone)]
pub struct ListenerTls(Arc<ArcSwap<Served>>);

struct Served {
    config: Arc<ServerConfig>,
    certificates: Vec<ServedCertificate>,
}

/// A certificate that a listener shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedCertificate {
    /// The first host that it is for.
    pub name: String,
    /// When it runs out, in seconds from 1970 on.
    pub not_after: i64,
}

impl ListenerTls {
    /// Makes the TLS of a listener.
    ///
    /// # Errors
    ///
    /// When a text is not what it should be, or a key is not its certificate's.
    pub fn new(material: &TlsMaterial<'_>) -> Result<Self, TlsError> {
        let served = Served::new(material)?;
        Ok(Self(Arc::new(ArcSwap::from_pointee(served))))
    }

    /// Serves the connections that begin from now on with other material. Sessions of before are not
    /// resumed: what was found good then may have been revoked.
    ///
    /// # Errors
    ///
    /// As [`ListenerTls::new`]. What was served before still is then.
    pub fn replace(&self, material: &TlsMaterial<'_>) -> Result<(), TlsError> {
        self.0.store(Arc::new(Served::new(material)?));
        Ok(())
    }

    /// Returns the certificates that are shown, the default first.
    #[must_use]
    pub fn certificates(&self) -> Vec<ServedCertificate> {
        self.0.load().certificates.clone()
    }

    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.load().config)
    }
}

impl PartialEq for ListenerTls {
    /// Tells whether both are of the same listener.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ListenerTls {}

impl fmt::Debug for ListenerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ListenerTls")
            .field(&self.certificates())
            .finish()
    }
}

impl Served {
    fn new(material: &TlsMaterial<'_>) -> Result<Self, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let keys = material.identities.iter();
        let keys = keys.map(|identity| certified(identity, &provider));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        let by_name = ByName::new(&keys)?;
        let certificates = by_name.certificates().to_vec();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions(material.tls12))
            .map_err(TlsError::Unusable)?;
        let builder = match &material.clients {
            Some(clients) => builder.with_client_cert_verifier(verifier(clients, &provider)?),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(by_name));
        config.alpn_protocols = protocols(material.http2);
        // Sessions are kept by the clients, so that any number of them takes up no memory here. Two
        // tickets for each would be one too many for clients that make one connection at a time.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = aws_lc_rs::Ticketer::new().map_err(TlsError::Unusable)?;
        config.send_tls13_tickets = 1;
        Ok(Self {
            config: Arc::new(config),
            certificates,
        })
    }
}

/// Why a listener's TLS can't be made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There is no certificate to show.
    #[error("the file holds no certificate")]
    NoCertificate,
    /// A file is not PEM, or holds no key.
    #[error("the {0} can't be read as PEM")]
    Pem(&'static str, #[source] pem::Error),
    /// The certificate can't be read.
    #[error("the certificate can't be read")]
    Certificate(#[source] x509_parser::error::X509Error),
    /// The key is not the certificate's, or of a kind that is not known.
    #[error("the certificate and its key can't be used")]
    Key(#[source] rustls::Error),
    /// Clients can't be verified by what was given.
    #[error("the clients' authorities can't be used")]
    Clients(#[source] VerifierBuilderError),
    /// Something was given that TLS has no use for.
    #[error("the TLS settings can't be used")]
    Unusable(#[source] rustls::Error),
}

fn certified(
    identity: &Identity<'_>,
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let chain = certificates(identity.chain, "certificate")?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate);
    }
    let key =
        PrivateKeyDer::from_pem_slice(identity.key).map_err(|error| TlsError::Pem("key", error))?;
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(TlsError::Key)?;
    Ok(Arc::new(certified))
}

fn certificates(text: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(text);
    certificates
        .collect::<Result<_, _>>()
        .map_err(|error| TlsError::Pem(what, error))
}

fn verifier(
    clients: &ClientAuthorities<'_>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(clients.ca, "clients' authority")? {
        roots.add(certificate).map_err(TlsError::Unusable)?;
    }
    let mut lists = Vec::new();
    for text in &clients.crls {
        for list in CertificateRevocationListDer::pem_slice_iter(text) {
            lists.push(list.map_err(|error| TlsError::Pem("revocation list", error))?);
        }
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .with_crls(lists);
    let builder = if clients.required {
        builder
    } else {
        builder.allow_unauthenticated()
    };
    builder.build().map_err(TlsError::Clients)
}

const fn versions(tls12: bool) -> &'static [&'static SupportedProtocolVersion] {
    const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];
    const NEWER: &[&SupportedProtocolVersion] = &[&version::TLS13];
    if tls12 { BOTH } else { NEWER }
}

fn protocols(http2: bool) -> Vec<Vec<u8>> {
    let offered: &[&[u8]] = if http2 {
        &[b"h2", b"http/1.1"]
    } else {
        &[b"http/1.1"]
    };
    offered.iter().map(|it| it.to_vec()).collect()
}
