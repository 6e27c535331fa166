//! What is committed beside the code says what the code does.

use std::fs;

use leasehold_config::{Code, schema};
use serde_json::Value;

use crate::documents::workspace;

#[test]
fn the_committed_schema_is_that_of_the_code() {
    let committed = fs::read_to_string(workspace().join("docs/config.schema.json"));
    let committed: Value = serde_json::from_str(&committed.expect("the schema")).expect("JSON");
    assert!(
        committed == schema(),
        "docs/config.schema.json is not that of the code: run cargo xtask gen"
    );
}

#[test]
fn the_manual_explains_every_fault() {
    let manual = manual();
    for code in Code::ALL {
        let code = code.as_str().trim_start_matches("leasehold::config::");
        assert!(manual.contains(&format!("\n| `{code}` |")), "{code}");
    }
    let rows = manual
        .split("\n## Faults")
        .nth(1)
        .expect("the chapter")
        .matches("\n| `")
        .count();
    assert_eq!(
        rows,
        Code::ALL.len(),
        "the manual explains a fault that there is not"
    );
}

#[test]
fn the_manual_explains_every_field_with_its_default() {
    let schema = schema();
    let manual = manual();
    let mut fields = Vec::new();
    collect(&schema, &mut fields);
    assert!(fields.len() > 40, "{fields:?}");
    for (field, default) in fields {
        let rows = manual.lines().filter(|line| line.starts_with("| `"));
        let mut rows = rows.filter(|line| line.starts_with(&format!("| `{field}` |")));
        let cell = default.map_or_else(String::new, |default| format!("| `{default}` |"));
        assert!(rows.any(|row| row.contains(&cell)), "{field} {cell}");
    }
}

fn manual() -> String {
    fs::read_to_string(workspace().join("docs/configuration.md")).expect("the manual")
}

/// Collects every field of the schema, with its default where it has one.
fn collect(schema: &Value, fields: &mut Vec<(String, Option<String>)>) {
    match schema {
        Value::Object(object) => {
            let properties = object.get("properties").and_then(Value::as_object);
            for (name, field) in properties.into_iter().flatten() {
                let default = field.get("default").and_then(Value::as_str);
                let default = default.filter(|default| !default.is_empty());
                fields.push((name.clone(), default.map(str::to_owned)));
            }
            object.values().for_each(|value| collect(value, fields));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, fields)),
        _ => {}
    }
}
