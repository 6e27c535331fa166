//! Authorities, certificates and clients of TLS.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use leasehold_proxy::{ClientAuthorities, Identity, ListenerTls, TlsMaterial};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use crate::rig::LIMIT;

pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct Leaf {
    chain: String,
    key: KeyPair,
    der: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("an authority"))
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    pub(crate) fn leaf(&self, names: &[&str], serial: u64) -> Leaf {
        let key = KeyPair::generate().expect("a key");
        let names: Vec<_> = names.iter().map(|it| (*it).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("parameters");
        params.serial_number = Some(SerialNumber::from(serial));
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Leaf {
            chain: certificate.pem(),
            der: certificate.der().clone(),
            key,
        }
    }

    /// Returns a list that takes these serial numbers back.
    pub(crate) fn revoking(&self, serials: &[u64]) -> String {
        let now = date_time_ymd(2026, 1, 1);
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: now,
            next_update: date_time_ymd(2100, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.0).expect("a list");
        list.pem().expect("text")
    }

    /// Returns what a client needs that trusts this authority and shows `leaf`.
    pub(crate) fn client(&self, leaf: Option<&Leaf>) -> ClientConfig {
        self.client_of(leaf, &[&rustls::version::TLS13, &rustls::version::TLS12])
    }

    pub(crate) fn client_of(
        &self,
        leaf: Option<&Leaf>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("a root");
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        match leaf {
            None => builder.with_no_client_auth(),
            Some(leaf) => {
                let key = PrivatePkcs8KeyDer::from(leaf.key.serialize_der());
                builder
                    .with_client_auth_cert(vec![leaf.der.clone()], key.into())
                    .expect("a certificate with its key")
            }
        }
    }
}

/// What a listener is to prove itself with.
pub(crate) struct Material {
    pub(crate) leaves: Vec<Leaf>,
    pub(crate) tls12: bool,
    pub(crate) http2: bool,
    pub(crate) ca: Option<String>,
    pub(crate) crl: Option<String>,
    pub(crate) required: bool,
}

impl Material {
    pub(crate) fn of(leaves: Vec<Leaf>) -> Self {
        Self {
            leaves,
            tls12: true,
            http2: true,
            ca: None,
            crl: None,
            required: true,
        }
    }

    pub(crate) fn tls(&self) -> ListenerTls {
        self.with(|material| ListenerTls::new(material).expect("good material"))
    }

    pub(crate) fn with<T>(&self, make: impl FnOnce(&TlsMaterial<'_>) -> T) -> T {
        let keys: Vec<_> = self
            .leaves
            .iter()
            .map(|it| it.key.serialize_pem())
            .collect();
        let identities = self.leaves.iter().zip(&keys);
        let clients = self.ca.as_ref().map(|ca| ClientAuthorities {
            ca: ca.as_bytes(),
            crls: self.crl.iter().map(String::as_bytes).collect(),
            required: self.required,
        });
        make(&TlsMaterial {
            identities: identities
                .map(|(leaf, key)| Identity {
                    chain: leaf.chain.as_bytes(),
                    key: key.as_bytes(),
                })
                .collect(),
            tls12: self.tls12,
            clients,
            http2: self.http2,
        })
    }
}

/// What came of a request over TLS.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) answer: String,
    pub(crate) shown: CertificateDer<'static>,
    pub(crate) resumed: bool,
}

/// Asks for `/` on a connection of its own. Fails where the gateway breaks the connection off.
pub(crate) fn ask(
    address: SocketAddr,
    config: &Arc<ClientConfig>,
    host: &'static str,
) -> std::io::Result<Heard> {
    let name = host.try_into().expect("a name");
    let session = ClientConnection::new(Arc::clone(config), name).expect("a session");
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let mut stream = StreamOwned::new(session, stream);
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let shown = stream.conn.peer_certificates();
    Ok(Heard {
        answer,
        shown: shown.and_then(<[_]>::first).expect("a certificate").clone(),
        resumed: stream.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
    })
}

impl Leaf {
    pub(crate) const fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }
}

impl Leaf {
    /// Returns what a server needs that shows it.
    pub(crate) fn server(&self) -> Arc<rustls::ServerConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let key = PrivatePkcs8KeyDer::from(self.key.serialize_der());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![self.der.clone()], key.into());
        Arc::new(config.expect("a certificate with its key"))
    }
}
