//! Somebody who issues tokens, and the keys of theirs that are at hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::HeaderName;
use leasehold_model::{BootTime, IssuerName};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::algorithm::Algorithm;
use crate::jwks::KeySet;

/// Somebody whose tokens are taken, and which ones.
#[derive(Clone, Debug)]
pub struct Issuer {
    /// Its name here.
    pub name: IssuerName,
    /// What its tokens have as `iss`, character by character.
    pub identifier: String,
    /// Whom its tokens are for: one of these stands in `aud`.
    pub audiences: Vec<String>,
    /// How its tokens may be signed.
    pub algorithms: Vec<Algorithm>,
    /// How far its clock may be from ours.
    pub clock_skew: Duration,
    /// The header that its tokens come in; in `Authorization` behind the word `Bearer`.
    pub header: HeaderName,
    /// How many bytes a token has at most.
    pub longest: usize,
    /// Its keys.
    pub keys: Arc<IssuerKeys>,
}

/// The keys of an issuer that are at hand, for all cores and over all reloads.
#[derive(Debug)]
pub struct IssuerKeys {
    held: ArcSwapOption<Held>,
    max_stale: Duration,
    /// When somebody last asked for the keys to be fetched before their time.
    asked: AtomicU64,
    asks: Notify,
    /// How often they were fetched, or not to be had.
    attempts: watch::Sender<u64>,
}

#[derive(Debug)]
struct Held {
    keys: Arc<KeySet>,
    fetched: BootTime,
}

impl IssuerKeys {
    /// Makes the place for keys, which are of use for `max_stale` after they were last confirmed.
    #[must_use]
    pub fn new(max_stale: Duration) -> Self {
        Self {
            held: ArcSwapOption::empty(),
            max_stale,
            asked: AtomicU64::new(0),
            asks: Notify::new(),
            attempts: watch::Sender::new(0),
        }
    }

    /// Puts keys in the place of those before.
    pub fn publish(&self, keys: KeySet, now: BootTime) {
        self.held.store(Some(Arc::new(Held {
            keys: Arc::new(keys),
            fetched: now,
        })));
        self.attempted();
    }

    /// Says that an attempt has come to an end.
    pub(crate) fn attempted(&self) {
        self.attempts.send_modify(|it| *it = it.wrapping_add(1));
    }

    /// Returns the keys, where they are not too old.
    pub(crate) fn current(&self, now: BootTime) -> Option<Arc<KeySet>> {
        let held = self.held.load();
        let held = held.as_ref()?;
        (now.since(held.fetched) <= self.max_stale).then(|| Arc::clone(&held.keys))
    }

    /// Has the keys fetched before their time, and waits a moment for that. Returns whether they may be
    /// others now.
    ///
    /// Whoever makes up ids of keys can't have them fetched more often than once in ten seconds.
    pub async fn refreshed(&self, now: BootTime) -> bool {
        let mut attempts = self.attempts.subscribe();
        // The first attempt is under way by itself, and is none of those that requests may cause.
        let first = *attempts.borrow_and_update() == 0;
        if !first && !self.ask(now) {
            return false;
        }
        let changed = timeout(PATIENCE, attempts.changed()).await;
        changed.is_ok_and(|it| it.is_ok())
    }

    /// Waits until somebody asks.
    pub(crate) async fn asked(&self) {
        self.asks.notified().await;
    }

    /// Asks, and tells whether an attempt is under way.
    fn ask(&self, now: BootTime) -> bool {
        let last = self.asked.load(Ordering::Relaxed);
        let since = now.since(BootTime::from_nanos(last));
        if last != 0 && since < LEAST_INTERVAL {
            // Others may wait for the one that is under way, and for no other.
            return since < PATIENCE;
        }
        let mine = self.asked.compare_exchange(
            last,
            now.as_nanos().max(1),
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        if mine.is_ok() {
            self.asks.notify_one();
        }
        true
    }
}

/// How long a request waits for keys.
const PATIENCE: Duration = Duration::from_secs(2);
/// How much time lies between two fetches that requests cause.
const LEAST_INTERVAL: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whoever_comes_before_the_first_keys_waits_for_them_and_asks_for_no_more() {
        let keys = IssuerKeys::new(Duration::from_secs(60));
        let now = BootTime::default().after(Duration::from_secs(5));
        let (refreshed, ()) = tokio::join!(keys.refreshed(now), async { keys.attempted() });
        assert!(refreshed);
        assert!(timeout(Duration::ZERO, keys.asked()).await.is_err());
        let (refreshed, ()) = tokio::join!(keys.refreshed(now), async {
            keys.asked().await;
            keys.attempted();
        });
        assert!(refreshed, "the next one asks");
    }
}
