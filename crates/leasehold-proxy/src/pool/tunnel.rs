use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Why a proxy makes no way through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TunnelError {
    /// The connection to it failed.
    #[error("the connection to the proxy failed")]
    Io(#[from] io::Error),
    /// It does not want to.
    #[error("the proxy answers {0}")]
    Refused(u16),
    /// What it says is no answer to `CONNECT`.
    #[error("the proxy does not answer in HTTP")]
    Malformed,
}

/// Asks an HTTP proxy for a way through to `target`, a host with its port.
///
/// # Errors
///
/// When it makes none.
pub(super) async fn open_tunnel(stream: &mut TcpStream, target: &str) -> Result<(), TunnelError> {
    let asked = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    stream.write_all(asked.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        // Nobody speaks first behind the proxy: what follows the head would be somebody else's.
        if answer.len() >= LARGEST_ANSWER || stream.read_buf(&mut answer).await? == 0 {
            return Err(TunnelError::Malformed);
        }
    }
    match status(&answer) {
        Some(200..=299) => Ok(()),
        Some(status) => Err(TunnelError::Refused(status)),
        None => Err(TunnelError::Malformed),
    }
}

fn status(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.")?;
    let status = rest.get(2..5)?;
    let status: u16 = std::str::from_utf8(status).ok()?.parse().ok()?;
    // Another head within the first one's bytes would be the endpoint's, or a trick.
    let ends = answer.windows(4).filter(|it| *it == b"\r\n\r\n").count();
    (ends == 1).then_some(status)
}

const LARGEST_ANSWER: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_head_alone_is_an_answer() {
        assert_eq!(status(b"HTTP/1.1 200 OK\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 407 No\r\nx: y\r\n\r\n"), Some(407));
        for answer in [
            &b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\n\r\n"[..],
            b"SSH-2.0-x\r\n\r\n",
            b"HTTP/1.1 2\r\n\r\n",
        ] {
            assert_eq!(status(answer), None);
        }
    }
}
