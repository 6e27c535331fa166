use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::metrics;
use crate::run::{Workspace, output};

/// Writes the files that are generated and committed.
pub(crate) fn write(workspace: &Workspace) -> Result<()> {
    let path = workspace.root.join(SCHEMA);
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    }
    fs::write(&path, schema(workspace)?).with_context(|| format!("write {SCHEMA}"))
}

/// Fails where a committed file is not what would be generated, or tells of other metrics than there are.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let committed = fs::read_to_string(workspace.root.join(SCHEMA))
        .with_context(|| format!("read {SCHEMA}: run `cargo xtask gen`"))?;
    ensure!(
        committed == schema(workspace)?,
        "{SCHEMA} is out of date: run `cargo xtask gen` and commit it"
    );
    metrics::check(workspace)
}

fn schema(workspace: &Workspace) -> Result<String> {
    let arguments = [
        "run",
        "--quiet",
        "--locked",
        "--package",
        "leasehold",
        "--",
        "schema",
    ];
    output(&mut workspace.cargo(&arguments))
}

const SCHEMA: &str = "docs/config.schema.json";
