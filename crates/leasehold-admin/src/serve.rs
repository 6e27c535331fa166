use std::future::IntoFuture as _;
use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::Admin;
use crate::router::router;

/// Serves the admin listener until `shutdown`, and then for up to 2 seconds more the requests that
/// have begun.
///
/// # Errors
///
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    admin: Admin,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let cut_off = shutdown.clone();
    let serving = axum::serve(listener, router(admin))
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .into_future();
    // A caller that never ends its request must not hold up the end of the process.
    let cut_off = async {
        cut_off.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    match select(pin!(serving), pin!(cut_off)).await {
        Either::Left((outcome, _)) => outcome,
        Either::Right(((), _)) => {
            tracing::warn!("the admin listener was closed with requests under way");
            Ok(())
        }
    }
}

const GRACE: Duration = Duration::from_secs(2);
