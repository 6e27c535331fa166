use std::future::IntoFuture as _;
use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::operator::{self, Peer};
use crate::router::router;
use crate::{Admin, Operator, OperatorSocket};

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
    let serving = axum::serve(listener, router(admin))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned())
        .into_future();
    within_grace(serving, shutdown).await
}

/// Serves the operator's socket until `shutdown`, and then for up to 2 seconds more the verbs that
/// have begun. Its file is removed at the end.
///
/// # Errors
///
/// When the socket fails.
pub async fn serve_operator(
    socket: OperatorSocket,
    operator: Operator,
    shutdown: CancellationToken,
) -> io::Result<()> {
    let OperatorSocket { listener, file } = socket;
    let service = operator::router(operator).into_make_service_with_connect_info::<Peer>();
    let serving = axum::serve(listener, service)
        .with_graceful_shutdown(shutdown.clone().cancelled_owned())
        .into_future();
    let outcome = within_grace(serving, shutdown).await;
    drop(file);
    outcome
}

async fn within_grace(
    serving: impl Future<Output = io::Result<()>>,
    shutdown: CancellationToken,
) -> io::Result<()> {
    // A caller that never ends its request must not hold up the end of the process.
    let cut_off = async {
        shutdown.cancelled().await;
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
