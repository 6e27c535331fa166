//! Upstreams that speak TLS.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;

use leasehold_proxy::{TlsVersion, TrustedRoots};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::version::TLS12;
use rustls::{ALL_VERSIONS, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use crate::origin::OK;
use crate::rig::Setup;

#[test]
fn an_upstream_is_spoken_to_over_tls_under_its_own_name() {
    let authority = authority();
    let (address, seen) = tls_origin(&authority, "localhost");
    let mut setup = Setup::to(&[format!("https://localhost:{address}")]);
    setup.roots = TrustedRoots::Pem(authority.pem().into_bytes());
    let rig = setup.start();
    assert_eq!(rig.connect().get("/x", "").text(), "ok");
    let hello = seen.recv().expect("a request");
    assert_eq!(hello.name.as_deref(), Some("localhost"));
    assert_eq!(hello.protocol.as_deref(), Some(&b"http/1.1"[..]));
    assert!(
        hello
            .head
            .contains(&format!("host: localhost:{address}\r\n")),
        "{}",
        hello.head
    );
}

#[test]
fn an_upstream_that_can_not_prove_who_it_is_gets_nothing() {
    let trusted = authority();
    for (signer, name) in [(&authority(), "localhost"), (&trusted, "other.example")] {
        let (address, seen) = tls_origin(signer, name);
        let mut setup = Setup::to(&[format!("https://localhost:{address}")]);
        setup.roots = TrustedRoots::Pem(trusted.pem().into_bytes());
        let rig = setup.start();
        let answer = rig.connect().get("/x", "");
        assert_eq!(answer.status(), "502");
        assert!(
            answer.text().contains("upstream_unreachable"),
            "{}",
            answer.text()
        );
        assert!(seen.try_recv().is_err(), "a request was sent");
    }
}

#[test]
fn a_private_authority_is_not_trusted_by_the_system() {
    let (address, seen) = tls_origin(&authority(), "localhost");
    let rig = Setup::to(&[format!("https://localhost:{address}")]).start();
    assert_eq!(rig.connect().get("/x", "").status(), "502");
    assert!(seen.try_recv().is_err(), "a request was sent");
}

/// What an origin saw of one request.
pub(crate) struct Hello {
    name: Option<String>,
    protocol: Option<Vec<u8>>,
    head: String,
}

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

pub(crate) fn authority() -> Authority {
    let mut params = CertificateParams::new(vec![]).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("an authority")
}

#[test]
fn the_name_that_is_asked_for_may_be_another_than_the_hosts() {
    let authority = authority();
    let (port, seen) = tls_origin(&authority, "api.internal");
    let mut setup = Setup::to(&[format!("https://127.0.0.1:{port}")]);
    setup.roots = TrustedRoots::Pem(authority.pem().into_bytes());
    setup.policy.tls.sni = Some("api.internal".to_owned());
    let rig = setup.start();
    assert_eq!(rig.connect().get("/x", "").text(), "ok");
    let hello = seen.recv().expect("a request");
    assert_eq!(hello.name.as_deref(), Some("api.internal"));
}

#[test]
fn a_version_of_tls_that_is_too_old_is_not_spoken() {
    let authority = authority();
    for (minimum, status) in [(TlsVersion::Tls12, "200"), (TlsVersion::Tls13, "502")] {
        let (port, _seen) = tls_origin_of(&authority, "localhost", &[&TLS12]);
        let mut setup = Setup::to(&[format!("https://localhost:{port}")]);
        setup.roots = TrustedRoots::Pem(authority.pem().into_bytes());
        setup.policy.tls.minimum = minimum;
        let rig = setup.start();
        assert_eq!(rig.connect().get("/x", "").status(), status);
    }
}

/// Starts an origin with a certificate for `name`, and returns its port and what it sees.
pub(crate) fn tls_origin(
    authority: &Authority,
    name: &str,
) -> (u16, std::sync::mpsc::Receiver<Hello>) {
    tls_origin_of(authority, name, ALL_VERSIONS)
}

fn tls_origin_of(
    authority: &Authority,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> (u16, std::sync::mpsc::Receiver<Hello>) {
    let mut config = server_config(authority, name, versions);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let (show, seen) = std::sync::mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
            let mut stream = StreamOwned::new(session, stream.expect("a connection"));
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
            if head.is_empty() {
                continue;
            }
            stream.write_all(OK.as_bytes()).expect("answered");
            let hello = Hello {
                name: stream.conn.server_name().map(str::to_owned),
                protocol: stream.conn.alpn_protocol().map(<[u8]>::to_vec),
                head: String::from_utf8(head).expect("text"),
            };
            show.send(hello).expect("the test goes on");
        }
    });
    (port, seen)
}

/// Returns the settings of a server with a certificate for `name`.
pub(crate) fn server_config(
    authority: &Authority,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> ServerConfig {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    let provider = Arc::new(aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .expect("a certificate with its key")
}
