use std::any::Any;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use leasehold_testkit::wait;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::peer::{CONSUMER, Peer, Place};

/// Returns what a kept connection takes up in resident memory while nothing happens on it, in KiB.
///
/// Each has served one request before, as one that a client keeps has.
pub(super) async fn memory(place: &Place, peer: &Peer, tls: bool) -> Result<f64> {
    let config = Arc::new(client(place)?);
    let open = |count| -> Result<Vec<_>> {
        (0..count)
            .map(|_| connect(peer, tls.then_some(&config)))
            .collect()
    };
    // What the first connections leave behind for good is not the price of one more.
    drop(open(WARM_UP)?);
    let before = settled(peer).await?;
    let held = open(CONNECTIONS)?;
    let after = settled(peer).await?;
    drop(held);
    let count = u32::try_from(CONNECTIONS)?;
    let grown = u32::try_from(after.saturating_sub(before))?;
    Ok(f64::from(grown) / f64::from(count))
}

/// Waits until the memory stays as it is, for longer than it takes a connection to rest.
async fn settled(peer: &Peer) -> Result<u64> {
    let mut seen = Vec::new();
    wait::until(
        "memory that stays as it is",
        Duration::from_secs(60),
        async || {
            tokio::time::sleep(LOOK).await;
            let now = peer.resident()?;
            if seen.last().is_some_and(|last| now.abs_diff(*last) >= 64) {
                seen.clear();
            }
            seen.push(now);
            Ok((seen.len() > LOOKS).then_some(now))
        },
    )
    .await
}

fn connect(peer: &Peer, tls: Option<&Arc<ClientConfig>>) -> Result<Box<dyn Any>> {
    let mut socket = TcpStream::connect(("127.0.0.1", peer.port(tls.is_some())))?;
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let Some(config) = tls else {
        exchange(&mut socket)?;
        return Ok(Box::new(socket));
    };
    let mut session = ClientConnection::new(Arc::clone(config), "localhost".try_into()?)?;
    exchange(&mut rustls::Stream::new(&mut session, &mut socket))?;
    // Our own side of the session is of no use any longer.
    Ok(Box::new(socket))
}

fn client(place: &Place) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(place.file("ca.pem"))? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

fn exchange(stream: &mut (impl Read + Write)) -> Result<()> {
    let request = format!("GET /1k HTTP/1.1\r\nhost: localhost\r\n{CONSUMER}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !is_whole(&answer) {
        let length = stream.read(&mut buffer).context("read an answer")?;
        ensure!(length > 0, "the connection was closed");
        answer.extend(buffer.iter().take(length));
    }
    ensure!(
        answer.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    Ok(())
}

fn is_whole(answer: &[u8]) -> bool {
    let end = answer.windows(4).position(|it| it == b"\r\n\r\n");
    end.is_some_and(|end| answer.len() >= end + 4 + 1024)
}

const LOOK: Duration = Duration::from_millis(500);
/// As many as make six seconds.
const LOOKS: usize = 12;
const WARM_UP: usize = 500;
const CONNECTIONS: usize = 5000;
