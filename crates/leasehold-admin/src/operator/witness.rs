use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use tokio::net::UnixListener;
use tracing::{info, warn};

use crate::OperationError;

/// Who is at the other end of a connection, by the system's word.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    uid: Option<u32>,
    pid: Option<i32>,
}

impl Connected<IncomingStream<'_, UnixListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, UnixListener>) -> Self {
        let credentials = stream.io().peer_cred().ok();
        Self {
            uid: credentials.map(|it| it.uid()),
            pid: credentials.and_then(|it| it.pid()),
        }
    }
}

/// Sees to it that a verb leaves its line in the log, however it ends.
pub(super) struct Witness {
    peer: Peer,
    verb: &'static str,
    about: String,
    told: bool,
}

impl Witness {
    pub(super) fn of(peer: Peer, verb: &'static str, about: impl Into<String>) -> Self {
        Self {
            peer,
            verb,
            about: about.into(),
            told: false,
        }
    }

    /// Logs how the verb ended, and hands the outcome on.
    pub(super) fn tell<T: Outcomes>(
        mut self,
        outcome: Result<T, OperationError>,
    ) -> Result<T, OperationError> {
        self.told = true;
        let (uid, pid, verb, about) = (self.peer.uid, self.peer.pid, self.verb, &self.about);
        match &outcome {
            Ok(outcome) => {
                let outcome = outcome.in_words();
                info!(uid, pid, verb, about, outcome, "operator");
            }
            Err(error) => warn!(uid, pid, verb, about, outcome = %error, "operator"),
        }
        outcome
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        if self.told {
            return;
        }
        let (uid, pid, verb, about) = (self.peer.uid, self.peer.pid, self.verb, &self.about);
        let outcome = "the operator went away before the end; what was begun goes on";
        warn!(uid, pid, verb, about, outcome, "operator");
    }
}

/// What a verb came to, for the log.
pub(super) trait Outcomes {
    fn in_words(&self) -> String;
}

impl Outcomes for Vec<crate::Lease> {
    fn in_words(&self) -> String {
        format!("{} generations held", self.len())
    }
}

impl Outcomes for crate::Lease {
    fn in_words(&self) -> String {
        let Self {
            credential,
            generation,
            state,
            ..
        } = self;
        format!("{credential}, generation {generation}, {state}")
    }
}

impl Outcomes for Vec<crate::Rotation> {
    fn in_words(&self) -> String {
        let each = self.iter().map(|it| match &it.cause {
            Some(cause) => format!("{} ({cause}) after {} ms", it.outcome, it.took_ms),
            None => format!("{} after {} ms", it.outcome, it.took_ms),
        });
        listed(each)
    }
}

impl Outcomes for Vec<crate::Revocation> {
    fn in_words(&self) -> String {
        let each = self.iter();
        listed(each.map(|it| format!("{} {} after {} ms", it.lease_id, it.outcome, it.took_ms)))
    }
}

impl Outcomes for () {
    fn in_words(&self) -> String {
        "done".to_owned()
    }
}

impl Outcomes for crate::Reload {
    /// The report is in the line that says why.
    fn in_words(&self) -> String {
        format!("{}, configuration {}", self.outcome, self.generation)
    }
}

/// A line of the log has an end, even where thousands of leases do not.
fn listed(each: impl ExactSizeIterator<Item = String>) -> String {
    let count = each.len();
    let shown: Vec<String> = each.take(SHOWN).collect();
    match count.checked_sub(shown.len()) {
        None | Some(0) if count == 0 => "nothing on a lease".to_owned(),
        None | Some(0) => shown.join("; "),
        Some(more) => format!("{}; and {more} more", shown.join("; ")),
    }
}

const SHOWN: usize = 20;
