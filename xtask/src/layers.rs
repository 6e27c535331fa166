use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::run::{Workspace, metadata, run};
use crate::setup;

mod breach;
mod edges;
mod manifest;
mod source;

pub(crate) use breach::self_test;

/// Checks the walls between the rooms.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    setup::cargo_deny(workspace)?;
    run(deny(workspace, &workspace.root).args(["check", "bans", "licenses", "sources"]))?;
    let faults = faults(&workspace.root)?;
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{}", faults.join("\n"));
}

/// Starts cargo-deny on the workspace in `root`.
fn deny(workspace: &Workspace, root: &Path) -> Command {
    let mut command = Command::new(setup::cargo_deny_program(workspace));
    // Duplicate versions are worth a look now and then, and not at each run.
    command
        .args(["--log-level", "error", "--manifest-path"])
        .arg(root.join("Cargo.toml"));
    command
}

/// Finds every breach that cargo-deny can't see, in the workspace in `root`.
fn faults(root: &Path) -> Result<Vec<String>> {
    let rooms = edges::rooms(&metadata(root)?)?;
    let mut faults = edges::faults(&rooms);
    for room in &rooms {
        let text = read(&room.manifest)?;
        faults.extend(manifest::fault(&text).map(|fault| at(root, &room.manifest, fault)));
    }
    for file in files(root)? {
        if file.extension().is_some_and(|extension| extension == "rs") && is_shipped(root, &file) {
            let text = read(&file)?;
            faults.extend(source::faults(&text).map(|(line, fault)| {
                let place = format!("{}:{line}", relative(root, &file).display());
                format!("{place}: {fault}")
            }));
        }
        if manifest::is_second_clippy_config(root, &file) {
            faults.push(at(root, &file, "replaces the bans of the one at the root"));
        }
    }
    Ok(faults)
}

/// Tells whether a source file is part of a room, and not of its tests.
fn is_shipped(root: &Path, file: &Path) -> bool {
    let relative = relative(root, file);
    let mut parts = relative.iter().filter_map(|part| part.to_str());
    let in_a_room = parts.next() == Some("crates") && parts.nth(1) == Some("src");
    in_a_room && file.file_name().is_some_and(|name| name != "tests.rs")
}

/// Lists the files of a workspace, without what is built or hidden.
fn files(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut dirs = vec![root.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
            let entry = entry.with_context(|| format!("list {}", dir.display()))?;
            let kind = entry.file_type().context("look at a file")?;
            let name = entry.file_name();
            let hidden_dir = kind.is_dir() && name.as_encoded_bytes().starts_with(b".");
            if kind.is_file() {
                files.push(entry.path());
            } else if kind.is_dir() && !hidden_dir && name != "target" {
                dirs.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

fn at(root: &Path, file: &Path, fault: &str) -> String {
    format!("{}: {fault}", relative(root, file).display())
}

fn relative<'a>(root: &Path, file: &'a Path) -> &'a Path {
    file.strip_prefix(root).unwrap_or(file)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}
