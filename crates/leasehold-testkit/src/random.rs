use std::fs::File;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, Result, bail};

/// Returns a fresh random secret of 32 letters and digits.
///
/// # Errors
///
/// When the system gives no randomness.
pub fn secret() -> Result<String> {
    Ok(hex::encode(random::<16>()?))
}

/// Returns a TCP port on 127.0.0.1 that nothing listens on now.
///
/// The port lies below those that the system gives to outgoing connections: a server that is stopped
/// and started again on its port would otherwise now and then find it taken by somebody's client.
///
/// # Errors
///
/// When no port is found.
pub fn free_port() -> Result<u16> {
    for _ in 0..ATTEMPTS {
        let port = FIRST_PORT + u16::from_le_bytes(random::<2>()?) % PORTS;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no free port in {ATTEMPTS} attempts");
}

fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut bytes))
        .context("read randomness from the system")?;
    Ok(bytes)
}

const ATTEMPTS: u32 = 200;
const FIRST_PORT: u16 = 12_000;
const PORTS: u16 = 20_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_can_be_listened_on() {
        let port = free_port().expect("a port");
        assert!((FIRST_PORT..FIRST_PORT + PORTS).contains(&port));
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("bind");
    }

    #[test]
    fn secrets_differ() {
        assert_ne!(secret().expect("one"), secret().expect("another"));
    }
}
