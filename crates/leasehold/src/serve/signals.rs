//! The signals that the process answers.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{info, warn};

use super::ServeError;

/// The signals that end the process.
pub(crate) struct Stop([Signal; 3]);

/// The signals by which operators ask for something else.
pub(crate) struct Asks {
    reload: Signal,
    reopen: Signal,
    upgrade: Signal,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ask {
    /// SIGHUP.
    Reload,
    /// SIGUSR1.
    Reopen,
}

/// Takes the signals over from the system, which would end the process without giving a lease back.
pub(crate) fn listen() -> Result<(Stop, Asks), ServeError> {
    let stop = Stop([
        hear(SignalKind::terminate())?,
        hear(SignalKind::interrupt())?,
        hear(SignalKind::quit())?,
    ]);
    let asks = Asks {
        reload: hear(SignalKind::hangup())?,
        reopen: hear(SignalKind::user_defined1())?,
        upgrade: hear(SignalKind::user_defined2())?,
    };
    Ok((stop, asks))
}

impl Stop {
    /// Waits until the process is told to stop.
    pub(crate) async fn told(self) {
        let Self([mut terminate, mut interrupt, mut quit]) = self;
        tokio::select! {
            _ = terminate.recv() => info!(signal = "SIGTERM", "told to stop"),
            _ = interrupt.recv() => info!(signal = "SIGINT", "told to stop"),
            _ = quit.recv() => info!(signal = "SIGQUIT", "told to stop"),
        }
    }
}

impl Asks {
    /// Waits for the next. The signal by which other servers start their successor is answered in the log
    /// only.
    pub(super) async fn next(&mut self) -> Ask {
        loop {
            tokio::select! {
                _ = self.reload.recv() => return Ask::Reload,
                _ = self.reopen.recv() => return Ask::Reopen,
                _ = self.upgrade.recv() => warn!(
                    "start the new program with `serve --upgrade-from SOCKET`: it takes over by itself"
                ),
            }
        }
    }
}

fn hear(kind: SignalKind) -> Result<Signal, ServeError> {
    let heard: io::Result<Signal> = signal(kind);
    heard.map_err(ServeError::Signals)
}
