//! Installs servers that no package index for Python has, from Debian's packages.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::run::{run, succeeds};

/// Unpacks nginx and `HAProxy` with the libraries that a lean system lacks below `tools`, unless they are
/// there or the system has them.
///
/// apt verifies what it downloads; which versions those are is up to the release of Debian.
pub(super) fn install(tools: &Path) -> Result<()> {
    let places = [Path::new("/usr/sbin"), &tools.join("debian/usr/sbin")];
    let is_there = |name: &&str| places.iter().any(|place| place.join(name).exists());
    if SERVERS.iter().all(is_there) {
        return Ok(());
    }
    ensure!(
        Path::new("/etc/debian_version").exists(),
        "install nginx and haproxy: they are taken from Debian's packages, and this is no Debian"
    );
    let stage = tools.join(".stage-debian");
    super::remove(&stage)?;
    let unpacked = stage.join("unpacked");
    fs::create_dir_all(&unpacked).context("make room to unpack")?;
    println!("install nginx and haproxy from Debian");
    if download(&stage).is_err() {
        // A system that was just made has no lists of packages.
        run(Command::new("apt-get").args(["update", "--quiet"]))?;
        download(&stage)?;
    }
    for entry in fs::read_dir(&stage).context("look for the packages")? {
        let package = entry.context("look for the packages")?.path();
        if package.extension().is_some_and(|it| it == "deb") {
            run(Command::new("dpkg-deb")
                .arg("-x")
                .arg(&package)
                .arg(&unpacked))?;
        }
    }
    try_out(&unpacked)?;
    let place = tools.join("debian");
    super::remove(&place)?;
    fs::rename(&unpacked, &place).with_context(|| format!("fill {}", place.display()))?;
    super::remove(&stage)
}

fn download(stage: &Path) -> Result<()> {
    let mut apt = Command::new("apt-get");
    apt.args(["download", "--quiet"])
        .args(SERVERS)
        .args(LIBRARIES);
    run(apt.current_dir(stage))
}

fn try_out(unpacked: &Path) -> Result<()> {
    let libraries = ["usr/lib", "lib"].map(|dir| unpacked.join(dir).join("x86_64-linux-gnu"));
    let libraries = std::env::join_paths(libraries).context("name the libraries")?;
    for name in SERVERS {
        let mut server = Command::new(unpacked.join("usr/sbin").join(name));
        server.env("LD_LIBRARY_PATH", &libraries);
        ensure!(
            succeeds(server.arg("-v")),
            "{name} of Debian does not run here"
        );
    }
    Ok(())
}

const SERVERS: &[&str] = &["nginx", "haproxy"];
const LIBRARIES: &[&str] = &[
    "libcap2",
    "liblua5.3-0",
    "libopentracing-c-wrapper0",
    "libopentracing1",
    "libpcre2-8-0",
    "libssl3",
    "libsystemd0",
];
