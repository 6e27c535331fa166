use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

/// A directory that is removed when it is dropped, unless the test that owns it is failing.
#[derive(Debug)]
pub struct Scratch {
    dir: TempDir,
}

impl Scratch {
    /// Makes a directory under the system's directory for temporary files.
    ///
    /// Others may pass through it and not list it, because a server that runs as another user must
    /// reach its own directory below.
    ///
    /// # Errors
    ///
    /// When the directory can't be made.
    pub fn new() -> Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("leasehold-lab-")
            .tempdir()
            .context("make a scratch directory")?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o711))
            .context("open the scratch directory to its servers")?;
        Ok(Self { dir })
    }

    /// Returns where the directory is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            report_kept(self.dir.path());
        }
    }
}

#[expect(
    clippy::print_stderr,
    reason = "whoever reads the failed test must learn where its logs are"
)]
fn report_kept(dir: &Path) {
    eprintln!("the servers' logs are kept in {}", dir.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_outlives_a_panic_and_nothing_else() {
        let scratch = Scratch::new().expect("a directory");
        let path = scratch.path().to_path_buf();
        drop(scratch);
        assert!(!path.exists());

        let scratch = Scratch::new().expect("a directory");
        let path = scratch.path().to_path_buf();
        let failing = std::thread::spawn(move || {
            let _owned = scratch;
            panic!("on purpose");
        });
        assert!(failing.join().is_err());
        assert!(path.exists());
        fs::remove_dir_all(path).expect("clean up");
    }
}
