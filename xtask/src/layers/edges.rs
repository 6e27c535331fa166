use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A package of the workspace and the other ones that it imports.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) name: String,
    pub(super) manifest: PathBuf,
    imports: Vec<Import>,
}

#[derive(Debug)]
struct Import {
    room: String,
    for_tests: bool,
}

/// Reads the rooms and their imports out of cargo's metadata.
pub(super) fn rooms(metadata: &Value) -> Result<Vec<Room>> {
    let packages = metadata.get("packages").and_then(Value::as_array);
    let packages = packages.context("cargo lists no packages")?;
    packages.iter().map(room).collect()
}

/// Finds the imports that no row of the table allows.
pub(super) fn faults(rooms: &[Room]) -> Vec<String> {
    let names: Vec<&str> = rooms.iter().map(|room| room.name.as_str()).collect();
    let mut faults = Vec::new();
    for room in rooms {
        let Some(row) = ALLOWED.iter().find(|row| row.room == room.name) else {
            let name = &room.name;
            faults.push(format!(
                "{name} is in no row of the table of rooms in xtask"
            ));
            continue;
        };
        let imports = room.imports.iter();
        let ours = imports.filter(|import| names.contains(&import.room.as_str()));
        for import in ours.filter(|import| !row.allows(import)) {
            let tests = if import.for_tests {
                " in its tests"
            } else {
                ""
            };
            faults.push(format!(
                "{} must not import {}{tests}",
                room.name, import.room
            ));
        }
    }
    faults
}

fn room(package: &Value) -> Result<Room> {
    let text = |key: &str| package.get(key).and_then(Value::as_str);
    let imports = package.get("dependencies").and_then(Value::as_array);
    Ok(Room {
        name: text("name").context("a package has no name")?.to_owned(),
        manifest: PathBuf::from(text("manifest_path").context("a package has no manifest")?),
        imports: imports
            .context("a package lists no dependencies")?
            .iter()
            .map(import)
            .collect::<Result<_>>()?,
    })
}

fn import(dependency: &Value) -> Result<Import> {
    let name = dependency.get("name").and_then(Value::as_str);
    let kind = dependency.get("kind").and_then(Value::as_str);
    Ok(Import {
        room: name.context("a dependency has no name")?.to_owned(),
        for_tests: kind == Some("dev"),
    })
}

/// What one room may import.
struct Row {
    room: &'static str,
    imports: &'static [&'static str],
    /// Only its tests import these as well.
    tests: &'static [&'static str],
}

impl Row {
    fn allows(&self, import: &Import) -> bool {
        let name = import.room.as_str();
        self.imports.contains(&name) || (import.for_tests && self.tests.contains(&name))
    }
}

/// The tests of a room that can't name the door make the secrets that they test with.
const MAKES_SECRETS: &[&str] = &[
    "leasehold-model",
    "leasehold-provider",
    "leasehold-secret",
    "leasehold-testkit",
];
const STARTS_SERVERS: &[&str] = &["leasehold-testkit"];

/// The allowed directions, as ARCHITECTURE.md draws them. A row that grows is the largest kind of
/// change: it goes alone in a commit, with the reason.
const ALLOWED: &[Row] = &[
    Row {
        room: "leasehold",
        imports: &[
            "leasehold-admin",
            "leasehold-audit",
            "leasehold-broker",
            "leasehold-config",
            "leasehold-consumer",
            "leasehold-inject",
            "leasehold-jwt",
            "leasehold-lease",
            "leasehold-ledger",
            "leasehold-limit",
            "leasehold-model",
            "leasehold-otlp",
            "leasehold-provider",
            "leasehold-provider-native",
            "leasehold-provider-oauth",
            "leasehold-provider-vault",
            "leasehold-proxy",
            "leasehold-secret",
            "leasehold-testkit",
        ],
        tests: &[],
    },
    Row {
        room: "leasehold-proxy",
        imports: &[
            "leasehold-audit",
            "leasehold-broker",
            "leasehold-consumer",
            "leasehold-inject",
            "leasehold-limit",
            "leasehold-model",
        ],
        tests: &[
            "leasehold-lease",
            "leasehold-provider",
            "leasehold-secret",
            "leasehold-testkit",
        ],
    },
    Row {
        room: "leasehold-admin",
        imports: &["leasehold-model"],
        tests: STARTS_SERVERS,
    },
    Row {
        room: "leasehold-broker",
        imports: &[
            "leasehold-lease",
            "leasehold-ledger",
            "leasehold-model",
            "leasehold-provider",
        ],
        tests: MAKES_SECRETS,
    },
    Row {
        room: "leasehold-lease",
        imports: &["leasehold-model"],
        tests: &[],
    },
    Row {
        room: "leasehold-ledger",
        imports: &["leasehold-model"],
        tests: &[],
    },
    Row {
        room: "leasehold-provider",
        imports: &["leasehold-model", "leasehold-secret"],
        tests: &[],
    },
    Row {
        room: "leasehold-provider-native",
        imports: &[
            "leasehold-jwt",
            "leasehold-model",
            "leasehold-provider",
            "leasehold-secret",
        ],
        tests: STARTS_SERVERS,
    },
    Row {
        room: "leasehold-provider-oauth",
        imports: &[
            "leasehold-jwt",
            "leasehold-model",
            "leasehold-provider",
            "leasehold-secret",
        ],
        tests: STARTS_SERVERS,
    },
    Row {
        room: "leasehold-provider-vault",
        imports: &[
            "leasehold-jwt",
            "leasehold-model",
            "leasehold-provider",
            "leasehold-secret",
        ],
        tests: STARTS_SERVERS,
    },
    Row {
        room: "leasehold-jwt",
        imports: &["leasehold-model", "leasehold-secret"],
        tests: &[],
    },
    Row {
        room: "leasehold-inject",
        imports: &["leasehold-model", "leasehold-provider", "leasehold-secret"],
        tests: &[],
    },
    Row {
        room: "leasehold-consumer",
        imports: &["leasehold-model"],
        tests: &[],
    },
    Row {
        room: "leasehold-limit",
        imports: &["leasehold-model"],
        tests: &[],
    },
    Row {
        room: "leasehold-audit",
        imports: &["leasehold-model"],
        tests: STARTS_SERVERS,
    },
    Row {
        room: "leasehold-otlp",
        imports: &["leasehold-audit", "leasehold-model"],
        tests: &[],
    },
    Row {
        room: "leasehold-config",
        imports: &["leasehold-model"],
        tests: &[],
    },
    Row {
        room: "leasehold-secret",
        imports: &[],
        tests: &[],
    },
    Row {
        room: "leasehold-model",
        imports: &[],
        tests: &[],
    },
    Row {
        room: "leasehold-testkit",
        imports: &[],
        tests: &[],
    },
    Row {
        room: "xtask",
        imports: &[],
        tests: &[],
    },
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workspace(importer: &str, imported: &str, kind: Option<&str>) -> Vec<String> {
        let package = |name: &str, dependencies: Value| json!({ "name": name, "manifest_path": "Cargo.toml", "dependencies": dependencies });
        let import = json!([
            { "name": imported, "kind": kind },
            { "name": "serde", "kind": null },
        ]);
        let metadata = json!({
            "packages": [package(importer, import), package(imported, json!([]))],
        });
        faults(&rooms(&metadata).expect("well-formed metadata"))
    }

    #[test]
    fn an_allowed_edge_passes() {
        assert!(workspace("leasehold-inject", "leasehold-secret", None).is_empty());
    }

    #[test]
    fn the_door_is_closed_to_what_ships_and_open_to_its_tests() {
        let shipped = workspace("leasehold-proxy", "leasehold-secret", None);
        assert_eq!(
            shipped,
            ["leasehold-proxy must not import leasehold-secret"]
        );
        let built = workspace("leasehold-proxy", "leasehold-secret", Some("build"));
        assert_eq!(built.len(), 1);
        assert!(workspace("leasehold-proxy", "leasehold-secret", Some("dev")).is_empty());
        assert_eq!(
            workspace("leasehold-lease", "leasehold-secret", Some("dev")).len(),
            1
        );
    }

    #[test]
    fn a_room_that_the_table_does_not_know_is_a_fault() {
        let faults = workspace("leasehold-new", "leasehold-model", None);
        assert!(faults[0].contains("leasehold-new"), "{faults:?}");
    }

    #[test]
    fn every_wall_around_plaintext_stands_in_the_table() {
        let may = ALLOWED
            .iter()
            .filter(|row| row.imports.contains(&"leasehold-secret"));
        let may: Vec<_> = may.map(|row| row.room).collect();
        let named = [
            "leasehold",
            "leasehold-provider",
            "leasehold-provider-native",
            "leasehold-provider-oauth",
            "leasehold-provider-vault",
            "leasehold-jwt",
            "leasehold-inject",
        ];
        assert_eq!(may, named);
    }
}
