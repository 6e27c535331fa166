use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use leasehold_model::LimitName;
use parking_lot::Mutex;

use crate::{Key, Per};

/// How many requests of one key may be under way at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConcurrencySpec {
    /// Its name.
    pub name: LimitName,
    /// What requests are counted by.
    pub per: Per,
    /// How many there may be.
    pub requests: NonZeroU32,
}

/// Counts the requests that are under way. It knows no more keys than there are requests.
#[derive(Debug)]
pub struct ConcurrencyLimit {
    spec: ConcurrencySpec,
    under_way: Mutex<HashMap<Key, u32>>,
}

impl ConcurrencyLimit {
    /// Makes a limit with nothing under way.
    #[must_use]
    pub fn new(spec: ConcurrencySpec) -> Self {
        Self {
            spec,
            under_way: Mutex::default(),
        }
    }

    /// Returns what it was made from.
    #[must_use]
    pub const fn spec(&self) -> &ConcurrencySpec {
        &self.spec
    }

    /// Lets a request in for as long as its permit is held; `None` where as many are under way as may.
    #[must_use]
    pub fn enter(self: &Arc<Self>, key: Key) -> Option<Permit> {
        let mut under_way = self.under_way.lock();
        let count = under_way.entry(key.clone()).or_default();
        if *count >= self.spec.requests.get() {
            return None;
        }
        *count += 1;
        drop(under_way);
        Some(Permit {
            limit: Arc::clone(self),
            key,
        })
    }

    fn leave(&self, key: &Key) {
        let mut under_way = self.under_way.lock();
        if let Some(count) = under_way.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                under_way.remove(key);
            }
        }
    }

    /// Returns how many keys have requests under way.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.under_way.lock().len()
    }
}

/// The right to be under way, given back when it is dropped.
#[derive(Debug)]
pub struct Permit {
    limit: Arc<ConcurrencyLimit>,
    key: Key,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limit.leave(&self.key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::key;

    #[test]
    fn a_permit_counts_until_it_is_dropped() {
        let spec = ConcurrencySpec {
            name: "l".into(),
            per: Per {
                consumer: true,
                ..Per::default()
            },
            requests: NonZeroU32::new(2).expect("not zero"),
        };
        let limit = Arc::new(ConcurrencyLimit::new(spec));
        let first = limit.enter(key("a")).expect("free");
        let second = limit.enter(key("a")).expect("free");
        assert!(limit.enter(key("a")).is_none());
        assert!(limit.enter(key("b")).is_some());
        assert_eq!(limit.keys(), 1);
        drop(first);
        let third = limit.enter(key("a")).expect("free again");
        assert!(limit.enter(key("a")).is_none());
        drop((second, third));
        assert_eq!(limit.keys(), 0);
    }
}
