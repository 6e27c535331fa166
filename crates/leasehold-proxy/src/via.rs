use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use leasehold_consumer::ClientCertificate;
use leasehold_model::{BootTime, ListenerName};

use crate::server::Limits;

/// What is known of a connection from a consumer before its first request.
#[derive(Debug)]
pub(crate) struct Via {
    pub(crate) listener: ListenerName,
    /// Where it comes from, by the PROXY header where that is spoken; nothing of a Unix socket.
    pub(crate) client: Option<SocketAddr>,
    /// The certificate that the client has proved to be its own, and that the listener's authorities
    /// vouch for.
    pub(crate) certificate: Option<ClientCertificate>,
    pub(crate) limits: Arc<Limits>,
}

/// A connection from a consumer, as its requests see it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) via: Via,
    /// Whether a part of a request was left unread, so that the connection is closed gently.
    unread: AtomicBool,
    requests: AtomicU64,
    /// Requests whose answers have not ended.
    active: AtomicU32,
    /// When the last of them ended, or when the first byte of the next one came.
    since: AtomicU64,
    /// Whether that byte has come.
    heard: AtomicBool,
    /// Requests that were taken back before they were answered.
    abandoned: AtomicU64,
    /// Whether all was read that has come.
    starved: AtomicBool,
    /// Whether something was written that may not have gone out.
    unflushed: AtomicBool,
    /// The number of the last request that bytes were read behind.
    behind: AtomicU64,
    /// Whether the connection is to end with the request that is under way.
    leaves: AtomicBool,
    /// What was read of HTTP/2, in bytes.
    received: AtomicU64,
    /// What of it, and of what was sent, were heads of requests and bodies.
    carried: AtomicU64,
}

impl Link {
    pub(crate) fn new(via: Via, now: BootTime) -> Self {
        Self {
            via,
            unread: AtomicBool::new(false),
            requests: AtomicU64::new(0),
            active: AtomicU32::new(0),
            since: AtomicU64::new(now.as_nanos()),
            heard: AtomicBool::new(false),
            abandoned: AtomicU64::new(0),
            starved: AtomicBool::new(false),
            unflushed: AtomicBool::new(false),
            behind: AtomicU64::new(0),
            leaves: AtomicBool::new(false),
            received: AtomicU64::new(0),
            carried: AtomicU64::new(0),
        }
    }

    /// Writes down how much of HTTP/2 was read, its framing included.
    pub(crate) fn receive(&self, bytes: u64) {
        add(&self.received, bytes);
    }

    /// Writes down that as much of a request or of an answer's body came or went.
    pub(crate) fn carry(&self, bytes: u64) {
        add(&self.carried, bytes);
    }

    /// Tells what the client has sent beyond what its requests can need: frames that carry nothing, each of
    /// which is answered all the same.
    pub(crate) fn talk(&self) -> Talk {
        let carried = self.carried.load(Ordering::Relaxed);
        let received = self.received.load(Ordering::Relaxed);
        let idle = received.saturating_sub(carried.saturating_mul(FRAMING));
        if idle <= SMALL {
            Talk::Useful
        } else if idle <= LARGE {
            Talk::Idle
        } else {
            Talk::Flood
        }
    }

    /// Writes down behind which request bytes were read.
    pub(crate) fn read_behind(&self, request: u64) {
        self.behind.store(request, Ordering::Relaxed);
    }

    /// Tells whether bytes were read behind the request that was counted last.
    pub(crate) fn is_followed(&self) -> bool {
        self.behind.load(Ordering::Relaxed) >= self.requests.load(Ordering::Relaxed)
    }

    /// Writes down that the connection is to end with the request that is under way.
    pub(crate) fn leave(&self) {
        self.leaves.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.leaves.load(Ordering::Relaxed)
    }

    /// Writes down whether whoever reads has to wait for more.
    pub(crate) fn wants_more(&self, starved: bool) {
        self.starved.store(starved, Ordering::Relaxed);
    }

    /// Writes down that something was written.
    pub(crate) fn wrote(&self) {
        self.unflushed.store(true, Ordering::Relaxed);
    }

    /// Writes down that all that was written has gone out.
    pub(crate) fn flushed(&self) {
        self.unflushed.store(false, Ordering::Relaxed);
    }

    /// Tells whether nothing has happened for so long, and nothing is on the way in either direction.
    pub(crate) fn is_quiet(&self, now: BootTime, span: Duration) -> bool {
        let (wait, left) = self.wait(now, span, span);
        wait == Wait::Request
            && left.is_zero()
            && self.starved.load(Ordering::Relaxed)
            && !self.unflushed.load(Ordering::Relaxed)
            && !self.is_unread()
    }

    /// Writes down that a part of a request was left unread for good.
    pub(crate) fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    /// Counts a request, and tells whether it is the last one that the connection may carry.
    pub(crate) fn is_last(&self) -> bool {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1 >= self.via.limits.requests
    }

    /// Counts a request that was taken back, and tells whether that is no use that is made of HTTP.
    pub(crate) fn is_abuse(&self) -> bool {
        let abandoned = self.abandoned.fetch_add(1, Ordering::Relaxed) + 1;
        abandoned > PATIENCE && abandoned * 2 > self.requests.load(Ordering::Relaxed)
    }

    /// Writes down that a request has begun.
    pub(crate) fn begin(&self) {
        self.active.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes down that a request has ended.
    pub(crate) fn end(&self, now: BootTime) {
        self.since.store(now.as_nanos(), Ordering::Relaxed);
        self.heard.store(false, Ordering::Relaxed);
        self.active.fetch_sub(1, Ordering::Relaxed);
    }

    /// Writes down that bytes came, which begin a head where no request is under way.
    pub(crate) fn hear(&self, now: impl FnOnce() -> BootTime) {
        let idle = self.active.load(Ordering::Relaxed) == 0;
        if idle && !self.heard.swap(true, Ordering::Relaxed) {
            self.since.store(now().as_nanos(), Ordering::Relaxed);
        }
    }

    /// Tells what the connection waits for, and how much longer it may do so.
    pub(crate) fn wait(&self, now: BootTime, idle: Duration, head: Duration) -> (Wait, Duration) {
        if self.active.load(Ordering::Relaxed) > 0 {
            return (Wait::Answer, head);
        }
        let waited = now.since(BootTime::from_nanos(self.since.load(Ordering::Relaxed)));
        if self.heard.load(Ordering::Relaxed) {
            (Wait::Head, head.saturating_sub(waited))
        } else {
            (Wait::Request, idle.saturating_sub(waited))
        }
    }
}

/// Adds to what only the connection's own thread writes.
fn add(sum: &AtomicU64, bytes: u64) {
    let sum_now = sum.load(Ordering::Relaxed).saturating_add(bytes);
    sum.store(sum_now, Ordering::Relaxed);
}

/// What a client of HTTP/2 mostly sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Talk {
    /// Requests, and what goes with them.
    Useful,
    /// Frames that ask for nothing: others come first.
    Idle,
    /// More of them than any client has a use for.
    Flood,
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// For an answer to end, which has time limits of its own.
    Answer,
    /// For the rest of a head.
    Head,
    /// For a request.
    Request,
}

/// How many requests a client may take back before it matters how many those are of all.
const PATIENCE: u64 = 100;
/// How many bytes of framing there may be to one of what is carried: messages are small where calls
/// stream, and their clients measure the connection with pings. nginx has the same.
const FRAMING: u64 = 8;
/// What a client may send to begin with and for nothing.
const SMALL: u64 = 16 * 1024;
const LARGE: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_has_its_time_from_its_first_byte_on() {
        let link = link(1);
        let wait = |second| link.wait(at(second), Duration::from_secs(75), Duration::from_secs(10));
        assert_eq!(wait(70), (Wait::Request, Duration::from_secs(5)));
        link.hear(|| at(70));
        link.hear(|| at(79));
        assert_eq!(wait(79), (Wait::Head, Duration::from_secs(1)));
        link.begin();
        assert_eq!(wait(1000).0, Wait::Answer);
        link.hear(|| at(1000));
        link.end(at(1000));
        assert_eq!(wait(1074), (Wait::Request, Duration::from_secs(1)));
    }

    #[test]
    fn the_last_request_is_the_one_that_the_limit_names() {
        let link = link(3);
        assert_eq!([(); 3].map(|()| link.is_last()), [false, false, true]);
    }

    #[test]
    fn taking_requests_back_is_abuse_where_it_is_most_of_what_is_done() {
        let link = link(1000);
        for _ in 0..150 {
            link.is_last();
        }
        let told: Vec<_> = (0..101).map(|_| link.is_abuse()).collect();
        assert!(told[..100].iter().all(|abuse| !abuse) && told[100]);
        for _ in 0..100 {
            link.is_last();
        }
        assert!(!link.is_abuse());
    }

    #[test]
    fn a_client_has_to_carry_something() {
        let link = link(1000);
        link.receive(SMALL);
        assert_eq!(link.talk(), Talk::Useful);
        link.receive(1);
        assert_eq!(link.talk(), Talk::Idle);
        link.carry(1);
        assert_eq!(link.talk(), Talk::Useful);
        link.receive(LARGE);
        assert_eq!(link.talk(), Talk::Flood);
        link.carry(LARGE);
        assert_eq!(link.talk(), Talk::Useful);
    }

    fn link(requests: u64) -> Link {
        let limits = Limits {
            requests,
            ..Limits::default()
        };
        let via = Via {
            listener: "public".into(),
            client: None,
            certificate: None,
            limits: Arc::new(limits),
        };
        Link::new(via, at(0))
    }

    fn at(second: u64) -> BootTime {
        BootTime::default().after(Duration::from_secs(second))
    }
}
