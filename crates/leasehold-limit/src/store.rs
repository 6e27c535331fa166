use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;
use parking_lot::Mutex;

use crate::Key;

/// What is known of each key: when it will have been idle for long enough to be as good as new.
///
/// There is room for so many keys. Those beyond have one state in common, so that whoever comes up with
/// ever more keys gains nothing by it, and what is known of the others is not lost.
#[derive(Debug)]
pub(crate) struct Store {
    /// Keyed by chance, so that nobody can choose keys that are slow to find.
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
    /// How many keys a shard has room for.
    room: usize,
}

#[derive(Debug, Default)]
struct Shard {
    known: HashMap<Key, Nanos>,
    /// The state of all keys that there was no room for.
    beyond: Option<Nanos>,
}

impl Store {
    pub(crate) fn new(keys: usize) -> Self {
        let shards = std::iter::repeat_with(Mutex::default).take(SHARDS);
        Self {
            hasher: RandomState::new(),
            shards: shards.collect(),
            room: keys.div_ceil(SHARDS).max(1),
        }
    }

    fn shard(&self, key: &Key) -> Option<&Mutex<Shard>> {
        let hash = self.hasher.hash_one(key);
        let place = usize::try_from(hash % SHARDS as u64).unwrap_or_default();
        self.shards.get(place)
    }
}

impl StateStore for Store {
    type Key = Key;

    fn measure_and_replace<T, F, E>(&self, key: &Key, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let Some(shard) = self.shard(key) else {
            return decide(None).map(|(decided, _)| decided);
        };
        let mut shard = shard.lock();
        if let Some(at) = shard.known.get_mut(key) {
            let (decided, next) = decide(Some(*at))?;
            *at = next;
            return Ok(decided);
        }
        let is_full = shard.known.len() >= self.room;
        let (decided, next) = decide(shard.beyond.filter(|_| is_full))?;
        if is_full {
            shard.beyond = Some(next);
        } else {
            shard.known.insert(key.clone(), next);
        }
        Ok(decided)
    }
}

impl ShrinkableKeyedStateStore<Key> for Store {
    fn retain_recent(&self, drop_below: Nanos) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            shard.known.retain(|_, at| *at > drop_below);
            shard.beyond = shard.beyond.filter(|at| *at > drop_below);
            let kept = shard.known.len();
            if shard.known.capacity() > kept.saturating_mul(4).max(LEAST_CAPACITY) {
                shard.known.shrink_to(kept.saturating_mul(2));
            }
        }
    }

    fn len(&self) -> usize {
        self.shards.iter().map(|it| it.lock().known.len()).sum()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Enough that cores seldom wait for each other.
const SHARDS: usize = 16;
const LEAST_CAPACITY: usize = 64;
