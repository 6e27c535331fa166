use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// Why the process could not be hardened.
#[derive(Debug, thiserror::Error)]
pub enum HardenError {
    /// The limit on core files could not be set.
    #[error("set the core file limit to zero")]
    CoreLimit(#[source] Errno),
    /// The process could not be marked as not dumpable.
    #[error("mark the process as not dumpable")]
    Dumpable(#[source] Errno),
}

/// Keeps the memory of this process out of core files and away from other processes of its user.
///
/// The limit alone does not do: with a pipe in `core_pattern` the kernel dumps regardless of it.
///
/// # Errors
///
/// When the system refuses either step; the process should not go on to load a secret.
pub fn harden() -> Result<(), HardenError> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).map_err(HardenError::CoreLimit)?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(HardenError::Dumpable)
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn a_hardened_process_leaves_no_core_file() {
        harden().expect("the kernel accepts both steps");
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        assert_eq!(dumpable_behavior(), Ok(DumpableBehavior::NotDumpable));
    }
}
