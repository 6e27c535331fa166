use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::wire::Wire;

/// Closes a connection that the other side may still be sending on.
///
/// To close a socket with bytes unread resets the connection, and the other side may lose an answer
/// that it has not read yet. So the write half is closed first, and what still comes is read and
/// thrown away, until the other side has seen the end or has had time enough.
pub(super) async fn close_gently(wire: &mut Wire) {
    // Where either fails there is nobody left to be gentle with.
    drop(timeout(LIMIT, discard(wire)).await);
}

async fn discard(wire: &mut Wire) -> io::Result<()> {
    wire.shutdown().await?;
    // Elsewhere, since it would be a part of every connection that may come to this.
    let mut rest = vec![0; 4096];
    while wire.read(&mut rest).await? > 0 {}
    Ok(())
}

const LIMIT: Duration = Duration::from_secs(2);
