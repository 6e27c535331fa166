use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::{deny, faults, files};
use crate::run::{Workspace, succeeds};

/// Proves that each check refuses a workspace whose walls are breached, and only such a one.
pub(crate) fn self_test(workspace: &Workspace) -> Result<()> {
    let copy = Copy::of(workspace)?;
    ensure!(
        copy.is_accepted_by_deny(),
        "cargo-deny refuses a copy without a breach"
    );
    let found = copy.faults()?;
    ensure!(
        found.is_empty(),
        "the checks refuse a copy without a breach: {found:?}"
    );
    for (room, import) in FORBIDDEN {
        copy.assert_refused_edge(room, import)
            .with_context(|| format!("{room} imports {import}"))?;
        println!("refused by both: {room} -> {import}");
    }
    for plant in PLANTS {
        copy.assert_refused_plant(plant)
            .with_context(|| format!("planted {}", plant.file))?;
        println!("refused: {}", plant.what);
    }
    Ok(())
}

/// A copy of the workspace that may be spoiled.
struct Copy<'a> {
    workspace: &'a Workspace,
    root: PathBuf,
}

/// A file that must be refused, and what is wrong with it.
struct Plant {
    what: &'static str,
    file: &'static str,
    text: &'static str,
    finding: &'static str,
}

// === impl Copy ===

impl<'a> Copy<'a> {
    fn of(workspace: &'a Workspace) -> Result<Self> {
        let copy = Self {
            workspace,
            root: workspace.tools().join(".breached"),
        };
        copy.remove()?;
        for file in files(&workspace.root)? {
            let relative = file
                .strip_prefix(&workspace.root)
                .context("outside the root")?;
            if is_needed(relative) {
                let target = copy.root.join(relative);
                let dir = target.parent().context("a file in no directory")?;
                fs::create_dir_all(dir).context("make a directory of the copy")?;
                fs::copy(&file, &target).with_context(|| format!("copy {}", file.display()))?;
            }
        }
        Ok(copy)
    }

    fn is_accepted_by_deny(&self) -> bool {
        succeeds(&mut self.deny_bans())
    }

    fn faults(&self) -> Result<Vec<String>> {
        faults(&self.root)
    }

    fn assert_refused_edge(&self, room: &str, import: &str) -> Result<()> {
        let manifest = self.root.join("crates").join(room).join("Cargo.toml");
        let original = fs::read_to_string(&manifest).context("read the manifest")?;
        let breached = with_dependency(&original, import).context("no place for a dependency")?;
        fs::write(&manifest, breached).context("breach the manifest")?;

        let output = self.deny_bans().output().context("run cargo-deny")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let banned = said.contains("banned") && said.contains(import);
        ensure!(
            !output.status.success() && banned,
            "cargo-deny lets it pass: {said}"
        );
        let found = self.faults()?;
        let expected = format!("{room} must not import {import}");
        ensure!(found == [expected], "the table of rooms finds {found:?}");

        fs::write(&manifest, original).context("mend the manifest")
    }

    fn assert_refused_plant(&self, plant: &Plant) -> Result<()> {
        let path = self.root.join(plant.file);
        fs::write(&path, plant.text).context("plant a file")?;
        let found = self.faults()?;
        let refused = matches!(found.as_slice(), [one]
            if one.contains(plant.file) && one.contains(plant.finding));
        ensure!(refused, "the checks find {found:?}");
        fs::remove_file(&path).context("remove what was planted")
    }

    fn deny_bans(&self) -> std::process::Command {
        let mut command = deny(self.workspace, &self.root);
        command.args(["--offline", "check", "bans"]);
        command
    }

    fn remove(&self) -> Result<()> {
        if self.root.exists() {
            fs::remove_dir_all(&self.root).context("remove the copy")?;
        }
        Ok(())
    }
}

impl Drop for Copy<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            println!("warning: {error:#}");
        }
    }
}

fn is_needed(relative: &Path) -> bool {
    let ours = relative.starts_with("crates") || relative.starts_with("xtask");
    ours || ROOT_FILES.iter().any(|name| relative == Path::new(name))
}

/// Adds a room to the dependencies of a manifest.
fn with_dependency(manifest: &str, import: &str) -> Option<String> {
    let section = "[dependencies]\n";
    let (before, after) = manifest.split_once(section)?;
    Some(format!(
        "{before}{section}{import}.workspace = true\n{after}"
    ))
}

const ROOT_FILES: [&str; 4] = ["Cargo.toml", "Cargo.lock", "clippy.toml", "deny.toml"];

/// Edges that would let a room see plaintext, choose a provider or start a server.
const FORBIDDEN: [(&str, &str); 12] = [
    ("leasehold-admin", "leasehold-secret"),
    ("leasehold-audit", "leasehold-secret"),
    ("leasehold-broker", "leasehold-secret"),
    ("leasehold-config", "leasehold-secret"),
    ("leasehold-consumer", "leasehold-secret"),
    ("leasehold-lease", "leasehold-secret"),
    ("leasehold-ledger", "leasehold-secret"),
    ("leasehold-proxy", "leasehold-secret"),
    ("leasehold-testkit", "leasehold-secret"),
    ("leasehold-proxy", "leasehold-provider-vault"),
    ("leasehold-broker", "leasehold-provider-native"),
    ("leasehold-broker", "leasehold-testkit"),
];

const PLANTS: &[Plant] = &[
    Plant {
        what: "plaintext revealed without a reason",
        file: "crates/leasehold-inject/src/planted.rs",
        text: "fn f(secret: &Secret) -> usize {\n    secret.expose().len()\n}\n",
        finding: "reveals plaintext",
    },
    Plant {
        what: "a room handed on by another",
        file: "crates/leasehold-provider/src/planted.rs",
        text: "pub use leasehold_secret::Expose;\n",
        finding: "re-exports another room",
    },
    Plant {
        what: "a second clippy.toml",
        file: "crates/leasehold-proxy/clippy.toml",
        text: "",
        finding: "replaces the bans",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dependency_is_added_where_what_ships_is_listed() {
        let manifest = "[package]\n\n[dependencies]\na = \"1\"\n\n[dev-dependencies]\nb = \"1\"\n";
        let breached = with_dependency(manifest, "leasehold-secret").expect("a place");
        let expected =
            "[package]\n\n[dependencies]\nleasehold-secret.workspace = true\na = \"1\"\n";
        assert!(breached.starts_with(expected), "{breached}");
        assert!(with_dependency("[package]\n", "leasehold-secret").is_none());
    }
}
