use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

use crate::run::Workspace;

/// Fails where the source registers other metrics than the document tells of.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let document = fs::read_to_string(workspace.root.join(DOCUMENT))
        .with_context(|| format!("read {DOCUMENT}"))?;
    let mut registered = BTreeSet::new();
    collect(&workspace.root.join("crates"), &mut registered)?;
    let faults = faults(&document, &registered);
    if faults.is_empty() {
        return Ok(());
    }
    bail!("{}", faults.join("\n"));
}

/// Adds the metrics that the sources below `dir` register.
fn collect(dir: &Path, registered: &mut BTreeSet<String>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            // Tests may register what they like.
            if !path.ends_with("tests") {
                collect(&path, registered)?;
            }
        } else if path.extension().is_some_and(|it| it == "rs") && !path.ends_with("tests.rs") {
            let source =
                fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            registered.extend(names(&source));
        }
    }
    Ok(())
}

/// Returns the first argument of each call of `register` that is a metric's name.
fn names(source: &str) -> impl Iterator<Item = String> {
    source.split(".register(").skip(1).filter_map(|call| {
        let literal = call.trim_start().strip_prefix('"')?;
        let (name, _) = literal.split_once('"')?;
        name.starts_with("leasehold_").then(|| name.to_owned())
    })
}

fn faults(document: &str, registered: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut documented = BTreeMap::new();
    let mut labels = BTreeSet::new();
    let mut used = BTreeSet::new();
    for (number, line) in document.lines().enumerate() {
        let place = format!("{DOCUMENT}:{}", number + 1);
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        match cells.as_slice() {
            [name, kind, _, of, _, _] if name.starts_with("`leasehold_") => {
                let name = name.trim_matches('`');
                // The encoder adds `_total` to a counter's name.
                let base = name.strip_suffix("_total").unwrap_or(name);
                if (*kind == "counter") != name.ends_with("_total") {
                    faults.push(format!(
                        "{place}: a counter, and no other, ends in `_total`"
                    ));
                }
                if documented.insert(base.to_owned(), place.clone()).is_some() {
                    faults.push(format!("{place}: `{name}` has a row already"));
                }
                used.extend(words(of).map(|label| (label, place.clone())));
            }
            [label, _, _] if label.starts_with('`') => labels.extend(words(label)),
            _ => {}
        }
    }
    for name in registered.iter().filter(|it| !documented.contains_key(*it)) {
        faults.push(format!(
            "{DOCUMENT}: `{name}` is registered and has no row: add one"
        ));
    }
    for (name, place) in documented.iter().filter(|it| !registered.contains(it.0)) {
        faults.push(format!(
            "{place}: nothing registers `{name}`: take the row out"
        ));
    }
    for (label, place) in used.iter().filter(|it| !labels.contains(&it.0)) {
        faults.push(format!(
            "{place}: label `{label}` has no row under `Values of labels`"
        ));
    }
    faults
}

fn words(cell: &str) -> impl Iterator<Item = String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned)
}

const DOCUMENT: &str = "docs/metrics.md";

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "registry.register(\n    \"leasehold_a\",\n    \"A\", a);\nregistry.register(\"leasehold_b\", \"B\", b);";
    const GOOD: &str = "| `leasehold_a_total` | counter | count | `x` | A | – |\n\
                        | `leasehold_b` | gauge | count | | B | – |\n\
                        | `x` | all | `one` |\n";

    fn found(document: &str) -> Vec<String> {
        faults(document, &names(SOURCE).collect())
    }

    #[test]
    fn a_document_that_tells_of_what_is_registered_passes() {
        assert_eq!(found(GOOD), Vec::<String>::new());
    }

    #[test]
    fn each_difference_is_a_fault() {
        for (from, to, fault) in [
            (
                "`leasehold_b`",
                "`leasehold_c`",
                "`leasehold_b` is registered",
            ),
            (
                "`leasehold_b`",
                "`leasehold_c`",
                "nothing registers `leasehold_c`",
            ),
            ("| `x` | all", "| `y` | all", "label `x` has no row"),
            ("| counter", "| gauge", "ends in `_total`"),
            ("`leasehold_b`", "`leasehold_a`", "has a row already"),
        ] {
            let faults = found(&GOOD.replace(from, to));
            assert!(
                faults.iter().any(|it| it.contains(fault)),
                "{fault}: {faults:?}"
            );
        }
    }
}
