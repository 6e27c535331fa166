//! Upstreams that want a certificate of the gateway, which it holds on lease.

use std::collections::HashMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use leasehold_inject::Injection;
use leasehold_proxy::{ClientFiles, TrustedRoots};
use parking_lot::Mutex;
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use crate::consumer::Consumer;
use crate::lease::{FakeProvider, Lease};
use crate::rig::{Setup, until};
use crate::tls::{Authority, authority};

#[test]
fn a_request_goes_over_a_connection_of_its_own_generation_across_rotations() {
    let authority = Arc::new(authority());
    let origin = VerifyingOrigin::start(&authority);
    let signer = Arc::clone(&authority);
    let issued: Arc<Mutex<HashMap<u64, Vec<u8>>>> = Arc::default();
    let known = Arc::clone(&issued);
    let provider = FakeProvider::leasing(Duration::from_secs(2)).minting(move |number| {
        let (certificate, pem, key) = issue(&format!("generation-{number}"), &signer);
        known.lock().insert(number, certificate);
        vec![("certificate", pem), ("private_key", key)]
    });
    let lease = Lease::shown(
        provider,
        Injection::ClientCertificate {
            certificate: "certificate".to_owned(),
            key: "private_key".to_owned(),
            chain: None,
        },
    );
    until("a generation", || lease.current().ok());
    let mut setup = Setup::to(&[format!("https://localhost:{}", origin.port)]);
    setup.roots = TrustedRoots::Pem(authority.pem().into_bytes());
    setup.credential = Some(lease.used.clone());
    setup.workers = 2;
    let rig = setup.start();
    let address = rig.address;
    let sent = Arc::new(AtomicUsize::new(0));
    let loads: Vec<_> = (0..4).map(|_| load(address, &sent)).collect();
    for load in loads {
        let statuses = load.join().expect("a load");
        assert!(statuses.iter().all(|it| it == "200"), "{statuses:?}");
    }
    let records = rig.records(1200);
    let seen = origin.seen.lock();
    let mut generations = HashMap::new();
    for record in records {
        let path = record["path"].as_str().expect("a path");
        let generation = record["generation"].as_u64().expect("a generation");
        let shown = seen.get(path).expect("it came");
        assert_eq!(
            Some(shown),
            issued.lock().get(&generation),
            "{path} {generation}"
        );
        *generations.entry(generation).or_insert(0) += 1;
    }
    assert!(
        generations.len() >= 2,
        "rotated under load: {generations:?}"
    );
    drop(seen);
    // Connections of generations that are gone are closed, though nobody closes them there.
    until("only connections of the current one", || {
        let current = lease.current().ok()?.number().get();
        let issued = issued.lock();
        let others = |shown: &Vec<u8>| issued.get(&current) != Some(shown);
        (!origin.open.lock().iter().any(others)).then_some(())
    });
}

#[test]
fn a_certificate_from_files_is_replaced_when_they_are() {
    let authority = authority();
    let origin = VerifyingOrigin::start(&authority);
    let dir = tempfile::tempdir().expect("a directory");
    let files = ClientFiles {
        certificate: dir.path().join("tls.crt"),
        key: dir.path().join("tls.key"),
    };
    let write = |name: &str| {
        let (certificate, pem, key) = issue(name, &authority);
        // The key first: in between the two don't fit, and the old ones stay in use.
        fs::write(&files.key, key).expect("written");
        fs::write(&files.certificate, pem).expect("written");
        certificate
    };
    let first = write("first");
    let mut setup = Setup::to(&[format!("https://localhost:{}", origin.port)]);
    setup.roots = TrustedRoots::Pem(authority.pem().into_bytes());
    setup.policy.tls.client = Some(files.clone());
    let rig = setup.start();
    let mut consumer = rig.connect();
    let mut number = 0;
    let mut shown = || {
        number += 1;
        let path = format!("/{number}");
        assert_eq!(consumer.get(&path, "").status(), "200");
        origin.seen.lock().get(&path).cloned().expect("it came")
    };
    assert_eq!(shown(), first);
    let second = write("second");
    until("the second", || (shown() == second).then_some(()));
    until("the first connection's end", || {
        (!origin.open.lock().contains(&first)).then_some(())
    });
    fs::write(&files.key, "nonsense").expect("written");
    assert_eq!(shown(), second, "it stays");
}

/// Issues a certificate: as it is shown, in PEM, and its key.
fn issue(name: &str, authority: &Authority) -> (Vec<u8>, String, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec![]).expect("parameters");
    params.distinguished_name.push(DnType::CommonName, name);
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    (
        certificate.der().to_vec(),
        certificate.pem(),
        key.serialize_pem(),
    )
}

/// Sends one request after the other, each to a path of its own.
fn load(address: SocketAddr, sent: &Arc<AtomicUsize>) -> JoinHandle<Vec<String>> {
    let sent = Arc::clone(sent);
    thread::spawn(move || {
        let mut consumer = Consumer::connect(address);
        let mut statuses = Vec::new();
        for _ in 0..300 {
            let path = format!("/{}", sent.fetch_add(1, Ordering::SeqCst));
            statuses.push(consumer.get(&path, "").status().to_owned());
            // The load of seconds, and not of a moment: there are to be rotations in it.
            thread::park_timeout(Duration::from_millis(10));
        }
        statuses
    })
}

/// An origin that lets in whoever shows a certificate of its authority, and writes down with which
/// one each request came.
struct VerifyingOrigin {
    port: u16,
    /// By the path.
    seen: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    /// What the connections that are open were opened with.
    open: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl VerifyingOrigin {
    fn start(authority: &Authority) -> Self {
        let config = config(authority);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let origin = Self {
            port,
            seen: Arc::default(),
            open: Arc::default(),
        };
        let (seen, open) = (Arc::clone(&origin.seen), Arc::clone(&origin.open));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let session = ServerConnection::new(Arc::clone(&config)).expect("a session");
                let stream = StreamOwned::new(session, stream.expect("a connection"));
                let (seen, open) = (Arc::clone(&seen), Arc::clone(&open));
                thread::spawn(move || serve(stream, &seen, &open));
            }
        });
        origin
    }
}

fn serve(
    mut stream: StreamOwned<ServerConnection, std::net::TcpStream>,
    seen: &Mutex<HashMap<String, Vec<u8>>>,
    open: &Mutex<Vec<Vec<u8>>>,
) {
    let mut shown = None;
    loop {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
            head.push(byte[0]);
        }
        if !head.ends_with(b"\r\n\r\n") {
            break;
        }
        let certificate = shown.get_or_insert_with(|| {
            let shown = stream.conn.peer_certificates().expect("it was verified");
            let shown = shown.first().expect("one").to_vec();
            open.lock().push(shown.clone());
            shown
        });
        let head = String::from_utf8(head).expect("text");
        let path = head.split(' ').nth(1).expect("a path").to_owned();
        seen.lock().insert(path, certificate.clone());
        if stream.write_all(crate::origin::OK.as_bytes()).is_err() {
            break;
        }
    }
    if let Some(shown) = shown {
        let mut open = open.lock();
        let place = open
            .iter()
            .position(|it| *it == shown)
            .expect("it was put there");
        open.swap_remove(place);
    }
}

fn config(authority: &Authority) -> Arc<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).expect("an authority");
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, authority).expect("a certificate");
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        );
    Arc::new(config.expect("a certificate with its key"))
}
