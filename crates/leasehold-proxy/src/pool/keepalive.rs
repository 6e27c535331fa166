use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// Makes the kernel ask after a side that is silent: one that went away without a word would hold
/// its connection for good.
pub(crate) fn keep_alive(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENCE))
}

const SILENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_silent_side_is_asked_after() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stream = TcpStream::connect(address).await.expect("a connection");
        keep_alive(&stream).expect("an open socket");
        assert_eq!(SockRef::from(&stream).keepalive().ok(), Some(true));
    }
}
