use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::scanner::Scanner;

/// The scanners of all generations of a credential that live: the one in service, those that requests still
/// use, and the one that is about to come. Clones are of the same credential.
#[derive(Clone, Debug, Default)]
pub struct Watchlist(Arc<Mutex<Vec<Weak<Scanner>>>>);

impl Watchlist {
    /// Adds a generation's. It is off the list when the generation is dropped.
    pub fn add(&self, scanner: &Arc<Scanner>) {
        let mut list = self.0.lock();
        list.retain(|it| it.strong_count() > 0);
        list.push(Arc::downgrade(scanner));
    }

    /// Returns those that live now.
    #[must_use]
    pub fn live(&self) -> Vec<Arc<Scanner>> {
        self.0.lock().iter().filter_map(Weak::upgrade).collect()
    }
}
