use hyper_util::rt::TokioIo;
use leasehold_model::ReasonCode;
use tokio::sync::watch;

use super::reader::ConsumerIo;
use super::strict::Strict;
use super::worker::Phase;
use crate::websocket::Tunnel;

/// Serves what a connection of HTTP/1.1 has become, until it is closed or cut.
pub(super) async fn serve(mut tunnel: Box<Tunnel>, phase: &mut watch::Receiver<Phase>) {
    let Some(upgraded) = tunnel.consumer().await else {
        // The connection was gone before the answer was: the tunnel's account says so.
        return;
    };
    let Ok(parts) = upgraded.downcast::<TokioIo<Strict<ConsumerIo>>>() else {
        return tunnel.refuse(ReasonCode::Internal);
    };
    // It came before the answer had gone out, and can't have been meant for what comes after it.
    if !parts.read_buf.is_empty() {
        return tunnel.refuse(ReasonCode::BadRequest);
    }
    let mut told = phase.clone();
    let draining = async {
        // Also where the worker is gone.
        drop(told.wait_for(|phase| *phase >= Phase::Draining).await);
    };
    tokio::select! {
        () = tunnel.run(parts.io.into_inner(), draining) => {}
        _ = phase.wait_for(|phase| *phase == Phase::Cut) => {}
    }
}
