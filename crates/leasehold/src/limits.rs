//! How much of the system's descriptors consumers may take.
//!
//! A provider is called over descriptors of the same process. Where consumers could take them all,
//! they could keep every lease from being renewed.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::warn;

/// Raises the limit on open files as far as the system lets us, and returns it.
pub(crate) fn raise_file_limit() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum.unwrap_or(u64::MAX),
        Err(error) => {
            warn!(%error, "the limit on open files stays as it is");
            current.unwrap_or(u64::MAX)
        }
    }
}

/// Returns how many connections from consumers each worker may hold: each may need a second
/// descriptor for its upstream, and some are kept for everything else.
pub(crate) fn connections_per_worker(open_files: u64, workers: usize) -> usize {
    let shared = usize::try_from(open_files.saturating_sub(KEPT)).unwrap_or(usize::MAX);
    let descriptors_each = workers.saturating_mul(2).max(1);
    (shared / descriptors_each).clamp(FEWEST, MOST)
}

const KEPT: u64 = 256;
const FEWEST: usize = 16;
const MOST: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_the_descriptors_is_kept() {
        assert_eq!(connections_per_worker(1024, 2), 192);
        assert_eq!(connections_per_worker(1_048_576, 4), 10_000);
        assert_eq!(connections_per_worker(u64::MAX, 1), 10_000);
        assert_eq!(connections_per_worker(100, 8), 16);
    }
}
